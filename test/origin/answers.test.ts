import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { OriginError } from '../../lib/errors.ts';
import { bytesOf, get, head, originOf, rawServer, statusOnly, until } from './raw.ts';

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

test('a request says what it is given, and of us only what is needed', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(statusOnly(204)));
  const origin = originOf(t);
  await origin.fetch(get(server.target()));
  const headers = [
    ['Accept', 'x/y'],
    ['accept-encoding', 'gzip'],
    ['Host', 'evil.example'],
    ['Connection', 'close, X-Hop'],
    ['X-Hop', '1'],
    ['TE', 'trailers'],
    ['Proxy-Authorization', 'Basic x'],
    ['Expect', '100-continue'],
    ['X-Two', 'a'],
    ['X-Two', 'b'],
    ['Content-Length', '7'],
    ['Authorization', 'theirs'],
  ] as const;
  await origin.fetch(get(server.target('/?', [['authorization', 'ours']]), { headers: [...headers] }));
  const [bare, full] = server.requests;
  assert.deepEqual(Object.fromEntries(bare?.fields ?? []), {
    'user-agent': 'cache-filter',
    'accept-encoding': 'identity',
    host: server.host,
    connection: 'keep-alive',
  });
  assert.equal(full?.path, '/?');
  assert.deepEqual(Object.fromEntries(full?.fields ?? []), {
    accept: 'x/y',
    'accept-encoding': 'gzip',
    authorization: 'ours',
    'user-agent': 'cache-filter',
    // Repeated lines: the last one is what this map keeps.
    'x-two': 'b',
    host: server.host,
    connection: 'keep-alive',
  });
});

test('an answer of whatever status is an answer', async (t) => {
  const server = await rawServer(t, (socket, { path }) => socket.write(statusOnly(Number(path.slice(1)))));
  const origin = originOf(t);
  for (const status of [200, 206, 300, 304, 400, 401, 404, 416, 429, 500, 501]) {
    assert.equal((await origin.fetch(get(server.target(`/${status}`)))).status, status);
  }
  assert.equal(server.requests.length, 11);
});

test('nobody there: unreachable, with the cause, and without the query', async (t) => {
  const url = new URL(`http://127.0.0.1:${await closedPort()}/path?signature=secret`);
  const failed = await originOf(t)
    .fetch(get({ url }))
    .catch((error: unknown) => error);
  assert.ok(failed instanceof OriginError);
  assert.deepEqual([failed.reason, failed.status, failed.expose], ['unreachable', 502, false]);
  assert.equal((failed.cause as { code?: string }).code, 'ECONNREFUSED');
  assert.match(failed.message, new RegExp(`GET 127\\.0\\.0\\.1:${url.port}: no answer \\(ECONNREFUSED\\)`));
  assert.doesNotMatch(JSON.stringify([failed.message, String(failed.cause)]), /secret|path/);
});

test('an answer that does not begin in time is a 504, after as many attempts as there may be', async (t) => {
  const server = await rawServer(t, () => {});
  const origin = originOf(t, { headTimeoutMs: 40, retries: 1 });
  await assert.rejects(origin.fetch(get(server.target())), { reason: 'timeout', status: 504 });
  assert.equal(server.requests.length, 2);
  await until(() => server.sockets.size === 0);
});

test('a head that dribbles without end is a 504', async (t) => {
  const server = await rawServer(t, async (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    for (let i = 0; !socket.destroyed; i++) {
      socket.write(`X-${i}: x\r\n`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
  const origin = originOf(t, { headTimeoutMs: 100, retries: 0 });
  await assert.rejects(origin.fetch(get(server.target())), { reason: 'timeout', status: 504 });
});

for (const [name, answer] of [
  ['a head that is too large', `HTTP/1.1 200 OK\r\nX-Large: ${'x'.repeat(100_000)}\r\n\r\n`],
  ['what is no HTTP', 'SSH-2.0-OpenSSH_9.6\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
] as const) {
  test(`${name} is broken, and not asked for again`, async (t) => {
    const server = await rawServer(t, (socket) => socket.write(answer));
    await assert.rejects(originOf(t).fetch(get(server.target())), { reason: 'broken', status: 502 });
    assert.equal(server.requests.length, 1);
  });
}

test('a connection that fails before the answer is tried again, so many times', async (t) => {
  const server = await rawServer(t, (socket, { index }) => {
    if (index < 2) socket.destroy();
    else socket.write(`${head(2)}ok`);
  });
  const answer = await originOf(t).fetch(get(server.target()));
  assert.equal(String(await bytesOf(answer.body)), 'ok');
  assert.equal(server.requests.length, 3);
});

test('after the last attempt the failure is told', async (t) => {
  const server = await rawServer(t, (socket) => socket.destroy());
  await assert.rejects(originOf(t).fetch(get(server.target())), { reason: 'unreachable' });
  assert.equal(server.requests.length, 3);
});

test('what changes something is sent once', async (t) => {
  const server = await rawServer(t, (socket) => socket.destroy());
  const other = await rawServer(t, (socket) => socket.write(statusOnly(200)));
  const origin = originOf(t);
  const targets = [server.target(), other.target()];
  await assert.rejects(origin.fetch(get(targets, { method: 'DELETE' })), { reason: 'unreachable' });
  const body = Readable.from([Buffer.from('x')]);
  await assert.rejects(origin.fetch(get(targets, { method: 'PUT', body })), { reason: 'unreachable' });
  assert.deepEqual([server.requests.length, other.requests.length, body.destroyed], [2, 0, true]);
});

test('a body is sent framed, whatever the method', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(statusOnly(200)));
  const origin = originOf(t);
  for (const method of ['PUT', 'DELETE']) {
    const body = Readable.from([Buffer.from('hello')]);
    assert.equal((await origin.fetch(get(server.target(), { method, body }))).status, 200);
  }
  assert.deepEqual(
    server.requests.map(({ fields }) => fields.get('transfer-encoding')),
    ['chunked', 'chunked'],
  );
});

test('503 with a short Retry-After is waited for; the last answer is returned as it is', async (t) => {
  const server = await rawServer(t, (socket) =>
    socket.write(statusOnly(503, 'Retry-After: 0', 'X-Is: theirs')),
  );
  const answer = await originOf(t).fetch(get(server.target()));
  assert.equal(answer.status, 503);
  assert.ok(answer.headers.some(([name]) => name === 'X-Is'));
  assert.equal(server.requests.length, 3);
});

test('503 with a long Retry-After is not asked again: the next target is', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(statusOnly(503, 'Retry-After: 3600')));
  const other = await rawServer(t, (socket) => socket.write(`${head(2)}ok`));
  const origin = originOf(t);
  const second = other.target();
  const answer = await origin.fetch(get([server.target(), second]));
  assert.deepEqual([answer.status, answer.target], [200, second]);
  assert.equal((await origin.fetch(get(server.target()))).status, 503);
  assert.equal(server.requests.length, 2);
});

test('where one target fails the next is asked, and of all failures the last is told', async (t) => {
  const gone = { url: new URL(`http://127.0.0.1:${await closedPort()}/`) };
  const server = await rawServer(t, (socket) => socket.write(`${head(2)}ok`));
  const origin = originOf(t, { retries: 0 });
  assert.equal((await origin.fetch(get([gone, server.target()]))).status, 200);
  const resets = await rawServer(t, (socket) => socket.destroy());
  await assert.rejects(origin.fetch(get([gone, resets.target()])), { message: /ECONNRESET/ });
});

test('a connection that was kept too long is replaced at once, and that is no retry', async (t) => {
  const server = await rawServer(t, (socket, { connection, index }) => {
    // Each of the two first connections answers once, and is reset at its second request.
    if (connection < 2 && index >= 2) socket.resetAndDestroy();
    else socket.write(`${head(2)}ok`);
  });
  const origin = originOf(t, { retries: 0, breaker: { failures: 1 } });
  const both = await Promise.all([origin.fetch(get(server.target())), origin.fetch(get(server.target()))]);
  await Promise.all(both.map(({ body }) => bytesOf(body)));
  await until(() => origin.load.running === 0);
  const answer = await origin.fetch(get(server.target()));
  assert.equal(String(await bytesOf(answer.body)), 'ok');
  assert.deepEqual([server.requests.length, server.connections], [4, 3]);
});

test('what can not be sent is refused, without what is secret in it', async (t) => {
  const origin = originOf(t);
  const url = new URL('http://name:secret@127.0.0.1/');
  await assert.rejects(origin.fetch(get({ url })), (error: Error) => {
    return error instanceof TypeError && !error.message.includes('secret');
  });
  await assert.rejects(origin.fetch(get([])), TypeError);
  await assert.rejects(origin.fetch(get({ url: new URL('file:///etc/passwd') })), TypeError);
  const body = Readable.from(['x']);
  await assert.rejects(origin.fetch(get({ url: new URL('http://127.0.0.1/') }, { body })), TypeError);
  assert.equal(origin.load.running, 0);
});
