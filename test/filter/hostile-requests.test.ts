import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { createServer, request } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import compression from 'compression';
import connectApp from 'connect';
import express5 from 'express';
import express4 from 'express4';
import { type CacheFilterOptions, cacheFilter, MemoryCache } from '../../lib/index.ts';
import { certificate } from '../support/certificate.ts';
import { ask } from '../support/client.ts';
import { onDisk, temporaryDirectory } from '../support/directory.ts';
import { BODY, barrier, filtered, respond, said } from '../support/filtered.ts';
import { type Handler, KINDS, serve } from '../support/servers.ts';

const HTTP1 = KINDS.filter((kind) => kind !== 'http2');
const LIMIT = { timeout: 60_000 };
const routes = [{ path: '/files/:id', name: 'files' }];

/** What comes back for these bytes until the connection ends. */
async function raw(port: number, ...lines: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(lines.join('\r\n'));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

describe('mounts below which the URL is rewritten never share an entry', () => {
  for (const [name, make] of [
    ['express5', express5],
    ['express4', express4],
    ['connect', connectApp],
  ] as const) {
    for (const rewrites of [true, false]) {
      test(`${name}, ${rewrites ? 'rewritten' : 'the mount point itself'}`, async (t) => {
        const filter = cacheFilter({ cache: new MemoryCache(), freshness: 'immutable' });
        const app = (make as unknown as typeof connectApp)();
        const urls: unknown[] = [];
        for (const tenant of ['a', 'b']) {
          app.use(`/${tenant}`, (req, _res, next) => {
            if (rewrites) req.url = '/index.html';
            urls.push(req.url);
            next();
          });
          app.use(`/${tenant}`, filter as never);
          app.use(`/${tenant}`, (_req: unknown, res: ServerResponse) => void res.end(`tenant ${tenant}`));
        }
        const server = await serve('http', [app as unknown as Handler]);
        t.after(() => server.close());
        for (const status of ['fwd=uri-miss; stored', 'hit']) {
          for (const tenant of ['a', 'b']) {
            const answer = await ask(server, { path: rewrites ? `/${tenant}/page` : `/${tenant}` });
            assert.deepEqual([answer.body.toString(), said(answer)], [`tenant ${tenant}`, status]);
            await filter.idle();
          }
        }
        assert.deepEqual(urls, Array(4).fill(rewrites ? '/index.html' : '/'), 'the fault fired');
      });
    }
  }
});

test('a client certificate that the application checks itself counts as credentials', LIMIT, async (t) => {
  const directory = temporaryDirectory(t);
  const filter = cacheFilter({
    directory: join(directory, 'cache'),
    minFreeBytes: 0,
    freshness: 'immutable',
  });
  const peers: unknown[] = [];
  const app = (req: IncomingMessage, res: ServerResponse) => {
    const socket = req.socket as unknown as {
      authorized: boolean;
      getPeerCertificate(): { subject?: { CN: string } };
    };
    const name = socket.getPeerCertificate().subject?.CN;
    peers.push([name, socket.authorized]);
    if (req.url === '/public') res.setHeader('Cache-Control', 'public');
    res.end(`for ${name}`);
  };
  const server = createServer(
    { ...certificate(), requestCert: true, rejectUnauthorized: false },
    (req, res) => filter(req, res, () => app(req, res)),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    await filter.close();
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const get = async (path: string, who?: ReturnType<typeof certificate>) => {
    const req = request({ port, host: '127.0.0.1', path, rejectUnauthorized: false, agent: false, ...who });
    req.end();
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of res) chunks.push(chunk as Buffer);
    await filter.idle();
    const status = String(res.headers['cache-status']).replace('cache-filter; ', '');
    return [Buffer.concat(chunks).toString(), status];
  };
  const [alice, bob] = [certificate('alice'), certificate('bob')];
  assert.deepEqual(await get('/a', alice), ['for alice', 'fwd=uri-miss; detail=credentials']);
  assert.deepEqual(peers, [['alice', false]], 'the fault fired: a certificate, not authorised');
  assert.equal((await get('/a', bob))[0], 'for bob');
  assert.deepEqual(await get('/b'), ['for undefined', 'fwd=uri-miss; stored']);
  assert.deepEqual(await get('/b'), ['for undefined', 'hit']);
  assert.deepEqual(await get('/b', bob), ['for bob', 'fwd=bypass; detail=credentials']);
  assert.deepEqual(await get('/public', alice), ['for alice', 'fwd=uri-miss; stored']);
  assert.deepEqual(await get('/public', bob), ['for alice', 'hit']);
});

describe('a GET with a body is neither kept nor answered from the cache', () => {
  for (const kind of KINDS) {
    for (const framing of kind === 'http2' ? (['data'] as const) : (['length', 'chunks'] as const)) {
      test(`${kind}, by ${framing}`, LIMIT, async (t) => {
        const got: string[] = [];
        const { filter, server, get } = await filtered(
          t,
          { ...onDisk(t) },
          async (req, res) => {
            let text = '';
            for await (const chunk of req) text += chunk;
            got.push(text);
            res.end(`asked ${text}`);
          },
          kind,
        );
        const withBody = async (): Promise<string> => {
          if (kind === 'http2') {
            const session = connectHttp2(`http://127.0.0.1:${server.port}`);
            const stream = session.request({ ':path': '/a', ':method': 'GET' }, { endStream: false });
            stream.end('evil');
            const [head] = await once(stream, 'response');
            let text = `${head['cache-status']}\n`;
            for await (const chunk of stream) text += chunk;
            session.close();
            return text;
          }
          const body =
            framing === 'length'
              ? ['Content-Length: 4', '', 'evil']
              : ['Transfer-Encoding: chunked', '', '4', 'evil', '0', '', ''];
          return raw(server.port, 'GET /a HTTP/1.1', 'Host: localhost', 'Connection: close', ...body);
        };
        for (const next of ['fwd=uri-miss; stored', 'hit']) {
          assert.match(await withBody(), /fwd=bypass; detail=request-body[\s\S]*asked evil/);
          await filter.idle();
          const answer = await get('/a');
          assert.deepEqual([said(answer), answer.body.toString()], [next, 'asked ']);
        }
        assert.deepEqual(got, ['evil', '', 'evil'], 'the fault fired: the handler saw the bodies');
      });
    }
  }

  for (const kind of HTTP1) {
    for (const method of ['GET', 'DELETE']) {
      test(
        `${kind}: a client that breaks off in the body of a ${method} wedges nothing`,
        LIMIT,
        async (t) => {
          const asked = barrier<IncomingMessage>();
          const gone = barrier();
          const { filter, server, get } = await filtered(
            t,
            { ...onDisk(t) },
            async (req, res) => {
              if (req.headers['content-length'] === undefined) return respond(req, res);
              req.once('error', () => gone.reach());
              req.once('close', () => gone.reach());
              req.resume();
              req.once('end', () => respond(req, res));
              asked.reach(req);
            },
            kind,
          );
          const socket = connect(server.port, '127.0.0.1');
          socket.on('error', () => undefined);
          socket.write(`${method} /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"a":`);
          const req = await asked.reached;
          socket.destroy();
          await gone.reached;
          assert.equal(req.complete, false, 'the fault fired: it broke off');
          await filter.idle();
          assert.equal((await filter.stats()).fills, 0);
          assert.equal(said(await get('/a')), 'fwd=uri-miss; stored');
          assert.equal(said(await get('/a')), 'hit');
        },
      );
    }
  }
});

for (const kind of HTTP1) {
  test(`${kind}: a DELETE in absolute form purges`, async (t) => {
    const urls: unknown[] = [];
    const app: Parameters<typeof filtered>[2] = (req, res) => {
      urls.push(req.url);
      respond(req, res);
    };
    const { server, get } = await filtered(t, { routes }, app, kind);
    await get('/files/a');
    const target = `http://localhost:${server.port}/files/a`;
    const head = ['Host: localhost', 'Connection: close', '', ''];
    assert.match(await raw(server.port, `GET ${target} HTTP/1.1`, ...head), /cache-filter; hit\r\n/);
    assert.match(await raw(server.port, `DELETE ${target} HTTP/1.1`, ...head), /^HTTP\/1.1 204 /);
    assert.deepEqual(urls, ['/files/a', target], 'the fault fired: it came in absolute form');
    assert.equal(said(await get('/files/a')), 'fwd=uri-miss; stored');
  });
}

describe('spellings that an application may tell apart', () => {
  for (const same of [
    ['/f/a+b', '/f/a%2Bb', '/f/a%2bb'],
    ['/f/x', '/F/x', '/f/x/', '/F/x/', '/f/%78'],
    ['/f/a;v=1', '/f/a%3Bv=1'],
    ['/f/a@b', '/f/a%40b'],
  ]) {
    test(`${same.join(' ')}: each has its own bytes, and a DELETE of one purges all`, async (t) => {
      const app: Parameters<typeof filtered>[2] = (req, res) =>
        req.method === 'DELETE' ? respond(req, res) : res.end(`asked ${req.url}`);
      const { get, filter } = await filtered(t, { routes: [{ path: '/f/:id' }] }, app);
      for (const deleted of same) {
        for (const status of ['fwd=uri-miss; stored', 'hit']) {
          for (const path of same) {
            const answer = await get(path);
            assert.deepEqual([answer.body.toString(), said(answer)], [`asked ${path}`, status], deleted);
          }
        }
        assert.equal((await filter.stats()).entries, same.length, 'the fault fired: each is kept');
        assert.equal((await get(deleted, {}, { method: 'DELETE' })).status, 204);
      }
    });
  }
});

test('filters that share a directory under namespaces purge only what is their own', async (t) => {
  const options = { ...onDisk(t), routes } satisfies Partial<CacheFilterOptions>;
  const a = await filtered(t, { ...options, namespace: 'a' });
  const b = await filtered(t, { ...options, namespace: 'ab' });
  for (const [own, other] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const what of [
      { id: '1' },
      { id: '1', route: 'files' },
      { url: '/files/1' },
      { all: true },
    ] as const) {
      for (const { get, filter } of [own, other]) {
        await get('/files/1');
        await filter.idle();
        assert.equal(said(await get('/files/1')), 'hit', 'the fault fired: both have it');
      }
      assert.equal(await own.filter.purge(what), 1, JSON.stringify(what));
      assert.equal(said(await other.get('/files/1')), 'hit', JSON.stringify(what));
      assert.equal(said(await own.get('/files/1')), 'fwd=uri-miss; stored', JSON.stringify(what));
      await own.filter.idle();
    }
  }
});

test('a part of a body says nothing of the digest that the content of the whole has', async (t) => {
  const digests = {
    'Content-MD5': createHash('md5').update(BODY).digest('base64'),
    'Content-Digest': `sha-256=:${createHash('sha256').update(BODY).digest('base64')}:`,
  };
  for (const kind of KINDS) {
    const app: Parameters<typeof filtered>[2] = (req, res) => {
      if (req.url === '/b') res.setHeader('Cache-Control', 'no-store');
      res.setHeader('Content-Length', BODY.length);
      for (const [name, value] of Object.entries(digests)) res.setHeader(name, value);
      res.write(BODY.subarray(0, 10));
      res.end(BODY.subarray(10));
    };
    const { get } = await filtered(t, { ...onDisk(t) }, app, kind);
    const whole = await get('/a');
    assert.equal(whole.headers['content-digest'], digests['Content-Digest'], 'the fault fired: it was said');
    for (const [path, range, status] of [
      ['/a', 'bytes=0-1', 'hit'],
      ['/a', 'bytes=0-1,4-5', 'hit'],
      ['/b', 'bytes=0-1', 'fwd=uri-miss; detail=no-store'],
      ['/c', 'bytes=0-1', 'fwd=uri-miss; stored; detail=unverified'],
    ] as const) {
      const { headers, ...answer } = await get(path, { Range: range });
      assert.deepEqual(
        [answer.status, said({ headers, ...answer })],
        [206, status],
        `${kind} ${path} ${range}`,
      );
      assert.deepEqual([headers['content-digest'], headers['content-md5']], [undefined, undefined]);
    }
  }
});

test('what compression, mounted outside, makes of a hit has no strong validator', async (t) => {
  const body = Buffer.from('hello world '.repeat(1000));
  const app: Handler = (_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length }).end(body);
  };
  for (const kind of HTTP1) {
    const filter = cacheFilter({ cache: new MemoryCache(), freshness: 'immutable' });
    const server = await serve(kind, [compression({ threshold: 0 }) as never, filter as Handler, app]);
    t.after(() => server.close());
    await ask(server);
    await filter.idle();
    const plain = await ask(server);
    assert.match(String(plain.headers['repr-digest']), /^sha-256=:/);
    assert.match(String(plain.headers['etag']), /^"sha256-/);
    const headers = { 'Accept-Encoding': 'gzip' };
    const packed = await ask(server, { headers });
    assert.deepEqual([said(packed), packed.headers['content-encoding']], ['hit', 'gzip'], 'the fault fired');
    assert.ok(gunzipSync(packed.body).equals(body));
    const { etag } = packed.headers;
    assert.deepEqual([etag, packed.headers['repr-digest']], [`W/${plain.headers['etag']}`, undefined]);
    const more = { ...headers, Range: 'bytes=6000-', 'If-Range': String(etag) };
    assert.equal((await ask(server, { headers: more })).status, 200, 'not a part of something else');
  }
});
