import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ask, begin, deferred, serve, startOrigin, valuesOf } from './support.ts';

/** Only /cached/… is ever kept: everything else shows the proxy alone. */
const FLAGS = ['--routes', '/cached/:id', '--authorize', 'anyone'];

function proxied(t: TestContext, origin: string, ...more: string[]) {
  return serve(t, ['--origin', origin, ...FLAGS, ...more]);
}

test('every method gets through, with its body', async (t) => {
  const origin = await startOrigin(t, async (req, res) => {
    const body = `${req.method} ${req.url} ${await text(req)}`;
    res.setHeader('Content-Length', body.length);
    res.end(body);
  });
  const { url } = await proxied(t, origin.url);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const answer = await ask(`${url}/a?b=c`, { method, body: 'hello' });
    assert.equal(answer.body.toString(), `${method} /a?b=c hello`);
    const without = await ask(`${url}/a`, { method });
    assert.equal(without.body.toString(), `${method} /a `);
  }
  assert.equal((await ask(`${url}/a`)).body.toString(), 'GET /a ');
  const head = await ask(`${url}/a`, { method: 'HEAD' });
  assert.equal(head.headers['content-length'], String('HEAD /a '.length));
  assert.equal((await ask(`${url}/a`, { body: 'x' })).status, 501, 'GET with a body');
});

test('a request body streams: the origin has its beginning before the client has sent its end', async (t) => {
  const arrived = deferred<string>();
  const origin = await startOrigin(t, (req, res) => {
    req.once('data', (chunk: Buffer) => arrived.resolve(chunk.toString()));
    void text(req).then((all) => res.end(all));
  });
  const { url } = await proxied(t, origin.url);
  const upload = request(`${url}/up`, { method: 'PUT', agent: false });
  upload.write('first ');
  assert.equal(await arrived.promise, 'first ');
  upload.end('second');
  const [res] = (await once(upload, 'response')) as [IncomingMessage];
  assert.equal(await text(res), 'first second');
});

test('a chunked body is chunked for the origin too, whatever the method', async (t) => {
  const origin = await startOrigin(t, async (req, res) => res.end(await text(req)));
  const { url } = await proxied(t, origin.url);
  // Node's client frames a DELETE only when told to; unframed, the body would be taken for the next request.
  const answer = await ask(`${url}/a`, {
    method: 'DELETE',
    body: 'one',
    headers: { 'Transfer-Encoding': 'chunked' },
  });
  assert.equal(answer.body.toString(), 'one');
  assert.equal(origin.seen[0]?.headers['transfer-encoding'], 'chunked');
  const named = await ask(`${url}/b`, {
    method: 'DELETE',
    body: 'two',
    headers: { Connection: 'close, Content-Length' },
  });
  assert.equal(named.body.toString(), 'two');
  assert.equal(origin.seen.length, 2);
});

test('a client that leaves in the middle of its upload is not taken for the end of the upload', async (t) => {
  const arrived = deferred();
  const broken = deferred<boolean>();
  const origin = await startOrigin(t, (req) => {
    req.once('data', () => arrived.resolve());
    req.once('close', () => broken.resolve(!req.complete));
    req.on('error', () => {});
  });
  const { url } = await proxied(t, origin.url);
  const upload = request(`${url}/up`, { method: 'PUT', agent: false });
  upload.on('error', () => {});
  upload.write('half');
  await arrived.promise;
  upload.destroy();
  assert.equal(await broken.promise, true);
});

test('hop-by-hop headers stay behind, both ways; the rest goes through, repeated ones repeated', async (t) => {
  const origin = await startOrigin(t, (_req, res) => {
    res.writeHead(200, [
      ...['Connection', 'close, X-Mine'],
      ...['X-Mine', '1'],
      ...['Keep-Alive', 'timeout=9'],
      ...['Set-Cookie', 'a=1'],
      ...['Set-Cookie', 'b=2'],
      ...['X-Kept', 'yes'],
      ...['Via', '1.1 further'],
    ]);
    res.end('ok');
  });
  const { url } = await proxied(t, origin.url);
  const answer = await ask(`${url}/a`, {
    headers: {
      Connection: 'close, X-Private',
      'X-Private': '1',
      TE: 'trailers',
      'Proxy-Authorization': 'Basic eA==',
      Host: 'public.example',
      'X-Forwarded-For': '192.0.2.1',
      Cookie: 'c=3',
      Via: '1.0 nearer',
    },
  });
  const [asked] = origin.seen;
  assert.ok(asked);
  for (const name of ['x-private', 'te', 'proxy-authorization'])
    assert.equal(asked.headers[name], undefined, name);
  assert.equal(asked.headers.host, new URL(origin.url).host);
  assert.equal(asked.headers['x-forwarded-for'], '192.0.2.1, 127.0.0.1');
  assert.equal(asked.headers['x-forwarded-host'], 'public.example');
  assert.equal(asked.headers['x-forwarded-proto'], 'http');
  assert.equal(asked.headers.cookie, 'c=3');
  assert.equal(asked.headers.via, '1.0 nearer, 1.1 cache-filter');
  assert.equal(asked.headers['user-agent'], 'cache-filter');

  assert.deepEqual(valuesOf(answer.rawHeaders, 'set-cookie'), ['a=1', 'b=2']);
  assert.equal(answer.headers['x-mine'], undefined);
  assert.notEqual(answer.headers['keep-alive'], 'timeout=9');
  assert.equal(answer.headers['x-kept'], 'yes');
  assert.equal(answer.headers.via, '1.1 further, 1.1 cache-filter');
});

test('bytes are not touched: a gzip body comes as it was sent', async (t) => {
  const body = gzipSync('compressible '.repeat(1000));
  const origin = await startOrigin(t, (_req, res) => {
    res.setHeader('Content-Encoding', 'gzip');
    res.end(body);
  });
  const { url } = await proxied(t, origin.url);
  const answer = await ask(`${url}/a`, { headers: { 'Accept-Encoding': 'gzip' } });
  assert.equal(origin.seen[0]?.headers['accept-encoding'], 'gzip');
  assert.equal(answer.headers['content-encoding'], 'gzip');
  assert.deepEqual(answer.body, body);
});

test('redirects and other statuses go to the client as they are', async (t) => {
  const origin = await startOrigin(t, (_req, res) => {
    res.writeHead(302, 'Over There', { Location: '/elsewhere?x=1' });
    res.end();
  });
  const { url } = await proxied(t, origin.url);
  const res = await begin(`${url}/a`);
  res.resume();
  assert.deepEqual(
    [res.statusCode, res.statusMessage, res.headers.location],
    [302, 'Over There', '/elsewhere?x=1'],
  );
  assert.equal(origin.seen.length, 1);
});

test("the origin's base path stays in front, whatever the request's path looks like", async (t) => {
  const origin = await startOrigin(t, (req, res) => res.end(req.url));
  const { url } = await proxied(t, `${origin.url}/base/`);
  for (const path of [
    '/a',
    '//other.example/a',
    '/@other.example',
    '/a%2Fb?c=../d',
    '/%zz',
    '/a;b=c/',
    '/?',
  ]) {
    assert.equal((await ask(url, { path })).body.toString(), `/base${path}`, path);
  }
  assert.equal(
    (await ask(url, { path: 'http://public.example/a' })).body.toString(),
    '/base/a',
    'absolute form',
  );
  for (const path of ['/../a', '/x/%2E./a', '/x/.', '/x\\..\\a', '*', '/a#b']) {
    assert.equal((await ask(url, { path })).status, 400, path);
  }
});

test('the head of a response does not wait for its body', async (t) => {
  const more = deferred();
  const origin = await startOrigin(t, async (_req, res) => {
    res.writeHead(200).flushHeaders();
    await more.promise;
    res.end('body');
  });
  const { url } = await proxied(t, origin.url);
  const res = await begin(`${url}/a`);
  more.resolve();
  assert.equal(await text(res), 'body');
});

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
