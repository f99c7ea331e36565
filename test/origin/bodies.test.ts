import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../support/deferred.ts';
import { bytesOf, get, head, originOf, rawServer, until } from './raw.ts';

const SIZE = 100_000;
const content = Buffer.alloc(SIZE, 'abcdefghij');

test('a body comes as it is: raw bytes, and the fields with their letter case and repetitions', async (t) => {
  const server = await rawServer(t, (socket) => {
    socket.write(
      `${head(SIZE, 'Content-Encoding: GZIP', 'X-Two: a', 'x-two: b', 'Connection: keep-alive, X-Hop', 'X-Hop: 1', 'Keep-Alive: timeout=5')}`,
    );
    socket.write(content);
  });
  const origin = originOf(t);
  const answer = await origin.fetch(get(server.target('/file?q=1')));
  assert.deepEqual(answer.headers, [
    ['Content-Length', String(SIZE)],
    ['Content-Encoding', 'GZIP'],
    ['X-Two', 'a'],
    ['x-two', 'b'],
  ]);
  assert.deepEqual([answer.status, answer.statusMessage, answer.delimited], [200, 'OK', 'length']);
  assert.equal(answer.url, `${server.url}/file?q=1`);
  assert.deepEqual(await bytesOf(answer.body), content);
  await until(() => origin.load.running === 0);
  await bytesOf((await origin.fetch(get(server.target()))).body);
  assert.equal(server.connections, 1, 'the connection was not kept');
});

for (const share of [0, 0.01, 0.5, 0.99]) {
  for (const framing of ['length', 'chunked'] as const) {
    test(`a body (${framing}) that is reset at ${share * 100} % is broken`, async (t) => {
      const cut = deferred();
      const server = await rawServer(t, async (socket) => {
        const part = content.subarray(0, SIZE * share);
        if (framing === 'length') socket.write(head(SIZE));
        else {
          socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
          socket.write(`${SIZE.toString(16)}\r\n`);
        }
        socket.write(part);
        await cut.promise;
        socket.resetAndDestroy();
      });
      const origin = originOf(t);
      const { body } = await origin.fetch(get(server.target()));
      cut.resolve();
      await assert.rejects(bytesOf(body), { code: 'ERR_CACHE_FILTER_ORIGIN', reason: 'broken', status: 502 });
      await until(() => origin.load.running === 0);
      assert.equal(server.requests.length, 1, 'a body that broke was asked for again');
    });
  }
}

for (const [name, pieces] of [
  ['a declared length that is not reached', [head(SIZE), content.subarray(0, SIZE - 1)]],
  [
    'a chunked body without its last chunk',
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\nhello\r\n'],
  ],
  [
    'a chunked body that becomes something else',
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '5\r\nhello\r\nnonsense'],
  ],
] as const) {
  test(`${name} is broken, though the connection ends cleanly`, async (t) => {
    const server = await rawServer(t, (socket) => {
      for (const piece of pieces) socket.write(piece);
      socket.end();
    });
    const { body } = await originOf(t).fetch(get(server.target()));
    await assert.rejects(bytesOf(body), { reason: 'broken' });
  });
}

for (const [name, fields] of [
  ['a declared length', 'Content-Length: 5\r\n\r\nhello'],
  ['a chunked body', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
] as const) {
  test(`what comes beyond ${name} is an error, and never the answer to the next request`, async (t) => {
    const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';
    const server = await rawServer(t, (socket, { index }) => {
      if (index === 0) socket.write(`HTTP/1.1 200 OK\r\n${fields} and more`);
      else if (index === 1) socket.write(`HTTP/1.1 200 OK\r\n${fields}${poison}`);
      else socket.write(`${head(2)}ok`);
    });
    const origin = originOf(t);
    const first = await origin.fetch(get(server.target()));
    await assert.rejects(bytesOf(first.body), { reason: 'broken' });
    const second = await origin.fetch(get(server.target()));
    // A second answer in the same breath: the body that was declared is whole, and Node ends the connection.
    assert.equal(String(await bytesOf(second.body)), 'hello');
    const third = await origin.fetch(get(server.target()));
    assert.equal(String(await bytesOf(third.body)), 'ok');
  });
}

test('what comes over an idle connection is never the answer to the next request', async (t) => {
  const server = await rawServer(t, (socket, { index }) => {
    socket.write(index === 0 ? `${head(5)}hello` : `${head(2)}ok`);
  });
  const origin = originOf(t);
  await bytesOf((await origin.fetch(get(server.target()))).body);
  await until(() => origin.load.running === 0);
  const [idle] = server.sockets;
  assert.ok(idle, 'the connection was not kept');
  idle.write(`${head(6)}poison`);
  await once(idle, 'close');
  const next = await origin.fetch(get(server.target()));
  assert.equal(String(await bytesOf(next.body)), 'ok');
});

test('a slow reader of a chunked body with more behind it gets no clean end', async (t) => {
  const server = await rawServer(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (let i = 0; i < 40; i++) socket.write(`${SIZE.toString(16)}\r\n${content}\r\n`);
    socket.write('0\r\n\r\nnonsense');
  });
  const { body } = await originOf(t).fetch(get(server.target()));
  let bytes = 0;
  const slow = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      setImmediate(done);
    },
  });
  await assert.rejects(pipeline(body, slow), { reason: 'broken' });
  assert.ok(bytes > 0);
});

for (const end of [['0\r\n\r\n'], ['0\r', '\n\r\n'], ['0\r\n\r', '\n'], ['0\r\nX-Trailer: 1\r\n\r\n']]) {
  test(`a chunked body that is read late is whole, though it ended in ${JSON.stringify(end)}`, async (t) => {
    // So little that it is all here, and the connection closed, before anybody reads.
    const little = content.subarray(0, 60_000);
    const server = await rawServer(t, async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n');
      socket.write(`${little.length.toString(16)}\r\n${little}\r\n`);
      for (const piece of end) {
        await sleep(20);
        socket.write(piece);
      }
      socket.end();
    });
    const { body, delimited } = await originOf(t).fetch(get(server.target()));
    assert.equal(delimited, 'chunked');
    await until(() => server.sockets.size === 0);
    assert.deepEqual(await bytesOf(body), little);
  });
}

test('a body that ends with its connection says that nobody knows', async (t) => {
  const server = await rawServer(t, (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nall?'));
  const { body, delimited } = await originOf(t).fetch(get(server.target()));
  assert.equal(delimited, 'close');
  assert.equal(String(await bytesOf(body)), 'all?');
});

test('a body that stops while somebody reads it is stalled', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(10)}half`));
  const origin = originOf(t, { stallTimeoutMs: 50 });
  const { body } = await origin.fetch(get(server.target()));
  await assert.rejects(bytesOf(body), { reason: 'stalled', status: 502 });
  await until(() => origin.load.running === 0 && server.sockets.size === 0);
});

test('a body that dribbles is no stall, and neither is one that nobody reads', async (t) => {
  const server = await rawServer(t, async (socket) => {
    socket.write(head(10));
    for (let i = 0; i < 10; i++) {
      await sleep(150);
      socket.write(String(i));
    }
  });
  // Less than all of it takes, and than nobody reads; far more than there is between two bytes, also on a busy machine.
  const { body } = await originOf(t, { stallTimeoutMs: 1_000 }).fetch(get(server.target()));
  const chunks: Buffer[] = [];
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if (chunks.length === 1) await sleep(1_200);
  }
  assert.equal(String(Buffer.concat(chunks)), '0123456789');
});

test('a paused reader of a body that has stopped is not told of a stall before it reads on', async (t) => {
  const server = await rawServer(t, (socket) => socket.write(`${head(10)}half`));
  const { body } = await originOf(t, { stallTimeoutMs: 50 }).fetch(get(server.target()));
  const reading = body[Symbol.asyncIterator]();
  assert.equal(String((await reading.next()).value), 'half');
  await sleep(200);
  assert.equal(body.destroyed, false);
  await assert.rejects(reading.next(), { reason: 'stalled' });
});

test('HEAD, 204 and 304 have no body, whatever length they declare, and their connection is kept', async (t) => {
  const server = await rawServer(t, (socket, { index }) => {
    if (index === 0) socket.write(head(SIZE));
    else
      socket.write(
        `HTTP/1.1 ${index === 1 ? 204 : 304} None\r\nETag: "a"\r\n${index === 1 ? '' : 'Content-Length: 5\r\n'}\r\n`,
      );
  });
  const origin = originOf(t);
  for (const method of ['HEAD', 'GET', 'GET']) {
    const { body } = await origin.fetch(get(server.target(), { method }));
    assert.equal(origin.load.running, 0);
    assert.equal((await bytesOf(body)).length, 0);
  }
  assert.equal(server.connections, 1);
});

test('informational answers are not the answer', async (t) => {
  const server = await rawServer(t, (socket) => {
    socket.write('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n');
    socket.write(`${head(2)}ok`);
  });
  const { status, body } = await originOf(t).fetch(get(server.target()));
  assert.deepEqual([status, String(await bytesOf(body))], [200, 'ok']);
});
