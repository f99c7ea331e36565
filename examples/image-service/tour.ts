// The clients of the demonstration: real downloads over real sockets, and the table of what they saw.

import { createHash, randomBytes } from 'node:crypto';
import { type IncomingHttpHeaders, request } from 'node:http';
import type { ImageService, Role } from './service.ts';

const MIB = 2 ** 20;
const SIZE = 16 * MIB;

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: number;
  md5: string;
  body: string;
}

interface Ask {
  method?: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

interface Row {
  what: string;
  time: string;
  bytes: string;
  md5: string;
  status: string;
  origin: string;
  cache: string[];
}

/** Makes two images by the service's own API, and downloads them in all the ways worth seeing. Returns the id of one that is left. */
export async function tour(
  origin: string,
  service: ImageService,
  print: (line: string) => void,
): Promise<string> {
  const first = await makeImage(origin, 'first');
  const second = await makeImage(origin, 'second');
  const rows: Row[] = [];

  /** One line of the table: `clients` equal requests at once. */
  const step = async (what: string, role: Role, path: string, ask: Ask = {}, expected = '', clients = 1) => {
    const before = service.requests;
    const started = performance.now();
    const answers = await Promise.all(
      Array.from({ length: clients }, () => fetchAs(role, origin + path, ask)),
    );
    const seconds = (performance.now() - started) / 1000;
    rows.push({
      what,
      ...summary(answers, expected),
      time: `${seconds.toFixed(2)} s`,
      origin: String(service.requests - before),
    });
  };
  const act = (id: string, action: string) =>
    fetchAs('admin', `${origin}/v2/images/${id}/actions/${action}`, { method: 'POST' });

  await step('first download', 'member', file(first.id), {}, first.md5);
  await step('the same again', 'member', file(first.id), {}, first.md5);
  await step('another, ten at once', 'member', file(second.id), {}, second.md5, 10);
  const range = { headers: { Range: `bytes=${MIB}-${2 * MIB - 1}` } };
  await step('a range of it', 'member', file(second.id), range, second.md5OfSecondMib);
  await act(second.id, 'deactivate');
  await step('deactivated, a member', 'member', file(second.id));
  await step('deactivated, an admin', 'admin', file(second.id), {}, second.md5);
  await act(second.id, 'reactivate');
  await step('reactivated, a member', 'member', file(second.id), {}, second.md5);
  await step('the first is deleted', 'admin', `/v2/images/${first.id}`, { method: 'DELETE' });
  await step('its download now', 'member', file(first.id));

  for (const line of table(rows)) print(line);
  return second.id;
}

const file = (id: string) => `/v2/images/${id}/file`;

async function makeImage(
  origin: string,
  name: string,
): Promise<{ id: string; md5: string; md5OfSecondMib: string }> {
  const bytes = randomBytes(SIZE);
  const made = await fetchAs('admin', `${origin}/v2/images`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  const { id } = JSON.parse(made.body) as { id: string };
  const put = await fetchAs('admin', origin + file(id), { method: 'PUT', body: bytes });
  if (put.status !== 204) throw new Error(`upload of ${name} was answered with ${put.status}: ${put.body}`);
  return { id, md5: md5(bytes), md5OfSecondMib: md5(bytes.subarray(MIB, 2 * MIB)) };
}

/** A request on a connection of its own. */
function fetchAs(role: Role, url: string, { method = 'GET', headers = {}, body }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request(url, { method, headers: { 'X-Roles': role, ...headers }, agent: false });
    req.on('error', reject);
    req.on('response', (res) => {
      const hash = createHash('md5');
      let bytes = 0;
      let start = '';
      res.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        if (bytes < 4096) start += chunk.toString('utf8', 0, 4096);
        bytes += chunk.length;
      });
      res.on('error', reject);
      res.on('end', () => {
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          bytes,
          md5: hash.digest('hex'),
          body: start,
        });
      });
    });
    req.end(body);
  });
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** @throws where an answer of 200 or 206 does not hold the bytes that were uploaded */
function summary(answers: Answer[], expected: string): Omit<Row, 'what' | 'time' | 'origin'> {
  const whole = answers.filter(({ status }) => status === 200 || status === 206);
  for (const answer of whole) {
    if (answer.md5 !== expected) throw new Error(`wrong bytes: MD5 is ${answer.md5}, should be ${expected}`);
  }
  return {
    bytes:
      whole.length === 0 ? '-' : `${(whole.reduce((sum, { bytes }) => sum + bytes, 0) / MIB).toFixed(1)} MiB`,
    md5: whole.length === 0 ? '-' : 'ok',
    status: counted(answers.map(({ status }) => String(status))).join(', '),
    cache: counted(answers.map(({ headers }) => String(headers['cache-status'] ?? '-'))),
  };
}

/** `['a', 'a', 'b']` as `['b', '2 x a']`. */
function counted(values: string[]): string[] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const rarestFirst = [...counts].sort(([, a], [, b]) => a - b);
  return rarestFirst.map(([value, count]) => (count === 1 ? value : `${count} x ${value}`));
}

function table(rows: Row[]): string[] {
  const lines = [['request', 'time', 'bytes', 'md5', 'status', 'origin', 'Cache-Status']];
  for (const { what, time, bytes, md5, status, origin, cache } of rows) {
    const [first = '', ...more] = cache;
    lines.push([what, time, bytes, md5, status, origin, first]);
    for (const line of more) lines.push(['', '', '', '', '', '', line]);
  }
  const right = new Set([1, 2, 5]);
  const widths = lines.reduce<number[]>(
    (wide, line) => line.map((cell, i) => Math.max(cell.length, wide[i] ?? 0)),
    [],
  );
  return lines.map((line) =>
    line
      .map((cell, i) => (right.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
