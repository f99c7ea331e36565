/** What is stale is served while the origin is asked, and where it fails. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type Cache, type CacheFilterOptions, MemoryCache } from '../../lib/index.ts';
import { deferred } from '../support/deferred.ts';
import { BODY, type Filtered, filtered, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { giving, originOf, type TestOrigin } from '../support/origin.ts';
import { putStale, timeless } from '../support/stale.ts';

const OTHER = Buffer.from('another body, of another length');
const HOUR_MS = 3_600_000;

type Answer = Parameters<typeof originOf>[1];

const unchanged: Answer = (_, res) =>
  res.writeHead(304, { ETag: '"one"', 'Cache-Control': 'max-age=60' }).end();

const broken: Answer = (_, res) => res.writeHead(500).end('broken');

async function withOrigin(
  t: TestContext,
  answer: Answer,
  options: Partial<CacheFilterOptions> = {},
): Promise<Filtered & { origin: TestOrigin; cache: Cache }> {
  const origin = await originOf(t, answer);
  const cache = new MemoryCache();
  const notAsked = () => assert.fail('the application was asked');
  const made = await filtered(
    t,
    { cache, freshness: 'response', origin: origin.url, upstream: { retries: 0 }, ...options },
    notAsked,
  );
  return { ...made, origin, cache };
}

describe('stale while it is revalidated', () => {
  const freshness = { staleWhileRevalidateMs: HOUR_MS };

  test('the answer does not wait for the origin, which is asked once', async (t) => {
    const { promise: late, resolve } = deferred<void>();
    const events = heard(t, 'cache-filter:stale');
    const { get, origin, cache, filter } = await withOrigin(
      t,
      async (req, res, n) => {
        await late;
        unchanged(req, res, n);
      },
      { freshness },
    );
    await putStale(cache, '/a');
    for (let i = 0; i < 5; i++) {
      const answer = await get('/a');
      assert.deepEqual([answer.status, answer.body.equals(BODY)], [200, true]);
      assert.equal(timeless(said(answer)), 'hit; ttl=-N; detail=stale');
      assert.match(said(answer), /ttl=-4\d;/, 'stale for so many seconds');
    }
    resolve();
    await filter.idle();
    assert.equal(origin.asked.length, 1);
    assert.equal(origin.asked[0]?.headers['if-none-match'], '"one"');
    assert.equal(timeless(said(await get('/a'))), 'hit; ttl=N');
    const { requests, revalidations, reasons } = await filter.stats();
    assert.deepEqual([requests.hits, requests.stale, requests.misses], [6, 5, 0]);
    assert.deepEqual([revalidations.renewed, reasons.stale], [1, 5]);
    assert.equal(events.length, 5);
    assert.ok((events[0]?.staleMs ?? 0) >= 40_000);
  });

  test('what the origin has now is there for the next one, though nobody waited for it', async (t) => {
    const { get, cache, filter } = await withOrigin(
      t,
      giving(OTHER, { ETag: '"two"', 'Cache-Control': 'max-age=60' }),
      { freshness, clientAbort: 'discard' },
    );
    await putStale(cache, '/a');
    assert.equal((await get('/a')).body.toString(), BODY.toString());
    await filter.idle();
    const next = await get('/a');
    assert.deepEqual([next.body.toString(), timeless(said(next))], [OTHER.toString(), 'hit; ttl=N']);
  });

  test('a response may ask for it itself', async (t) => {
    const { get, cache, filter } = await withOrigin(t, unchanged);
    await putStale(cache, '/a', { control: 'max-age=60, stale-while-revalidate=600' });
    assert.equal(timeless(said(await get('/a'))), 'hit; ttl=-N; detail=stale');
    await filter.idle();
    assert.equal(timeless(said(await get('/a'))), 'hit; ttl=N');
  });

  test('what must be revalidated is, before anybody has it', async (t) => {
    const { get, cache } = await withOrigin(t, unchanged);
    await putStale(cache, '/a', { control: 'max-age=60, stale-while-revalidate=600, must-revalidate' });
    assert.equal(timeless(said(await get('/a'))), 'fwd=stale; fwd-status=304; ttl=N');
  });

  test('beyond its time the client waits', async (t) => {
    const { get, cache } = await withOrigin(t, unchanged, {
      freshness: { staleWhileRevalidateMs: 30_000 },
    });
    await putStale(cache, '/a');
    assert.equal(timeless(said(await get('/a'))), 'fwd=stale; fwd-status=304; ttl=N');
  });

  test('an origin that fails is not asked again at once, and the entry stays', async (t) => {
    const { get, origin, cache, filter } = await withOrigin(t, broken, { freshness });
    await putStale(cache, '/a');
    for (let i = 0; i < 5; i++) {
      assert.equal(timeless(said(await get('/a'))), 'hit; ttl=-N; detail=stale');
      await filter.idle();
    }
    assert.equal(origin.asked.length, 1);
    assert.equal((await filter.stats()).revalidations.failed, 1);
  });

  test('what has gone there is gone here as well', async (t) => {
    const { get, cache, filter } = await withOrigin(t, (_, res) => res.writeHead(404).end('gone'), {
      freshness,
    });
    await putStale(cache, '/a');
    assert.equal((await get('/a')).status, 200);
    await filter.idle();
    assert.equal((await get('/a')).status, 404);
  });

  test('the policy is asked before every such answer', async (t) => {
    const { get, origin, cache, filter } = await withOrigin(t, unchanged, {
      freshness,
      authorize: ({ req, entry }) => entry?.size === BODY.length && req.headers['x-user'] === 'alice',
    });
    await putStale(cache, '/a');
    assert.equal((await get('/a')).status, 403);
    await filter.idle();
    assert.equal(origin.asked.length, 0);
    assert.equal((await get('/a', { 'x-user': 'alice' })).status, 200);
    await filter.idle();
    assert.equal(origin.asked.length, 1);
  });

  test('closing ends what is asked in the background', async (t) => {
    const { promise: asked, resolve } = deferred<void>();
    const { get, cache, filter } = await withOrigin(t, () => resolve(), { freshness, closeTimeoutMs: 0 });
    await putStale(cache, '/a');
    await get('/a');
    await asked;
    await filter.close();
    await filter.idle();
  });

  test('without an origin nobody could revalidate: it is refused', async (t) => {
    await assert.rejects(filtered(t, { freshness }), {
      code: 'ERR_CACHE_FILTER_OPTION',
      message: /freshness has staleWhileRevalidateMs or staleIfErrorMs.*give origin/,
    });
    await assert.rejects(filtered(t, { routes: [{ path: '/a', freshness: { staleIfErrorMs: 1 } }] }), {
      code: 'ERR_CACHE_FILTER_OPTION',
    });
  });
});

describe('stale where the origin fails', () => {
  const freshness = { staleIfErrorMs: HOUR_MS };

  test('an error of the origin is not the client’s, nor is it asked again at once', async (t) => {
    const { get, origin, cache, filter } = await withOrigin(t, broken, { freshness });
    await putStale(cache, '/a');
    const answer = await get('/a');
    assert.deepEqual([answer.status, answer.body.equals(BODY)], [200, true]);
    assert.equal(timeless(said(answer)), 'fwd=stale; fwd-status=500; ttl=-N; detail=stale');
    assert.equal(timeless(said(await get('/a'))), 'hit; ttl=-N; detail=stale');
    assert.equal(origin.asked.length, 1);
    const { requests, revalidations } = await filter.stats();
    assert.deepEqual([requests.stale, requests.misses, revalidations.failed], [2, 0, 1]);
  });

  test('nor is an origin that can not be reached', async (t) => {
    const { get, origin, cache } = await withOrigin(t, (req) => req.socket.destroy(), { freshness });
    await putStale(cache, '/a');
    const answer = await get('/a');
    assert.deepEqual([answer.status, answer.body.equals(BODY)], [200, true]);
    assert.equal(timeless(said(answer)), 'fwd=stale; ttl=-N; detail=stale');
    assert.equal(origin.asked.length, 1);
  });

  test('of many that wait each has it, and the origin is asked once', async (t) => {
    const { promise: all, resolve } = deferred<void>();
    const { get, origin, cache } = await withOrigin(
      t,
      async (req, res, n) => {
        await all;
        broken(req, res, n);
      },
      { freshness },
    );
    await putStale(cache, '/a');
    const answers = Promise.all(Array.from({ length: 10 }, () => get('/a')));
    while (origin.asked.length === 0) await new Promise((done) => setImmediate(done));
    resolve();
    for (const answer of await answers)
      assert.deepEqual([answer.status, answer.body.equals(BODY)], [200, true]);
    assert.equal(origin.asked.length, 1);
  });

  for (const [what, ask] of [
    ['HEAD', { method: 'HEAD' }],
    ['a condition', { headers: { 'if-none-match': '"other"' } }],
    ['a range', { headers: { range: 'bytes=0-3' } }],
  ] as const)
    test(`the same for ${what}`, async (t) => {
      const { get, cache } = await withOrigin(t, broken, { freshness });
      await putStale(cache, '/a');
      const answer = await get('/a', 'headers' in ask ? { ...ask.headers } : {}, 'method' in ask ? ask : {});
      assert.equal(answer.status, what === 'a range' ? 206 : 200);
      assert.match(said(answer), /detail=stale$/);
    });

  test('beyond its time the failure is the client’s', async (t) => {
    const { get, cache } = await withOrigin(t, broken, { freshness: { staleIfErrorMs: 30_000 } });
    await putStale(cache, '/a');
    const answer = await get('/a');
    assert.deepEqual([answer.status, answer.body.toString()], [500, 'broken']);
  });

  test('a response may ask for it itself, unless it also forbids it', async (t) => {
    const { get, cache } = await withOrigin(t, broken);
    await putStale(cache, '/a', { control: 'max-age=60, stale-if-error=600' });
    await putStale(cache, '/b', { control: 'max-age=60, stale-if-error=600, s-maxage=60' });
    assert.equal((await get('/a')).status, 200);
    assert.equal((await get('/b')).status, 500);
  });

  for (const status of [401, 403, 429])
    test(`${status} is an answer, and no failure`, async (t) => {
      const { get, cache } = await withOrigin(t, (_, res) => res.writeHead(status).end(), { freshness });
      await putStale(cache, '/a');
      assert.equal((await get('/a')).status, status);
      assert.ok(await cache.info({ primary: '/a' }), 'it stays');
    });

  test('what was purged is not served, whatever fails', async (t) => {
    const { get, cache, filter } = await withOrigin(t, broken, { freshness });
    await putStale(cache, '/a');
    await filter.purge({ key: '/a' });
    assert.equal((await get('/a')).status, 500);
  });

  test('the policy is asked of what is served', async (t) => {
    const { get, cache } = await withOrigin(t, broken, {
      freshness,
      metadata: () => ({ version: 2 }),
    });
    await putStale(cache, '/a');
    assert.notEqual((await get('/a')).status, 200, 'it is of another version');
    assert.equal(await cache.info({ primary: '/a' }), undefined);
  });

  test('once the origin is well again it is asked, and the entry is fresh', async (t) => {
    const { get, origin, cache } = await withOrigin(
      t,
      (req, res, n) => (n === 1 ? broken(req, res, n) : unchanged(req, res, n)),
      { freshness },
    );
    await putStale(cache, '/a');
    await get('/a');
    const since = performance.now();
    let answer = await get('/a');
    // A second is how long it is left alone.
    while (said(answer).includes('stale') && performance.now() - since < 20_000) answer = await get('/a');
    assert.equal(origin.asked.length, 2);
    assert.ok(performance.now() - since >= 900);
  });
});
