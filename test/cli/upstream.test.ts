import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import type { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Upstream } from '../../lib/cli/upstream.ts';
import { startOrigin } from './support.ts';

const signal = new AbortController().signal;

/** A server that answers each connection with these pieces, each in a packet of its own, and closes it. */
async function sayingServer(
  t: TestContext,
  pieces: string[],
): Promise<{ server: Server; upstream: Upstream }> {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.once('data', async () => {
      for (const piece of pieces) {
        socket.write(piece);
        await sleep(20);
      }
      socket.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstream = new Upstream(
    new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    10_000,
  );
  t.after(() => {
    upstream.close();
    server.close();
  });
  return { server, upstream };
}

const body = 'x'.repeat(60_000);
const beginning =
  'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' +
  `${body.length.toString(16)}\r\n${body}\r\n`;

for (const end of [['0\r\n\r\n'], ['0\r', '\n\r\n'], ['0\r\n\r', '\n'], ['0\r\nX-Trailer: 1\r\n\r\n']]) {
  test(`a chunked answer that is read late is whole, though it ended in ${JSON.stringify(end)}`, async (t) => {
    const { server, upstream } = await sayingServer(t, [beginning, ...end]);
    const [[socket], response] = await Promise.all([
      once(server, 'connection'),
      upstream.request('/', { method: 'GET', headers: [], signal }),
    ]);
    if (!socket.destroyed) await once(socket, 'close');
    const chunks = await (response.body as Readable).toArray();
    assert.equal(Buffer.concat(chunks).toString(), body);
  });
}

test('a chunked answer without its end is not whole', async (t) => {
  const { upstream } = await sayingServer(t, [beginning]);
  const response = await upstream.request('/', { method: 'GET', headers: [], signal });
  await assert.rejects((response.body as Readable).toArray(), { code: 'ECONNRESET' });
});

test('of a question’s answer no more is read than is wanted', async (t) => {
  const origin = await startOrigin(t, (_req, res) => {
    // Without end: only its beginning can be read.
    const more = () => {
      while (!res.destroyed && res.write('x'.repeat(16_384)));
    };
    res.on('drain', more);
    more();
  });
  const upstream = new Upstream(new URL(origin.url), 10_000);
  t.after(() => upstream.close());
  const { status, text } = await upstream.ask('/', { method: 'GET', headers: [], signal }, 100_000);
  assert.equal(status, 200);
  assert.ok(text.length > 100_000 && text.length < 200_000, String(text.length));
});

test('an answer to a question that does not end in time is a 504', async (t) => {
  const origin = await startOrigin(t, (_req, res) => res.write('{'));
  const upstream = new Upstream(new URL(origin.url), 200);
  t.after(() => upstream.close());
  const asked = upstream.ask('/', { method: 'GET', headers: [], signal }, 1000);
  await assert.rejects(asked, { name: 'HttpError', status: 504 });
});

test('what ends a request ends its question, with the reason', async (t) => {
  const origin = await startOrigin(t, () => ending.abort(new Error('the client left')));
  const ending = new AbortController();
  const upstream = new Upstream(new URL(origin.url), 10_000);
  t.after(() => upstream.close());
  const asked = upstream.ask('/', { method: 'GET', headers: [], signal: ending.signal }, 1000);
  await assert.rejects(asked, { message: 'the client left' });
});
