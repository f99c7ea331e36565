import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { deferred } from '../support/deferred.ts';
import { bytesOf, get, head, originOf, rawServer, until } from './raw.ts';

test('so many requests run at a time, and the others wait in the order in which they came', async (t) => {
  const open: Socket[] = [];
  const server = await rawServer(t, (socket) => {
    open.push(socket);
    socket.write(`${head(2)}o`);
  });
  const origin = originOf(t, { maxRequests: 2 });
  const asked = [0, 1, 2, 3].map((i) => origin.fetch(get(server.target(`/${i}`))));
  const [first, second] = await Promise.all(asked.slice(0, 2));
  assert.deepEqual(origin.load, { running: 2, queued: 2 });
  assert.equal(server.requests.length, 2);
  // A body that is given up gives up its turn, and so does one that is read to its end.
  first?.body.destroy();
  await asked[2];
  open[1]?.write('k');
  assert.equal(String(await bytesOf(second?.body as Readable)), 'ok');
  await asked[3];
  assert.deepEqual(
    server.requests.map(({ path }) => path),
    ['/0', '/1', '/2', '/3'],
  );
});

test('beyond the queue, and beyond its time, there is a 503 that says when to come again', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(2)}o`));
  const origin = originOf(t, { maxRequests: 1, maxQueued: 1, queueTimeoutMs: 50 });
  const running = await origin.fetch(get(server.target()));
  const waits = origin.fetch(get(server.target()));
  const busy = { reason: 'busy', status: 503, headers: { 'Retry-After': '1' } };
  const [late] = await Promise.all([
    assert.rejects(waits, { ...busy, message: /within 0.05 s/ }),
    assert.rejects(origin.fetch(get(server.target())), { ...busy, message: /1 requests run and 1 wait/ }),
  ]);
  assert.equal(late, undefined);
  running.body.destroy();
  await until(() => origin.load.running === 0);
  assert.deepEqual([origin.load.queued, server.requests.length], [0, 1]);
});

const reason = new Error('nobody wants it');

test('who leaves before their turn, or in the queue, leaves no trace', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(2)}ok`));
  const origin = originOf(t, { maxRequests: 1 });
  const gone = AbortSignal.abort(reason);
  await assert.rejects(origin.fetch(get(server.target(), { signal: gone })), reason);
  const { body } = await origin.fetch(get(server.target()));
  const leaving = new AbortController();
  const waits = origin.fetch(get(server.target(), { signal: leaving.signal }));
  const next = origin.fetch(get(server.target('/next')));
  assert.equal(origin.load.queued, 2);
  leaving.abort(reason);
  await assert.rejects(waits, reason);
  body.destroy();
  assert.equal(String(await bytesOf((await next).body)), 'ok');
  assert.deepEqual(
    server.requests.map(({ path }) => path),
    ['/file', '/next'],
  );
});

for (const [state, pieces] of [
  ['before the head', []],
  ['in the middle of the head', ['HTTP/1.1 200 OK\r\nContent-Len']],
] as const) {
  test(`an abort ${state} ends the request, its connection and its turn`, async (t) => {
    const asked = deferred();
    const server = await rawServer(t, (socket) => {
      for (const piece of pieces) socket.write(piece);
      asked.resolve();
    });
    const origin = originOf(t, { breaker: { failures: 1, openMs: 60_000 } });
    const leaving = new AbortController();
    const body = new Readable({ read() {} });
    body.push('some of it');
    const answer = origin.fetch(get(server.target(), { signal: leaving.signal, method: 'PUT', body }));
    await asked.promise;
    leaving.abort(reason);
    await assert.rejects(answer, reason);
    await until(() => server.sockets.size === 0 && body.destroyed);
    assert.deepEqual(origin.load, { running: 0, queued: 0 });
    // The breaker takes no notice: the next request is sent.
    const again = new AbortController();
    const next = origin.fetch(get(server.target(), { signal: again.signal }));
    await until(() => server.requests.length === 2);
    again.abort(reason);
    await assert.rejects(next, reason);
  });
}

test('an abort while a connection is made ends it', async (t) => {
  const origin = originOf(t);
  const leaving = new AbortController();
  // A name that is never looked up in time: the request is in the hands of its agent.
  const answer = origin.fetch(get({ url: new URL('http://never.invalid/') }, { signal: leaving.signal }));
  await new Promise((resolve) => setImmediate(resolve));
  leaving.abort(reason);
  await assert.rejects(answer, reason);
  assert.equal(origin.load.running, 0);
});

test('an abort between two attempts ends the waiting', async (t) => {
  const server = await rawServer(t, (socket) => socket.destroy());
  const origin = originOf(t, { retryDelayMs: 60_000 });
  const leaving = new AbortController();
  const answer = origin.fetch(get(server.target(), { signal: leaving.signal }));
  await until(() => server.requests.length === 1);
  const [socket] = server.sockets;
  if (socket !== undefined) await once(socket, 'close');
  leaving.abort(reason);
  await assert.rejects(answer, reason);
  assert.equal(origin.load.running, 0);
});

test('an abort in the middle of a body destroys it, read or not', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(10)}half`));
  const origin = originOf(t, { breaker: { failures: 1, openMs: 60_000 } });
  for (const reads of [true, false]) {
    const leaving = new AbortController();
    const { body } = await origin.fetch(get(server.target(), { signal: leaving.signal }));
    const iterator = body[Symbol.asyncIterator]();
    if (reads) await iterator.next();
    leaving.abort(reason);
    await assert.rejects(iterator.next(), reason);
    await until(() => origin.load.running === 0 && server.sockets.size === 0);
  }
  assert.equal(server.requests.length, 2);
});

test('a body that its reader leaves ends its connection, and says nothing about the host', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(10)}half`));
  const origin = originOf(t, { breaker: { failures: 1, openMs: 60_000 } });
  for (let i = 0; i < 3; i++) {
    const { body } = await origin.fetch(get(server.target()));
    for await (const _ of body) break;
    await until(() => origin.load.running === 0 && server.sockets.size === 0);
  }
  assert.equal(server.requests.length, 3);
});

test('listeners do not pile up on a signal that many requests share', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(2)}ok`));
  const origin = originOf(t);
  const { signal } = new AbortController();
  const warnings: Error[] = [];
  const warned = (warning: Error) => warnings.push(warning);
  process.on('warning', warned);
  t.after(() => process.removeListener('warning', warned));
  for (let i = 0; i < 30; i++) {
    await bytesOf((await origin.fetch(get(server.target(), { signal }))).body);
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
  assert.equal(server.connections, 1);
});

test('close ends what runs and what waits, and the connections', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(10)}half`));
  const origin = originOf(t, { maxRequests: 1 });
  const { body } = await origin.fetch(get(server.target()));
  const waits = assert.rejects(origin.fetch(get(server.target())), { reason: 'busy' });
  const reads = assert.rejects(bytesOf(body), { reason: 'busy' });
  origin.close();
  await Promise.all([waits, reads]);
  await assert.rejects(origin.fetch(get(server.target())), { reason: 'busy', status: 503 });
  await until(() => server.sockets.size === 0);
  assert.deepEqual(origin.load, { running: 0, queued: 0 });
});
