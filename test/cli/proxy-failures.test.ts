import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { ask, begin, deferred, serve, startOrigin } from './support.ts';

/** Only /cached/… is ever kept: everything else shows the proxy alone. */
const FLAGS = ['--routes', '/cached/:id', '--authorize', 'anyone'];

function proxied(t: TestContext, origin: string, ...more: string[]) {
  return serve(t, ['--origin', origin, ...FLAGS, ...more]);
}

test('an origin that is not there is a 502, one that does not answer a 504', async (t) => {
  const origin = await startOrigin(t, () => {});
  const { url } = await proxied(t, origin.url, '--origin-timeout', '0.2');
  const late = await ask(`${url}/a`);
  assert.deepEqual([late.status, late.headers['content-type']], [504, 'text/plain; charset=utf-8']);
  assert.match(late.body.toString(), /^504 Gateway Timeout: no answer within 0.2 s\n$/);
  origin.server.close();
  origin.server.closeAllConnections();
  await once(origin.server, 'close');
  const gone = await ask(`${url}/a`, {
    method: 'PUT',
    headers: { Connection: 'keep-alive' },
    body: Buffer.alloc(4 * 2 ** 20),
  });
  assert.equal(gone.status, 502);
  assert.match(gone.body.toString(), /ECONNREFUSED/);
});

test('the time that a slow upload takes is not held against the origin', async (t) => {
  const origin = await startOrigin(t, async (req, res) => res.end(await text(req)));
  const { url } = await proxied(t, origin.url, '--origin-timeout', '0.5');
  const upload = request(`${url}/up`, { method: 'PUT', agent: false });
  for (let i = 0; i < 10; i++) {
    upload.write('x');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  upload.end();
  const [res] = (await once(upload, 'response')) as [IncomingMessage];
  assert.equal(await text(res), 'x'.repeat(10));
});

test('a client that stops in the middle of its upload, and stays, is a 408', async (t) => {
  const origin = await startOrigin(t, (req) => req.resume());
  const { url } = await proxied(t, origin.url, '--origin-timeout', '0.2');
  const upload = request(`${url}/up`, { method: 'PUT', headers: { Connection: 'keep-alive' }, agent: false });
  upload.on('error', () => {});
  upload.write('half');
  const [res] = (await once(upload, 'response')) as [IncomingMessage];
  assert.equal(res.statusCode, 408);
  upload.destroy();
});

for (const framing of ['length', 'chunked'] as const) {
  for (const path of ['/plain', '/cached/1']) {
    test(`an origin that dies in mid-body breaks the client's transfer, and nothing is kept: ${framing}, ${path}`, async (t) => {
      const reached = deferred();
      let dies = true;
      const origin = await startOrigin(t, async (_req, res) => {
        const headers = {
          'Cache-Control': 'max-age=60',
          ...(framing === 'length' ? { 'Content-Length': 10 } : {}),
        };
        res.writeHead(200, headers);
        res.write('01234');
        if (!dies) return res.end('56789');
        await reached.promise;
        return res.destroy();
      });
      const { url } = await proxied(t, origin.url);
      const res = await begin(url + path);
      res.on('error', () => {});
      // A fill may hold its last bytes back; whether the first ones are here does not matter.
      res.on('data', () => {});
      reached.resolve();
      await new Promise((resolve) => res.once('close', resolve));
      assert.equal(res.complete, false, 'the transfer looked whole');
      dies = false;
      const again = await ask(url + path);
      assert.deepEqual([again.whole, again.body.toString()], [true, '0123456789']);
      assert.equal(origin.seen.length, 2, 'the broken body was not answered from the cache');
    });
  }
}

test('a client of HTTP/1.0, whose body ends with the connection, sees a reset when the origin dies', async (t) => {
  let reply: ServerResponse | undefined;
  const origin = await startOrigin(t, (_req, res) => {
    reply = res;
    res.write('half');
  });
  const { url } = await proxied(t, origin.url);
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write('GET /plain HTTP/1.0\r\n\r\n');
  const failed = new Promise<string | undefined>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.once('end', () => resolve('a clean end'));
  });
  let received = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    received += String(chunk);
    if (received.endsWith('half')) break;
  }
  reply?.destroy();
  socket.resume();
  assert.equal(await failed, 'ECONNRESET');
});

test('when the client leaves, the origin is let go', async (t) => {
  const left = deferred();
  const origin = await startOrigin(t, (_req, res) => {
    res.once('close', () => left.resolve());
    res.write('endless');
  });
  const { url } = await proxied(t, origin.url);
  const res = await begin(`${url}/a`);
  res.on('error', () => {});
  res.destroy();
  await left.promise;
});

test('when the client leaves before there is an answer, the origin is let go', async (t) => {
  const arrived = deferred();
  const left = deferred();
  const origin = await startOrigin(t, (_req, res) => {
    res.once('close', () => left.resolve());
    arrived.resolve();
  });
  const { url } = await proxied(t, origin.url);
  const req = request(`${url}/a`, { agent: false });
  req.on('error', () => {});
  req.end();
  await arrived.promise;
  req.destroy();
  await left.promise;
});

test('a slow client slows the origin down', async (t) => {
  const total = 256 * 2 ** 20;
  const chunk = Buffer.alloc(2 ** 20);
  let written = 0;
  let stalled = deferred();
  const origin = await startOrigin(t, async (_req, res) => {
    res.writeHead(200, { 'Content-Length': total });
    while (written < total && !res.destroyed) {
      written += chunk.length;
      if (res.write(chunk)) continue;
      const drained = once(res, 'drain').catch(() => {});
      const timer = setTimeout(() => stalled.resolve(), 500);
      await drained;
      clearTimeout(timer);
    }
    stalled.resolve();
    res.end();
  });
  const { url } = await proxied(t, origin.url);
  const res = await begin(`${url}/a`);
  res.pause();
  await stalled.promise;
  // What the sockets and streams between them hold.
  assert.ok(written < 64 * 2 ** 20, `the origin could write ${written} bytes that nobody read`);
  stalled = deferred();
  let read = 0;
  for await (const piece of res) read += (piece as Buffer).length;
  assert.equal(read, total);
});

test('a kept connection that the origin has just closed is no failure', async (t) => {
  // Answers the first request of each connection, and hangs up on the second one.
  const tcp = createTcpServer((socket) => {
    let asked = 0;
    socket.on('error', () => {});
    socket.on('data', () => {
      asked += 1;
      if (asked === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      else socket.destroy();
    });
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  t.after(() => tcp.close());
  const { url } = await proxied(t, `http://127.0.0.1:${(tcp.address() as AddressInfo).port}`);
  for (let i = 0; i < 3; i++) assert.equal((await ask(`${url}/a`)).body.toString(), 'ok');
});

test('an origin that leads back here is found out', async (t) => {
  const { url } = await proxied(t, 'http://127.0.0.1:1');
  const via = Array.from({ length: 9 }, () => '1.1 cache-filter').join(', ');
  assert.equal((await ask(`${url}/a`, { headers: { Via: via } })).status, 508);
});
