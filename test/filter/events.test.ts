/** What the filter tells of itself: events, traces, counters. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { fillTracing } from '../../lib/events.ts';
import { type CacheFilterEvents, type FillTrace, getCacheInfo, MemoryCache } from '../../lib/index.ts';
import { BODY, barrier, filtered, respond } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { type Handler, serve } from '../support/servers.ts';

type Name = keyof CacheFilterEvents;

describe('events', () => {
  test('each decision about a request is told, with what it was about', async (t) => {
    const names = ['hit', 'miss', 'bypass', 'refuse', 'served', 'store', 'reject', 'purge'] as const;
    const events = Object.fromEntries(names.map((name) => [name, heard(t, `cache-filter:${name}` as Name)]));
    const counts = () => Object.fromEntries(names.map((name) => [name, events[name]?.splice(0).length]));
    const routes = [{ path: '/files/:id', name: 'files' }];
    const { get, filter } = await filtered(t, {
      routes,
      bypass: ({ req }) => req.headers['x-around'] !== undefined,
      authorize: ({ req }) => req.headers['x-denied'] === undefined,
    });
    const none = { hit: 0, miss: 0, bypass: 0, refuse: 0, served: 0, store: 0, reject: 0, purge: 0 };

    await get('/other');
    assert.deepEqual(counts(), none, 'what matches no route is none of its business');

    await get('/files/a');
    await filter.idle();
    const [miss] = events['miss'] as CacheFilterEvents['cache-filter:miss'][];
    assert.equal(miss?.id, 'a');
    assert.equal(miss?.route, 'files');
    assert.deepEqual(miss?.key, { primary: '/files/a' });
    assert.equal(miss?.req.url, '/files/a');
    const [stored] = events['store'] as CacheFilterEvents['cache-filter:store'][];
    assert.equal(stored?.size, BODY.length);
    assert.deepEqual(counts(), { ...none, miss: 1, served: 1, store: 1 });

    await get('/files/a');
    await filter.idle();
    const [served] = events['served'] as CacheFilterEvents['cache-filter:served'][];
    assert.deepEqual(
      [served?.source, served?.status, served?.bytes, served?.size, served?.complete],
      ['hit', 200, BODY.length, BODY.length, true],
    );
    assert.deepEqual(counts(), { ...none, hit: 1, served: 1 });

    await get('/files/a', { 'x-around': '1' });
    const [bypass] = events['bypass'] as CacheFilterEvents['cache-filter:bypass'][];
    assert.equal(bypass?.reason, 'bypass');
    assert.deepEqual(counts(), { ...none, bypass: 1 });

    await get('/files/a', { 'x-denied': '1' });
    const [refused] = events['refuse'] as CacheFilterEvents['cache-filter:refuse'][];
    assert.deepEqual([refused?.reason, refused?.status], ['denied', 403]);
    assert.deepEqual(counts(), { ...none, refuse: 1 });

    await get('/files/a', {}, { method: 'DELETE' });
    const [purge] = events['purge'] as CacheFilterEvents['cache-filter:purge'][];
    assert.deepEqual(purge, { what: { key: '/files/a' }, entries: 1 });
    assert.deepEqual(counts(), { ...none, purge: 1 });
  });

  test('a response that is not kept is told with its reason, and what failed', async (t) => {
    const rejects = heard(t, 'cache-filter:reject');
    const { get, filter } = await filtered(t, {}, (req, res) => {
      if (req.url === '/private') res.setHeader('Cache-Control', 'private');
      res.setHeader('Content-Length', BODY.length);
      if (req.url === '/cut') {
        res.write(BODY.subarray(0, 5));
        res.destroy();
      } else if (req.url === '/wrong') {
        res.setHeader('Content-MD5', '0'.repeat(32));
        res.end(BODY);
      } else res.end(BODY);
    });
    for (const path of ['/private', '/cut', '/wrong']) await get(path);
    await filter.idle();
    assert.deepEqual(
      rejects.map(({ id, reason, error }) => [id, reason, (error as { code?: string } | undefined)?.code]),
      [
        ['/private', 'private', undefined],
        ['/cut', 'unfinished', 'ERR_CACHE_FILTER_INCOMPLETE'],
        ['/wrong', 'unproven', 'ERR_CACHE_FILTER_INTEGRITY'],
      ],
    );
  });

  test('what the events say is what getCacheInfo says', async (t) => {
    const infos: unknown[] = [];
    const hits = heard(t, 'cache-filter:hit');
    const { filter } = await filtered(t);
    const server = await serve('http', [
      (_req, res, next) => {
        res.on('close', () => infos.push(getCacheInfo(res)));
        next();
      },
      filter as Handler,
      respond as unknown as Handler,
    ]);
    t.after(() => server.close());
    for (const _ of [1, 2]) await (await fetch(`http://127.0.0.1:${server.port}/a`)).text();
    while (infos.length < 2) await new Promise(setImmediate);
    const common = { route: 'all', id: '/a', key: '/a' };
    assert.deepEqual(infos, [
      { ...common, status: 'miss', stored: true },
      { ...common, status: 'hit' },
    ]);
    assert.equal(hits.length, 1);
  });
});

describe('the tracing channel around fills', () => {
  test('spans the handler, and ends when the fill does', async (t) => {
    const order: string[] = [];
    const traces: FillTrace[] = [];
    const note = (name: string) => (trace: FillTrace) => {
      order.push(name);
      traces.push(trace);
    };
    const subscribers = {
      start: note('start'),
      end: note('end'),
      asyncStart: note('asyncStart'),
      asyncEnd: note('asyncEnd'),
      error: note('error'),
    };
    fillTracing.subscribe(subscribers as never);
    t.after(() => fillTracing.unsubscribe(subscribers as never));
    const storage = new AsyncLocalStorage<FillTrace>();
    (fillTracing.start as unknown as { bindStore(store: unknown): void }).bindStore(storage);
    t.after(() =>
      (fillTracing.start as unknown as { unbindStore(store: unknown): void }).unbindStore(storage),
    );
    let seen: FillTrace | undefined;
    const { get, filter } = await filtered(t, {}, (req: IncomingMessage, res: ServerResponse) => {
      seen = storage.getStore();
      order.push('handler');
      res.setHeader('Content-Length', BODY.length);
      if (req.url === '/cut') res.destroy();
      else res.end(BODY);
    });
    await get('/a');
    await filter.idle();
    assert.deepEqual(order.splice(0), ['start', 'handler', 'end', 'asyncStart', 'asyncEnd']);
    assert.equal(seen, traces[0], 'the handler runs in its context');
    assert.equal(traces[0]?.size, BODY.length);
    assert.equal(new Set(traces.splice(0)).size, 1, 'one object for one fill');
    await get('/a');
    assert.deepEqual(order, [], 'a hit is no fill');
    await get('/cut');
    await filter.idle();
    assert.deepEqual([...order].sort(), ['asyncEnd', 'asyncStart', 'end', 'error', 'handler', 'start']);
    assert.equal(traces[0]?.reason, 'unfinished');
    assert.ok(traces[0]?.error instanceof Error);
  });
});

describe('filter.stats()', () => {
  test('counts requests by outcome, responses, bytes by source, reasons', async (t) => {
    const head = barrier();
    const go = barrier();
    const cache = new MemoryCache();
    const { get, filter } = await filtered(
      t,
      { cache, authorize: ({ req }) => req.headers['x-denied'] === undefined },
      async (req, res) => {
        if (req.url === '/slow') {
          res.setHeader('Content-Length', BODY.length);
          res.flushHeaders();
          head.reach();
          await go.reached;
          res.end(BODY);
        } else if (req.url === '/no') {
          res.setHeader('Cache-Control', 'no-store');
          res.end(BODY);
        } else respond(req, res);
      },
    );
    await get('/a');
    await get('/a');
    await get('/a', { range: 'bytes=0-9' });
    await get('/a', { 'x-denied': '1' });
    await get('/no');
    await get('/no');
    const leader = get('/slow');
    await head.reached;
    const follower = get('/slow');
    while ((await filter.stats()).requests.collapsed === 0) await new Promise(setImmediate);
    assert.equal((await filter.stats()).requests.running, 2);
    go.reach();
    await Promise.all([leader, follower]);
    await filter.idle();
    const { requests, responses, servedBytes, reasons, entries, bytes } = await filter.stats();
    assert.deepEqual(requests, {
      hits: 2,
      misses: 5,
      bypasses: 0,
      refusals: 1,
      collapsed: 1,
      running: 0,
    });
    assert.deepEqual(responses, { stored: 2, rejected: 1 });
    assert.deepEqual(servedBytes, {
      hit: BODY.length + 10,
      fill: 2 * BODY.length,
      collapsed: BODY.length,
      origin: 0,
    });
    assert.deepEqual(reasons, { denied: 1, 'no-store': 2 });
    const held = await cache.stats();
    assert.deepEqual([entries, bytes], [2, held.bytes]);
  });
});
