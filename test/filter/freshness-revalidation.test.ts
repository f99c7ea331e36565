/** What is stale is asked for again, and fetched only where there is another one. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Cache, type CacheFilterOptions, FileCache, MemoryCache } from '../../lib/index.ts';
import { deferred } from '../support/deferred.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { BODY, type Filtered, filtered, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { giving, originOf, type TestOrigin } from '../support/origin.ts';
import { putStale, timeless } from '../support/stale.ts';

const OTHER = Buffer.from('another body, of another length');
const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';

type Answer = Parameters<typeof originOf>[1];

/** Says of what it is asked for that it has not changed, for a minute. */
const unchanged: Answer = (_, res) =>
  res.writeHead(304, { ETag: '"one"', 'Cache-Control': 'max-age=60', 'X-New': 'yes' }).end();

function fileCache(t: TestContext, directory = join(temporaryDirectory(t), 'cache')): FileCache {
  const cache = new FileCache({ directory, minFreeBytes: 0, logger: false });
  t.after(() => cache.close());
  return cache;
}

async function withOrigin(
  t: TestContext,
  answer: Answer,
  options: Partial<CacheFilterOptions> = {},
): Promise<Filtered & { origin: TestOrigin; cache: Cache }> {
  const origin = await originOf(t, answer);
  const { cache = new MemoryCache(), ...rest } = options;
  const notAsked = () => assert.fail('the application was asked');
  const made = await filtered(t, { cache, freshness: 'response', origin: origin.url, ...rest }, notAsked);
  return { ...made, origin, cache };
}

describe('a stale entry', () => {
  for (const [name, make] of [
    ['MemoryCache', () => new MemoryCache()],
    ['FileCache', fileCache],
  ] as const) {
    test(`is asked for by its ETag, and served where it has not changed (${name})`, async (t) => {
      const { get, origin, cache, filter } = await withOrigin(t, unchanged, { cache: make(t) });
      await putStale(cache, '/a');
      const answer = await get('/a');
      assert.deepEqual([answer.status, answer.body.equals(BODY)], [200, true]);
      assert.equal(timeless(said(answer)), 'fwd=stale; fwd-status=304; ttl=N');
      assert.deepEqual([answer.headers['x-new'], answer.headers['content-type']], ['yes', 'text/plain']);
      assert.equal(answer.headers['age'], '0');
      assert.equal(origin.asked[0]?.headers['if-none-match'], '"one"');
      assert.equal(origin.asked[0]?.headers['if-modified-since'], undefined);
      const next = await get('/a');
      assert.equal(timeless(said(next)), 'hit; ttl=N');
      assert.equal(origin.asked.length, 1);
      const { revalidations, requests, responses } = await filter.stats();
      assert.deepEqual(revalidations, { renewed: 1, replaced: 0, gone: 0, failed: 0 });
      assert.deepEqual([requests.hits, requests.misses, requests.stale], [2, 0, 0]);
      assert.equal(responses.stored, 0);
    });
  }

  test('is asked for by its date where it has no ETag', async (t) => {
    const { get, origin, cache } = await withOrigin(t, (_, res) =>
      res.writeHead(304, { 'Cache-Control': 'max-age=60' }).end(),
    );
    await putStale(cache, '/a', { headers: [['Last-Modified', DATE]] });
    assert.equal((await get('/a')).body.toString(), BODY.toString());
    assert.equal(origin.asked[0]?.headers['if-modified-since'], DATE);
  });

  test('is fetched where nothing identifies it', async (t) => {
    const { get, origin, cache } = await withOrigin(t, giving(OTHER, { 'Cache-Control': 'max-age=60' }));
    await putStale(cache, '/a', { headers: [] });
    const answer = await get('/a');
    assert.deepEqual([answer.body.toString(), said(answer)], [OTHER.toString(), 'fwd=stale; stored']);
    const { headers } = origin.asked[0] ?? assert.fail('not asked');
    assert.deepEqual([headers['if-none-match'], headers['if-modified-since']], [undefined, undefined]);
  });

  test('is replaced by what the origin has now', async (t) => {
    const { get, origin, cache, filter } = await withOrigin(
      t,
      giving(OTHER, { 'Cache-Control': 'max-age=60', ETag: '"two"' }),
    );
    await putStale(cache, '/a');
    const answer = await get('/a');
    assert.deepEqual([answer.body.toString(), said(answer)], [OTHER.toString(), 'fwd=stale; stored']);
    assert.equal(timeless(said(await get('/a'))), 'hit; ttl=N');
    assert.equal(origin.asked.length, 1);
    assert.equal((await filter.stats()).revalidations.replaced, 1);
  });

  for (const status of [404, 410]) {
    test(`goes where the origin says ${status}, which the client is told`, async (t) => {
      const { get, cache, filter } = await withOrigin(t, (_, res) => res.writeHead(status).end('gone'));
      await putStale(cache, '/a');
      const answer = await get('/a');
      assert.deepEqual([answer.status, answer.body.toString()], [status, 'gone']);
      assert.equal(said(answer), 'fwd=stale; detail=not-200');
      assert.equal(await cache.info({ primary: '/a' }), undefined);
      assert.equal((await filter.stats()).revalidations.gone, 1);
    });
  }

  test('is asked for once, however many clients want it', async (t) => {
    const { promise: all, resolve } = deferred<void>();
    const { get, origin, cache } = await withOrigin(t, async (req, res) => {
      await all;
      unchanged(req, res, 1);
    });
    await putStale(cache, '/a');
    const answers = Promise.all(Array.from({ length: 10 }, () => get('/a')));
    while (origin.asked.length === 0) await new Promise((done) => setImmediate(done));
    resolve();
    for (const answer of await answers)
      assert.deepEqual([answer.status, answer.body.equals(BODY)], [200, true]);
    assert.equal(origin.asked.length, 1);
  });

  test('is asked for once by several processes on a directory', async (t) => {
    const directory = join(temporaryDirectory(t), 'cache');
    const { promise: all, resolve } = deferred<void>();
    const one = await withOrigin(
      t,
      async (req, res) => {
        await all;
        unchanged(req, res, 1);
      },
      { cache: fileCache(t, directory) },
    );
    const two = await filtered(t, {
      cache: fileCache(t, directory),
      freshness: 'response',
      origin: one.origin.url,
    });
    await putStale(one.cache, '/a');
    const answers = [one.get('/a')];
    while (one.origin.asked.length === 0) await new Promise((done) => setImmediate(done));
    answers.push(two.get('/a'));
    resolve();
    for (const answer of await Promise.all(answers))
      assert.deepEqual([answer.status, answer.body.equals(BODY)], [200, true]);
    assert.equal(one.origin.asked.length, 1);
  });

  test('a 304 about something else is not believed: it is fetched', async (t) => {
    const { get, origin, cache } = await withOrigin(t, (req, res, n) => {
      if (n === 1) res.writeHead(304, { ETag: '"two"' }).end();
      else giving(OTHER, { 'Cache-Control': 'max-age=60', ETag: '"two"' })(req, res);
    });
    await putStale(cache, '/a');
    assert.equal((await get('/a')).body.toString(), OTHER.toString());
    assert.deepEqual(
      origin.asked.map(({ headers }) => headers['if-none-match']),
      ['"one"', undefined],
    );
  });

  test('a 304 that forbids to keep it is no leave to serve it', async (t) => {
    const { get, origin, cache } = await withOrigin(t, (req, res, n) => {
      if (n === 1) res.writeHead(304, { ETag: '"one"', 'Cache-Control': 'private' }).end();
      else giving(OTHER, { 'Cache-Control': 'private' })(req, res);
    });
    await putStale(cache, '/a');
    const answer = await get('/a');
    assert.deepEqual([answer.body.toString(), said(answer)], [OTHER.toString(), 'fwd=stale; detail=private']);
    assert.equal(origin.asked.length, 2);
  });

  test('a client that has it is told so, once the origin has confirmed it', async (t) => {
    const { get, cache } = await withOrigin(t, unchanged);
    await putStale(cache, '/a');
    const answer = await get('/a', { 'if-none-match': '"one"' });
    assert.deepEqual([answer.status, answer.body.length], [304, 0]);
    assert.equal(timeless(said(answer)), 'fwd=stale; fwd-status=304; ttl=N');
  });

  test('a client gets the range that it wants of it', async (t) => {
    const { get, cache } = await withOrigin(t, unchanged);
    await putStale(cache, '/a');
    const answer = await get('/a', { range: 'bytes=1-3' });
    assert.deepEqual([answer.status, answer.body.toString()], [206, BODY.subarray(1, 4).toString()]);
  });

  test('what is purged while it is asked for is fetched', async (t) => {
    const { promise: asked, resolve: isAsked } = deferred<void>();
    const { promise: purged, resolve: isPurged } = deferred<void>();
    const { get, origin, cache, filter } = await withOrigin(t, async (req, res, n) => {
      if (n > 1) return giving(OTHER, { 'Cache-Control': 'max-age=60' })(req, res);
      isAsked();
      await purged;
      unchanged(req, res, n);
    });
    await putStale(cache, '/a');
    const answering = get('/a');
    await asked;
    assert.equal(await filter.purge({ key: '/a' }), 1);
    isPurged();
    assert.equal((await answering).body.toString(), OTHER.toString());
    assert.equal(origin.asked.length, 2);
  });

  test('the policy is asked first, and nobody else where it says no', async (t) => {
    const seen: unknown[] = [];
    const { get, origin, cache } = await withOrigin(t, unchanged, {
      authorize: ({ req, entry }) => {
        seen.push(entry?.size);
        return req.headers['x-user'] === 'alice';
      },
    });
    await putStale(cache, '/a');
    assert.equal((await get('/a')).status, 403);
    assert.equal(origin.asked.length, 0);
    assert.equal((await get('/a', { 'x-user': 'alice' })).status, 200);
    assert.deepEqual(seen, [undefined, undefined, BODY.length], 'and once more of what it is');
  });

  test('what comes of asking is told', async (t) => {
    const events = heard(t, 'cache-filter:revalidate');
    const { get, cache } = await withOrigin(t, unchanged);
    await putStale(cache, '/a');
    await get('/a');
    assert.deepEqual(
      events.map(({ key, outcome, status }) => [key.primary, outcome, status]),
      [['/a', 'renewed', 304]],
    );
  });
});
