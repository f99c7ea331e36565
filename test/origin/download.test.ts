import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { OriginError } from '../../lib/errors.ts';
import { Download } from '../../lib/origin/download.ts';
import type { UpstreamOptions } from '../../lib/origin/options.ts';
import type { OriginRequest } from '../../lib/origin/request.ts';
import { get, originOf, type RawRequest, rawServer, until } from './raw.ts';

const SIZE = 100_000;
const content = Buffer.from(Array.from({ length: SIZE }, (_, i) => i % 251));
const ETAG = 'ETag: "one"';

interface Part {
  status?: number;
  fields?: string[];
  /** What it says; default: what was asked for. */
  range?: string;
  /** How much of what it declares is sent; default: all. */
  sends?: number;
  end?: 'reset' | 'hang' | 'close';
}

/** Answers with the bytes that were asked for, as far as the part says. */
function send(socket: Socket, { fields }: RawRequest, part: Part): void {
  const { status, end = 'reset' } = part;
  const [, first = '0', last = String(SIZE - 1)] =
    /^bytes=(\d+)-(\d+)$/.exec(fields.get('range') ?? '') ?? [];
  const ranged = status === undefined ? fields.has('range') : status === 206;
  const [from, to] = ranged ? [Number(first), Number(last) + 1] : [0, SIZE];
  const range = part.range ?? `bytes ${from}-${to - 1}/${SIZE}`;
  const lines = [
    `HTTP/1.1 ${status ?? (ranged ? 206 : 200)} So`,
    `Content-Length: ${to - from}`,
    ...(ranged ? [`Content-Range: ${range}`] : []),
    ...(part.fields ?? [ETAG]),
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const bytes = content.subarray(from, Math.min(to, from + (part.sends ?? SIZE)));
  socket.write(bytes, () => {
    if (bytes.length === to - from || end === 'hang') return;
    if (end === 'close') socket.end();
    // What is still in flight arrives before the reset does, once it has been read.
    else setTimeout(() => socket.resetAndDestroy(), 5);
  });
}

/** Downloads from a server that answers with one part after the other. */
async function download(
  t: TestContext,
  parts: Part[],
  { options = {}, request = {} }: { options?: UpstreamOptions; request?: Partial<OriginRequest> } = {},
) {
  const server = await rawServer(t, (socket, asked) =>
    send(socket, asked, parts[asked.index] ?? { status: 500 }),
  );
  const origin = originOf(t, { stallTimeoutMs: 1_000, retries: 0, ...options });
  const asked = get(server.target(), request);
  const first = await origin.fetch(asked);
  const loading = new Download(origin, asked, first);
  const chunks: Buffer[] = [];
  let error: OriginError | undefined;
  try {
    for await (const chunk of loading.bytes()) chunks.push(chunk);
  } catch (thrown) {
    error = thrown as OriginError;
  }
  await until(() => origin.load.running === 0);
  return {
    server,
    loading,
    error,
    bytes: Buffer.concat(chunks),
    ranges: server.requests.map(({ fields }) => fields.get('range')),
  };
}

/** What came is the beginning of what there is, whatever went wrong. */
function assertBeginning(bytes: Buffer, from = 0): void {
  assert.deepEqual(bytes, content.subarray(from, from + bytes.length));
}

test('a body that does not break is asked for once', async (t) => {
  const { bytes, loading, server } = await download(t, [{}]);
  assert.deepEqual(bytes, content);
  assert.deepEqual([loading.resumed, server.requests.length], [0, 1]);
});

for (const sends of [0, 1000, 50_000, 99_000, SIZE - 1]) {
  for (const end of ['reset', 'hang', 'close'] as const) {
    test(`a body that breaks off after ${sends} bytes (${end}) is gone on with`, async (t) => {
      const { bytes, error, loading, ranges, server } = await download(t, [{ sends, end }, {}]);
      assert.equal(error, undefined);
      assert.deepEqual(bytes, content);
      assert.equal(loading.resumed, 1);
      assert.equal(server.requests[1]?.fields.get('if-range'), '"one"');
      assert.equal(ranges[0], undefined);
      if (end !== 'reset') assert.equal(ranges[1], `bytes=${sends}-${SIZE - 1}`);
    });
  }
}

test('a part that breaks off is gone on with to its own end', async (t) => {
  const request = { headers: [['Range', 'bytes=100-599']] as const } as unknown as Partial<OriginRequest>;
  const { bytes, ranges } = await download(
    t,
    [{ sends: 200, end: 'close' }, { sends: 100, end: 'close' }, {}],
    {
      request,
    },
  );
  assert.deepEqual(bytes, content.subarray(100, 600));
  assert.deepEqual(ranges, ['bytes=100-599', 'bytes=300-599', 'bytes=400-599']);
});

test('conditions of the first request are not those of the rest', async (t) => {
  const headers = [
    ['If-None-Match', '"zero"'],
    ['if-modified-since', 'Thu, 01 Jan 2026 00:00:00 GMT'],
    ['Authorization', 'theirs'],
  ] as const;
  const { bytes, server } = await download(t, [{ sends: 1, end: 'close' }, {}], {
    request: { headers: [...headers] },
  });
  assert.deepEqual(bytes, content);
  const fields = server.requests[1]?.fields;
  assert.deepEqual(
    ['if-none-match', 'if-modified-since', 'authorization'].map((name) => fields?.get(name)),
    [undefined, undefined, 'theirs'],
  );
});

test('attempts count only in a row without a byte', async (t) => {
  const breaks = (sends: number): Part => ({ sends, end: 'close' });
  const parts = [breaks(10), breaks(0), breaks(0), breaks(1), breaks(0), breaks(0), {}];
  const { bytes, loading } = await download(t, parts, { options: { resumes: 3 } });
  assert.deepEqual(bytes, content);
  assert.equal(loading.resumed, 6);
});

test('after the last attempt the break is told', async (t) => {
  const parts = Array.from({ length: 9 }, () => ({ sends: 0, end: 'close' }) as const);
  const { error, server } = await download(t, parts, { options: { resumes: 2 } });
  assert.equal(error?.reason, 'broken');
  assert.equal(server.requests.length, 3);
});

test('an attempt that gets no answer is an attempt', async (t) => {
  const parts: Part[] = [{ sends: 5, end: 'close' }, { status: 503 }, { status: 500 }, { status: 429 }, {}];
  const { bytes, error } = await download(t, parts);
  assert.equal(error, undefined);
  assert.deepEqual(bytes, content);
});

const changed: [name: string, part: Part][] = [
  ['a 200', { status: 200 }],
  ['another ETag', { fields: ['ETag: "two"'] }],
  ['no ETag', { fields: [] }],
  ['a weak one', { fields: ['ETag: W/"one"'] }],
  ['another encoding', { fields: [ETAG, 'Content-Encoding: gzip'] }],
  ['a part that begins earlier', { range: `bytes 499-${SIZE - 1}/${SIZE}` }],
  ['a part that begins later', { range: `bytes 501-${SIZE - 1}/${SIZE}` }],
  ['a part that ends earlier', { range: `bytes 500-${SIZE - 2}/${SIZE}` }],
  ['a larger whole', { range: `bytes 500-${SIZE - 1}/${SIZE + 1}` }],
  ['a whole of unknown size', { range: `bytes 500-${SIZE - 1}/*` }],
  ['nonsense for a part', { range: 'bytes 500' }],
  ['412', { status: 412 }],
  ['416', { status: 416 }],
  ['404', { status: 404 }],
  ['304', { status: 304 }],
];
for (const [name, part] of changed) {
  test(`${name} in place of the rest ends the download: nothing is put together`, async (t) => {
    const { error, bytes, server } = await download(t, [{ sends: 500, end: 'close' }, part, {}]);
    assert.equal(error?.reason, 'changed');
    assert.equal((error.cause as OriginError).reason, 'broken');
    assert.equal(bytes.length, 500);
    assertBeginning(bytes);
    assert.equal(server.requests.length, 2);
  });
}

test('who may not read the rest is told of the break', async (t) => {
  const { error, server } = await download(t, [{ sends: 500, end: 'close' }, { status: 403 }, {}]);
  assert.deepEqual([error?.reason, server.requests.length], ['broken', 2]);
});

const LATER = 'Date: Thu, 01 Jan 2026 00:00:01 GMT';
const MODIFIED = 'Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT';
const alone: [name: string, fields: string[]][] = [
  ['no validator', []],
  ['a weak ETag', ['ETag: W/"one"']],
  ['an ETag that is none', ['ETag: one']],
  ['a date without Date', [MODIFIED]],
  ['a date within the second', [MODIFIED, 'Date: Thu, 01 Jan 2026 00:00:00 GMT']],
  ['a date, but encoded', [MODIFIED, LATER, 'Content-Encoding: gzip']],
  ['no ranges', [ETAG, 'Accept-Ranges: none']],
];
for (const [name, fields] of alone) {
  test(`a body with ${name} is not gone on with`, async (t) => {
    const { error, bytes, server } = await download(t, [{ fields, sends: 500, end: 'close' }, { fields }]);
    assert.deepEqual([error?.reason, server.requests.length, bytes.length], ['broken', 1, 500]);
  });
}

for (const fields of [
  [MODIFIED, LATER],
  [MODIFIED, LATER, 'ETag: W/"one"'],
]) {
  test(`a body with ${fields.join(', ')} is gone on with by its date`, async (t) => {
    const { bytes, server } = await download(t, [{ fields, sends: 500, end: 'close' }, { fields }]);
    assert.deepEqual(bytes, content);
    assert.equal(server.requests[1]?.fields.get('if-range'), 'Thu, 01 Jan 2026 00:00:00 GMT');
  });
}

test('a first 206 that does not say which part it is, or has more than it says, is broken', async (t) => {
  const request = { headers: [['Range', 'bytes=0-99']] as const } as unknown as Partial<OriginRequest>;
  const nonsense = await download(t, [{ range: 'bytes 0' }], { request });
  assert.deepEqual([nonsense.error?.reason, nonsense.bytes.length], ['broken', 0]);
  const more = await download(t, [{ range: `bytes 0-49/${SIZE}` }], { request });
  assert.deepEqual([more.error?.reason, more.bytes.length], ['broken', 0]);
});

test('the rest comes from another target where the first one is gone', async (t) => {
  const other = await rawServer(t, (socket, asked) => send(socket, asked, {}));
  const server = await rawServer(t, (socket, asked) => {
    server.server.close();
    send(socket, asked, { sends: 500 });
  });
  const origin = originOf(t, { retries: 0 });
  const request = get([server.target(), other.target()]);
  const loading = new Download(origin, request, await origin.fetch(request));
  const chunks: Buffer[] = [];
  for await (const chunk of loading.bytes()) chunks.push(chunk);
  assert.deepEqual(Buffer.concat(chunks), content);
  assert.equal(other.requests[0]?.fields.get('if-range'), '"one"');
});

test('an abort ends a download, and is no break', async (t) => {
  const server = await rawServer(t, (socket, asked) => send(socket, asked, { sends: 500, end: 'hang' }));
  const origin = originOf(t);
  const leaving = new AbortController();
  const request = get(server.target(), { signal: leaving.signal });
  const loading = new Download(origin, request, await origin.fetch(request));
  const reason = new Error('left');
  await assert.rejects(async () => {
    for await (const _ of loading.bytes()) leaving.abort(reason);
  }, reason);
  await until(() => server.sockets.size === 0 && origin.load.running === 0);
  assert.equal(server.requests.length, 1);
});

test('an abort between two attempts ends a download', async (t) => {
  const server = await rawServer(t, (socket, asked) => send(socket, asked, { sends: 0, end: 'close' }));
  const origin = originOf(t, { retryDelayMs: 60_000 });
  const leaving = new AbortController();
  const request = get(server.target(), { signal: leaving.signal });
  const loading = new Download(origin, request, await origin.fetch(request));
  const reading = loading.bytes().next();
  await until(() => origin.load.running === 0);
  const reason = new Error('left');
  leaving.abort(reason);
  await assert.rejects(reading, reason);
});

test('who leaves a download leaves no connection and no turn', async (t) => {
  const server = await rawServer(t, (socket, asked) => send(socket, asked, { sends: 500, end: 'hang' }));
  const origin = originOf(t);
  const request = get(server.target());
  for await (const _ of new Download(origin, request, await origin.fetch(request)).bytes()) break;
  await until(() => server.sockets.size === 0 && origin.load.running === 0);
});
