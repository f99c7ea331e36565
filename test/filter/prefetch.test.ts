/** Fetching ahead of time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cacheFilter, type EntryInfo, FileCache, MemoryCache, type PrefetchInfo } from '../../lib/index.ts';
import { deferred } from '../support/deferred.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { BODY, filtered, said } from '../support/filtered.ts';
import { giving, originOf } from '../support/origin.ts';

const notAsked = () => assert.fail('the application was asked');
const routes = [{ path: '/files/:id' }, { path: '/all/*path' }];

describe('a prefetch', () => {
  test('stores what has the id, once; what is stored is not fetched again', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const { filter, get } = await filtered(t, { origin: origin.url, routes }, notAsked);
    const key = { primary: '/files/a%20b' };
    assert.deepEqual(await filter.prefetch('a b'), { key, size: BODY.length, fetched: true });
    assert.deepEqual(await filter.prefetch('a b'), { key, size: BODY.length, fetched: false });
    assert.match(said(await get('/files/a%20b')), /^hit/);
    assert.equal(origin.asked.length, 1);
    assert.deepEqual(filter.prefetches(), []);
  });

  test('takes a path, and what urlFor makes of an id; below where the filter is mounted', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const { filter } = await filtered(
      t,
      { origin: origin.url, routes, mountPath: '/mount', urlFor: (id) => `/all/${id}?v=1` },
      notAsked,
    );
    assert.equal((await filter.prefetch({ path: '/files/1' })).key.primary, '/mount/files/1');
    assert.deepEqual((await filter.prefetch('x')).key, { primary: '/mount/all/x', variant: '?v=1' });
    assert.deepEqual(
      origin.asked.map(({ url }) => url),
      ['/files/1', '/all/x?v=1'],
    );
  });

  test('tells how far it is', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const { filter } = await filtered(t, { origin: origin.url, routes }, notAsked);
    const told: PrefetchInfo[] = [];
    await filter.prefetch('1', { onProgress: (info) => told.push(info) });
    assert.equal(told[0]?.path, '/files/1');
    assert.deepEqual(
      [told.at(-1)?.state, told.at(-1)?.bytes, told.at(-1)?.size],
      ['running', BODY.length, BODY.length],
    );
  });

  test('joins a fill that runs, and is joined', async (t) => {
    const half = deferred();
    const begun = deferred();
    const origin = await originOf(t, async (_req, res) => {
      res.writeHead(200, { 'Content-Length': BODY.length });
      res.write(BODY.subarray(0, 10));
      begun.resolve();
      await half.promise;
      res.end(BODY.subarray(10));
    });
    const { filter, get } = await filtered(t, { origin: origin.url, routes }, notAsked);
    const first = get('/files/1');
    await begun.promise;
    const prefetch = filter.prefetch('1');
    const again = filter.prefetch('1');
    half.resolve();
    assert.equal((await prefetch).fetched, false);
    assert.equal((await again).fetched, false);
    assert.deepEqual((await first).body, BODY);
    const ahead = filter.prefetch('2');
    const late = get('/files/2');
    assert.equal((await ahead).size, BODY.length);
    assert.deepEqual((await late).body, BODY);
    assert.equal(origin.asked.length, 2);
  });

  test('that fails does not stop the others, and is tried again so often', async (t) => {
    const origin = await originOf(t, (req, res, n) => {
      if (req.url === '/files/bad') res.writeHead(500).end();
      else if (req.url === '/files/late' && n === 1) res.writeHead(500).end();
      else giving(BODY)(req, res);
    });
    const prefetch = { concurrency: 1, retries: 1 };
    const { filter } = await filtered(t, { origin: origin.url, routes, prefetch }, notAsked);
    const told: PrefetchInfo[] = [];
    const late = filter.prefetch('late', { onProgress: (info) => told.push(info) });
    const bad = filter.prefetch('bad');
    const good = filter.prefetch('good');
    assert.equal((await good).fetched, true);
    await assert.rejects(bad, { code: 'ERR_CACHE_FILTER_PREFETCH', reason: 'not-200' });
    assert.equal((await late).fetched, true);
    assert.equal(told.at(-1)?.failed, 1);
    assert.match(String(told.at(-1)?.error), /not-200 \(500\)/);
    assert.equal(origin.asked.filter(({ url }) => url === '/files/bad').length, 2);
  });

  test('of what is not there is not tried again', async (t) => {
    const origin = await originOf(t, (req, res, n) => {
      const status = req.url === '/files/busy' && n === 2 ? 429 : 404;
      res.writeHead(status).end();
    });
    const { filter } = await filtered(t, { origin: origin.url, routes }, notAsked);
    await assert.rejects(filter.prefetch('none'), { reason: 'not-200', answered: 404 });
    assert.equal(origin.asked.length, 1);
    await assert.rejects(filter.prefetch('busy'), { answered: 404 });
    assert.equal(origin.asked.length, 3);
  });

  test('of what is stale asks whether it has changed', async (t) => {
    const origin = await originOf(t, (req, res) => {
      if (req.headers['if-none-match'] === '"one"') res.writeHead(304, { ETag: '"one"' }).end();
      else giving(BODY)(req, res);
    });
    const { filter } = await filtered(t, { origin: origin.url, routes, freshness: { ttlMs: 1 } }, notAsked);
    assert.equal((await filter.prefetch('1')).fetched, true);
    const { storedAt } = (await filter.cache.info({ primary: '/files/1' })) as EntryInfo;
    while (Date.now() <= storedAt + 1) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await filter.prefetch('1'), {
      key: { primary: '/files/1' },
      size: BODY.length,
      fetched: false,
    });
    assert.equal(origin.asked.length, 2);
    assert.ok(((await filter.cache.info({ primary: '/files/1' }))?.storedAt ?? 0) > storedAt);
  });

  test('of what is not to be kept is refused with the reason, and not tried again', async (t) => {
    const origin = await originOf(t, giving(BODY, { 'Cache-Control': 'no-store' }));
    const { filter } = await filtered(t, { origin: origin.url, routes }, notAsked);
    await assert.rejects(filter.prefetch('1'), { code: 'ERR_CACHE_FILTER_PREFETCH', reason: 'no-store' });
    assert.equal(origin.asked.length, 1);
  });

  test('is given up when its signal says so', async (t) => {
    const asked = deferred();
    const origin = await originOf(t, () => asked.resolve());
    const { filter } = await filtered(t, { origin: origin.url, routes }, notAsked);
    const giveUp = new AbortController();
    const prefetch = filter.prefetch('1', { signal: giveUp.signal });
    await asked.promise;
    giveUp.abort(new Error('enough'));
    await assert.rejects(prefetch, /enough/);
    await origin.asked[0]?.closed;
    await filter.idle();
    const queued = [];
    for await (const each of filter.cache.queue.list()) queued.push(each);
    assert.deepEqual(queued, []);
  });

  test('that is given up while it is found out where it is fetches nothing', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const [asked, go] = [deferred(), deferred()];
    const { filter } = await filtered(
      t,
      {
        routes,
        authorize: 'anyone',
        origin: async () => {
          asked.resolve();
          await go.promise;
          return origin.url;
        },
      },
      notAsked,
    );
    const stop = new AbortController();
    const fetched = filter.prefetch('a', { signal: stop.signal });
    await asked.promise;
    stop.abort(new Error('given up'));
    await assert.rejects(fetched, /given up/);
    go.resolve();
    await filter.prefetch({ path: '/all/b' });
    await filter.idle();
    assert.deepEqual(
      origin.asked.map(({ url }) => url),
      ['/'],
    );
    assert.equal((await filter.stats()).entries, 1);
  });

  test('goes on in the next process', async (t) => {
    const directory = temporaryDirectory(t);
    const asked = deferred();
    let isThere = false;
    const origin = await originOf(t, (req, res) => {
      if (isThere) giving(BODY)(req, res);
      else asked.resolve();
    });
    const options = {
      directory,
      origin: origin.url,
      routes,
      freshness: 'immutable',
      closeTimeoutMs: 0,
    } as const;
    const first = cacheFilter(options);
    const lost = [first.prefetch('1'), first.prefetch('2'), first.prefetch('3')];
    await asked.promise;
    const settled = Promise.allSettled(lost);
    await first.close();
    for (const { status } of await settled) assert.equal(status, 'rejected');
    isThere = true;
    const before = origin.asked.length;
    const second = cacheFilter(options);
    t.after(() => second.close());
    for (const id of ['1', '2', '3']) await second.prefetch(id);
    await second.idle();
    assert.equal((await second.stats()).entries, 3);
    assert.deepEqual(
      origin.asked
        .slice(before)
        .map(({ url }) => url)
        .sort(),
      ['/files/1', '/files/2', '/files/3'],
    );
  });

  test('is queued on disk, and reloaded without being asked for again', async (t) => {
    const directory = temporaryDirectory(t);
    const origin = await originOf(t, giving(BODY));
    const cache = new FileCache({ directory });
    await cache.queue.add({ primary: '/files/7' }, JSON.stringify({ path: '/files/7' }));
    await cache.queue.add({ primary: '/files/8' }, 'a note of somebody else');
    await cache.queue.add({ primary: '/else' }, JSON.stringify({ path: '/files/9' }));
    await cache.close();
    const filter = cacheFilter({ directory, origin: origin.url, routes, freshness: 'immutable' });
    t.after(() => filter.close());
    while ((await filter.stats()).entries === 0) await new Promise((resolve) => setImmediate(resolve));
    await filter.idle();
    assert.deepEqual(
      origin.asked.map(({ url }) => url),
      ['/files/7'],
    );
  });

  test('comes at the pace of what nobody waits for, until somebody does', async (t) => {
    const bytes = Buffer.alloc(4 * 2 ** 20, 'x');
    const origin = await originOf(t, giving(bytes));
    // At this pace it would take a day.
    const background = { maxBytesPerSecond: 50 };
    const { filter, get } = await filtered(t, { origin: origin.url, routes, background }, notAsked);
    const some = deferred();
    const prefetch = filter.prefetch('1', { onProgress: ({ bytes: came }) => came > 0 && some.resolve() });
    await some.promise;
    assert.equal((await filter.stats()).entries, 0);
    const answer = await get('/files/1');
    assert.equal(answer.body.length, bytes.length);
    assert.equal((await prefetch).size, bytes.length);
    assert.equal(origin.asked.length, 1);
  });

  test('without an origin, or of what no route matches, is refused with what is missing', async (t) => {
    const filter = cacheFilter({ cache: new MemoryCache() });
    t.after(() => filter.close());
    await assert.rejects(filter.prefetch('1'), { code: 'ERR_CACHE_FILTER_PREFETCH', reason: 'no-origin' });
    const origin = await originOf(t, giving(BODY));
    const other = cacheFilter({
      cache: new MemoryCache(),
      origin: origin.url,
      routes: [{ path: /^\/x\/(?<id>.*)$/ }],
    });
    t.after(() => other.close());
    await assert.rejects(other.prefetch('1'), /give urlFor/);
    await assert.rejects(
      other.prefetch({ path: '/y' }),
      /no route that keeps anything matches the path '\/y'/,
    );
    await assert.rejects(other.prefetch({ path: 'x' }), /prefetch takes an id/);
    await other.close();
    await assert.rejects(other.prefetch({ path: '/x/1' }), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
  });
});
