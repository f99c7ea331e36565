import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const DEADLINE_MS = 60_000;

interface Example {
  process: ChildProcess;
  /** All that it has printed so far. */
  output(): string;
  /** Resolves when the output holds `text`; rejects when the process ends without it. */
  prints(text: string | RegExp): Promise<string>;
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | string>;
}

interface Row {
  bytes: string;
  md5: string;
  status: string;
  /** Requests that reached the service. */
  origin: string;
  /** Cache-Status. */
  cache: string;
}

function start(name: string, cwd: string, env: Record<string, string>): Example {
  const path = fileURLToPath(new URL(`../examples/${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), path], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  return {
    process: child,
    output: () => output,
    ended,
    async prints(text) {
      const done = ended.then((code) => `${code}`);
      while (!(typeof text === 'string' ? output.includes(text) : text.test(output))) {
        const code = await Promise.race([done, once(child.stdout, 'data').then(() => undefined)]);
        if (code !== undefined) assert.match(output, new RegExp(text), `${name} ended with ${code}`);
      }
      return output;
    },
  };
}

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cache-filter-examples-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

describe('examples/image-service.ts', () => {
  let directory: string;
  let demo: Example;
  let code: number | string;
  let lines: string[];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'cache-filter-examples-'));
    demo = start('image-service', directory, { PORT: '0', DEMO_ONCE: '1' });
    code = await demo.ended;
    lines = demo.output().split('\n');
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** The cells of the table's line that begins with `what`. */
  function row(what: string): Row {
    const line = lines.find((each) => each.startsWith(`${what}  `));
    assert.ok(line, `no line '${what}' in:\n${demo.output()}`);
    const [, , bytes = '', md5 = '', status = '', origin = '', cache = ''] = line.split(/ {2,}/);
    return { bytes, md5, status, origin, cache };
  }

  it('ends by itself after the table, and leaves nothing behind', async () => {
    assert.equal(code, 0, demo.output());
    assert.deepEqual(await readdir(join(directory, '.cache')), []);
  });

  it('fits 110 columns', () => {
    for (const line of lines) assert.ok(line.length <= 110, `${line.length} columns: ${line}`);
  });

  it('fetches an image once, and answers the second download from the cache', () => {
    assert.deepEqual(row('first download'), {
      bytes: '16.0 MiB',
      md5: 'ok',
      status: '200',
      origin: '1',
      cache: 'cache-filter; fwd=uri-miss; stored',
    });
    const again = row('the same again');
    assert.deepEqual([again.status, again.md5, again.origin], ['200', 'ok', '0']);
    assert.equal(again.cache, 'cache-filter; hit');
  });

  it('fetches an image once for ten clients at once', () => {
    assert.deepEqual(row('another, ten at once'), {
      bytes: '160.0 MiB',
      md5: 'ok',
      status: '10 x 200',
      origin: '1',
      cache: 'cache-filter; fwd=uri-miss; stored',
    });
    assert.match(demo.output(), /^ +9 x cache-filter; fwd=uri-miss; collapsed$/m);
  });

  it('answers a range from the cache', () => {
    const { status, bytes, md5, origin } = row('a range of it');
    assert.deepEqual(
      { status, bytes, md5, origin },
      { status: '206', bytes: '1.0 MiB', md5: 'ok', origin: '0' },
    );
  });

  it('lets the service answer for a deactivated image, and keeps the entry', () => {
    const member = row('deactivated, a member');
    assert.deepEqual([member.status, member.origin], ['403', '1']);
    assert.match(member.cache, /detail=deactivated/);
    const admin = row('deactivated, an admin');
    assert.deepEqual([admin.status, admin.md5, admin.origin], ['200', 'ok', '1']);
    const reactivated = row('reactivated, a member');
    assert.deepEqual([reactivated.status, reactivated.origin], ['200', '0']);
    assert.equal(reactivated.cache, 'cache-filter; hit');
  });

  it('has nothing left of an image that was deleted', () => {
    assert.equal(row('the first is deleted').status, '204');
    const gone = row('its download now');
    assert.deepEqual([gone.status, gone.origin], ['404', '1']);
  });

  it('keeps serving after the table until SIGTERM', async (t) => {
    const cwd = await temporary(t);
    const example = start('image-service', cwd, { PORT: '0' });
    const output = await example.prints('Ctrl-C');
    const [, image = ''] = /IMAGE=(\S+)/.exec(output) ?? [];
    const answer = await fetch(`${image}/file`, { headers: { 'X-Roles': 'member' } });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('cache-status'), 'cache-filter; hit');
    assert.equal((await answer.arrayBuffer()).byteLength, 16 * 2 ** 20);
    example.process.kill('SIGTERM');
    assert.equal(await example.ended, 0, example.output());
    assert.deepEqual(await readdir(join(cwd, '.cache')), []);
  });

  it('says so when the port is taken', async (t) => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    t.after(() => other.close());
    const { port } = other.address() as AddressInfo;
    const example = start('image-service', await temporary(t), { PORT: String(port) });
    assert.equal(await example.ended, 1);
    assert.match(example.output(), new RegExp(`^Port ${port} is taken`));
  });
});

describe('examples/basic.ts', () => {
  it('shows a miss, then a hit, and still asks who may read', async (t) => {
    const cwd = await temporary(t);
    const example = start('basic', cwd, { PORT: '0' });
    t.after(() => example.process.kill('SIGKILL'));
    const [url = ''] = /http\S+/.exec(await example.prints(/http\S+\n/)) ?? [];
    const get = async (user: string) => {
      const response = await fetch(url, { headers: { 'X-User': user } });
      const body = Buffer.from(await response.arrayBuffer());
      return { status: response.status, cache: response.headers.get('cache-status'), body };
    };

    const first = await get('ann');
    assert.equal(first.status, 200);
    assert.equal(first.cache, 'cache-filter; fwd=uri-miss; stored');
    const second = await get('bob');
    assert.equal(second.status, 200);
    assert.equal(second.cache, 'cache-filter; hit');
    assert.ok(first.body.equals(second.body));
    assert.equal((await get('eve')).status, 403);

    example.process.kill('SIGTERM');
    assert.equal(await example.ended, 0, example.output());
  });
});
