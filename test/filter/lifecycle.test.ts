import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, test } from 'node:test';
import express from 'express';
import { cacheFilter, glance, MemoryCache } from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, barrier, filtered, respond, said } from '../support/filtered.ts';
import { Reading } from '../support/reading.ts';
import { type Handler, KINDS, serve } from '../support/servers.ts';

test('a request begun after the first answer has ended is a hit', async (t) => {
  const { get, calls } = await filtered(t, { ...onDisk(t) });
  for (let i = 0; i < 50; i++) {
    assert.equal(said(await get(`/${i}`)), 'fwd=uri-miss; stored');
    assert.equal(said(await get(`/${i}`)), 'hit');
  }
  assert.equal(calls(), 50);
});

test('an empty body is kept like any other', async (t) => {
  const { get, calls } = await filtered(t, { ...onDisk(t) }, (_req, res) => res.end());
  assert.equal((await get()).headers['content-length'], '0');
  const hit = await get();
  assert.deepEqual([said(hit), hit.headers['content-length'], hit.body.length, calls()], ['hit', '0', 0, 1]);
});

for (const kind of KINDS) {
  test(`${kind}: a head comes before the first byte of its body, to the leader and to a follower`, async (t) => {
    const rest = barrier();
    const { filter, server, calls } = await filtered(
      t,
      onDisk(t),
      async (_req, res) => {
        res.setHeader('Content-Length', BODY.length);
        res.flushHeaders();
        await rest.reached;
        res.end(BODY);
      },
      kind,
    );
    const wire = kind === 'http2' ? 'http2' : 'http';
    const readings = [0, 1].map(() => new Reading(wire, server.port, { path: '/' }));
    // It would wait for ever.
    await Promise.all(readings.map(({ head }) => head));
    rest.reach();
    for (const answer of await Promise.all(readings.map(({ over }) => over)))
      assert.deepEqual([answer.status, answer.complete, answer.body.equals(BODY)], [200, true, true]);
    await filter.idle();
    assert.equal(calls(), 1);
  });
}

describe('freshness', () => {
  test('by the response: Age and ttl tell, and when it is over the next request replaces the entry', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 1_700_000_000_000 });
    let version = 1;
    const { get, calls } = await filtered(t, { freshness: 'response' }, (_req, res) => {
      res.setHeader('Cache-Control', 'max-age=100');
      res.end(`version ${version}`);
    });
    await get();
    t.mock.timers.tick(40_000);
    const hit = await get();
    assert.deepEqual([said(hit), hit.headers['age']], ['hit; ttl=60', '40']);
    version = 2;
    t.mock.timers.tick(60_000);
    const stale = await get();
    assert.deepEqual([said(stale), stale.body.toString()], ['fwd=stale; stored', 'version 2']);
    const again = await get();
    assert.deepEqual([said(again), again.body.toString(), calls()], ['hit; ttl=100', 'version 2', 2]);
  });

  test('ttlMs overrides what the response says, for better and for worse', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 1_700_000_000_000 });
    const { get } = await filtered(t, { freshness: { ttlMs: 5_000 } }, (_req, res) => {
      res.setHeader('Cache-Control', 'max-age=0');
      res.end('text');
    });
    await get();
    assert.equal(said(await get()), 'hit; ttl=5');
    t.mock.timers.tick(5_000);
    assert.equal(said(await get()), 'fwd=stale; stored');
  });
});

test('what is stale is kept until something better is there', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_700_000_000_000 });
  let broken = false;
  const { get, filter } = await filtered(t, { freshness: { ttlMs: 1_000 } }, (_req, res) => {
    if (broken) res.statusCode = 500;
    res.end('text');
  });
  await get();
  broken = true;
  t.mock.timers.tick(2_000);
  assert.deepEqual([said(await get()), (await filter.stats()).entries], ['fwd=stale; detail=not-200', 1]);
});

describe('a fill that many ask for', () => {
  for (const kind of KINDS) {
    test(`${kind}: the application answers once, and everybody gets all of it`, async (t) => {
      const go = barrier();
      const { get, calls } = await filtered(
        t,
        { ...onDisk(t) },
        async (_req, res) => {
          await go.reached;
          res.setHeader('Content-Length', 900_000);
          for (let i = 0; i < 9; i++) res.write(Buffer.alloc(100_000, i));
          res.end();
        },
        kind,
      );
      const clients = Array.from({ length: 20 }, () => get());
      go.reach();
      const answers = await Promise.all(clients);
      for (const { body, complete } of answers) {
        assert.ok(complete && body.length === 900_000 && body[899_999] === 8 && body[450_000] === 4);
      }
      assert.equal(calls(), 1);
    });
  }

  test('one that turns out not to be shareable lets the others go to the application', async (t) => {
    const arrived = barrier();
    const go = barrier();
    let calls = 0;
    const { get } = await filtered(t, {}, async (_req, res) => {
      if (++calls === 1) {
        arrived.reach();
        await go.reached;
      }
      res.setHeader('Cache-Control', 'no-store');
      res.end(`answer ${calls}`);
    });
    const first = get();
    await arrived.reached;
    const others = [get(), get()];
    go.reach();
    assert.equal((await first).body.toString(), 'answer 1');
    for (const other of await Promise.all(others)) assert.equal(said(other), 'fwd=uri-miss; detail=no-store');
    assert.equal(calls, 3);
  });

  test('one that does not begin in time is not waited for', async (t) => {
    const arrived = barrier();
    const go = barrier();
    let calls = 0;
    const { get } = await filtered(t, { collapseTimeoutMs: 20 }, async (_req, res) => {
      if (++calls === 1) {
        arrived.reach();
        await go.reached;
      }
      res.end('text');
    });
    const first = get();
    await arrived.reached;
    assert.equal(said(await get()), 'fwd=uri-miss; detail=collapse');
    go.reach();
    assert.equal(said(await first), 'fwd=uri-miss; stored');
  });
});

describe('conditional requests', () => {
  test('on a miss they go to the application untouched; on a hit they are answered', async (t) => {
    const { get, calls } = await filtered(t, {}, (req, res) => {
      res.setHeader('ETag', '"v1"');
      if (req.headers['if-none-match'] === '"v1"') {
        res.writeHead(304).end();
        return;
      }
      res.setHeader('Content-Type', 'text/plain');
      res.end(BODY);
    });
    const miss = await get('/', { 'If-None-Match': '"v1"' });
    assert.deepEqual([miss.status, said(miss)], [304, 'fwd=uri-miss; detail=conditional']);
    await get();
    const hit = await get('/', { 'If-None-Match': '"v1"' });
    assert.deepEqual(
      [hit.status, said(hit), hit.headers['etag'], hit.headers['content-type']],
      [304, 'hit', '"v1"', undefined],
    );
    assert.equal((await get('/', { 'If-Match': '"v2"' })).status, 412);
    assert.equal((await get('/', { 'If-None-Match': '"v2"' })).status, 200);
    assert.equal(calls(), 2);
  });
});

describe('closing', () => {
  test('waits for what runs, lets everything pass afterwards, and may be called again', async (t) => {
    const arrived = barrier();
    const go = barrier();
    const { get, filter, calls } = await filtered(t, { ...onDisk(t) }, async (_req, res) => {
      if (calls() === 1) {
        arrived.reach();
        await go.reached;
      }
      res.end(BODY);
    });
    const running = get();
    await arrived.reached;
    let closed = false;
    const closing = filter.close().then(() => {
      closed = true;
    });
    assert.equal(said(await get('/late')), 'fwd=bypass; detail=closed');
    assert.equal(closed, false);
    go.reach();
    assert.ok((await running).complete);
    await closing;
    await filter.close();
    assert.equal(said(await get()), 'fwd=bypass; detail=closed');
  });

  test('ends what takes longer than closeTimeoutMs, visibly', async (t) => {
    const arrived = barrier();
    const { get, filter } = await filtered(t, { ...onDisk(t), closeTimeoutMs: 10 }, (_req, res) => {
      res.setHeader('Content-Length', 10);
      res.write('five ');
      arrived.reach();
    });
    const running = get();
    await arrived.reached;
    await filter.close();
    assert.equal((await running).complete, false);
  });
});

test('what does not match is not touched at all', async (t) => {
  const { get } = await filtered(t, { routes: glance() }, (req, res) => {
    assert.deepEqual(
      Object.getOwnPropertyNames(res).filter((name) => name === 'writeHead' || name === 'emit'),
      [],
    );
    respond(req, res);
  });
  for (const path of [
    '/',
    '/v2/images/1',
    '/v2/images/1/members',
    '/v3/images/1/file',
    '/v1/images/detail',
  ]) {
    assert.equal((await get(path)).headers['cache-status'], undefined, path);
  }
});

test('mounted below a path it matches there, and keys by the whole path', async (t) => {
  const cache = new MemoryCache();
  const filter = cacheFilter({ cache, routes: [{ path: '/files/:id' }], freshness: 'immutable' });
  const app = express();
  for (const mount of ['/a', '/b']) {
    app.use(mount, filter);
    app.get(`${mount}/files/:id`, (req, res) => void res.send(`${mount}${req.params.id}`));
  }
  const server = await serve('http', [app as unknown as Handler]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  for (const round of ['fwd=uri-miss; stored', 'hit']) {
    for (const mount of ['/a', '/b']) {
      const answer = await ask(server, { path: `${mount}/files/1` });
      assert.deepEqual([said(answer), answer.body.toString()], [round, `${mount}1`]);
    }
  }
  assert.equal(await filter.purge({ url: '/b/files/1' }), 1);
  assert.equal(said(await ask(server, { path: '/a/files/1' })), 'hit');
});

test('on a connection that stays open, hits and misses follow one another, pipelined too', async (t) => {
  const { server } = await filtered(t, { ...onDisk(t) });
  const bodies = await new Promise<string>((resolve, reject) => {
    let text = '';
    const socket = connect(server.port, '127.0.0.1', () => {
      for (let i = 0; i < 6; i++) socket.write(`GET /${i % 3} HTTP/1.1\r\nHost: x\r\n\r\n`);
    });
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      if (text.split(BODY.toString()).length < 7) return;
      socket.destroy();
      resolve(text);
    });
  });
  assert.equal(bodies.split('HTTP/1.1 200 OK').length, 7);
});

test('two filters on one response: the inner one stores, the outer one joins in', async (t) => {
  const outer = cacheFilter({
    cache: new MemoryCache(),
    freshness: 'immutable',
    cacheStatus: { name: 'outer' },
  });
  const inner = cacheFilter({
    cache: new MemoryCache(),
    freshness: 'immutable',
    cacheStatus: { name: 'inner' },
  });
  const server = await serve('http', [outer as Handler, inner as Handler, respond]);
  t.after(async () => {
    await outer.close();
    await inner.close();
    await server.close();
  });
  const miss = await ask(server);
  assert.ok(miss.body.equals(BODY) && miss.complete);
  assert.equal(miss.headers['cache-status'], 'inner; fwd=uri-miss; stored, outer; fwd=uri-miss; stored');
  const hit = await ask(server);
  assert.ok(hit.body.equals(BODY));
  assert.equal(hit.headers['cache-status'], 'outer; hit');
});

test('createServer with nothing but the filter and a function', async (t) => {
  const filter = cacheFilter({ cache: new MemoryCache(), freshness: 'immutable' });
  const server = createServer((req, res) => filter(req, res, () => respond(req, res)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const target = { kind: 'http', port, close: async () => undefined } as const;
  await ask(target);
  assert.equal(said(await ask(target)), 'hit');
});
