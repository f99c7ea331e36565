/** What the origin does not have is remembered for a while. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type CacheFilterOptions, MemoryCache } from '../../lib/index.ts';
import { deferred } from '../support/deferred.ts';
import { BODY, type Filtered, filtered, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { giving, originOf, type TestOrigin } from '../support/origin.ts';
import { timeless } from '../support/stale.ts';

type Answer = Parameters<typeof originOf>[1];

function missing(status = 404, headers: Record<string, string> = {}): Answer {
  return (req, res) => {
    res.writeHead(status, { 'Content-Type': 'text/plain', ...headers });
    res.end(req.method === 'HEAD' ? undefined : 'nothing here');
  };
}

async function withOrigin(
  t: TestContext,
  answer: Answer,
  options: Partial<CacheFilterOptions> = {},
): Promise<Filtered & { origin: TestOrigin }> {
  const origin = await originOf(t, answer);
  const made = await filtered(
    t,
    { cache: new MemoryCache(), origin: origin.url, negativeTtlMs: 60_000, ...options },
    () => assert.fail('the application was asked'),
  );
  return { ...made, origin };
}

describe('negative answers', () => {
  for (const status of [404, 410]) {
    test(`a ${status} is remembered, with its body`, async (t) => {
      const events = heard(t, 'cache-filter:negative');
      const { get, origin, filter } = await withOrigin(t, missing(status));
      assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=not-200');
      for (let i = 0; i < 3; i++) {
        const answer = await get('/a');
        assert.deepEqual([answer.status, answer.body.toString()], [status, 'nothing here']);
        assert.deepEqual([answer.headers['content-type'], answer.headers['age']], ['text/plain', '0']);
        assert.equal(timeless(said(answer)), 'hit; ttl=N; detail=negative');
      }
      assert.equal(origin.asked.length, 1);
      const { requests, reasons } = await filter.stats();
      assert.deepEqual([requests.negatives, reasons.negative, events.length], [3, 3, 3]);
      assert.equal(events[0]?.status, status);
    });
  }

  test('for each path and query by itself', async (t) => {
    const { get, origin } = await withOrigin(t, missing());
    for (const path of ['/a', '/b', '/a?x', '/a', '/b', '/a?x']) await get(path);
    assert.equal(origin.asked.length, 3);
  });

  test('HEAD and ranges are answered from it, too', async (t) => {
    const { get, origin } = await withOrigin(t, missing());
    await get('/a');
    const head = await get('/a', {}, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body.length, head.headers['content-length']], [404, 0, '12']);
    assert.equal((await get('/a', { range: 'bytes=0-3' })).status, 404);
    assert.equal(origin.asked.length, 1);
  });

  for (const [what, answer, options] of [
    ['by default', missing(), { negativeTtlMs: 0 }],
    ['with a cookie', missing(404, { 'Set-Cookie': 'a=b' }), {}],
    ['that is private', missing(404, { 'Cache-Control': 'private' }), {}],
    ['that varies', missing(404, { Vary: 'Accept-Language' }), {}],
    ['of another status', missing(403), {}],
    ['that is large', (_, res) => res.writeHead(404).end(Buffer.alloc(70_000, 'x')), {}],
  ] as [string, Answer, Partial<CacheFilterOptions>][])
    test(`nothing is remembered ${what}`, async (t) => {
      const { get, origin } = await withOrigin(t, answer, options);
      const [first, second] = [await get('/a'), await get('/a')];
      assert.equal(origin.asked.length, 2);
      assert.deepEqual(second.body, first.body);
      assert.equal(first.complete, true);
      assert.ok(first.body.length === 70_000 || first.body.toString() === 'nothing here');
    });

  for (const [what, target] of [
    ['its key', { key: '/a' }],
    ['its id', { id: '/a' }],
    ['all', { all: true }],
  ] as const)
    test(`a purge of ${what} forgets it`, async (t) => {
      const { get, origin, filter } = await withOrigin(t, (req, res, n) =>
        (n === 1 ? missing() : giving(BODY))(req, res, n),
      );
      assert.equal((await get('/a')).status, 404);
      await filter.purge(target);
      assert.equal((await get('/a')).status, 200);
      assert.equal(origin.asked.length, 2);
    });

  test('one that was on its way during a purge is not remembered', async (t) => {
    const { promise: asked, resolve: isAsked } = deferred<void>();
    const { promise: purged, resolve: isPurged } = deferred<void>();
    const { get, origin, filter } = await withOrigin(t, async (req, res, n) => {
      isAsked();
      await purged;
      missing()(req, res, n);
    });
    const answering = get('/a');
    await asked;
    await filter.purge({ key: '/a' });
    isPurged();
    assert.equal((await answering).status, 404);
    await get('/a');
    assert.equal(origin.asked.length, 2);
  });

  test('the policy is asked first', async (t) => {
    const { get, origin } = await withOrigin(t, missing(), {
      authorize: ({ req }) => req.headers['x-user'] === 'alice',
    });
    assert.equal((await get('/a', { 'x-user': 'alice' })).status, 404);
    assert.equal((await get('/a')).status, 403);
    assert.equal(origin.asked.length, 1);
  });

  test('an answer for whoever asked is for nobody else', async (t) => {
    const { get, origin } = await withOrigin(t, missing(), { forwardHeaders: ['Authorization'] });
    await get('/a', { authorization: 'Bearer alice' });
    await get('/a', { authorization: 'Bearer bob' });
    await get('/a');
    assert.equal(origin.asked.length, 3);
    await get('/a', { authorization: 'Bearer bob' });
    assert.equal(origin.asked.length, 4, 'nor the other way round');
  });

  test('without an origin it is refused', async (t) => {
    await assert.rejects(filtered(t, { negativeTtlMs: 1 }), { code: 'ERR_CACHE_FILTER_OPTION' });
  });
});
