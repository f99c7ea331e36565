/** What docs/guides/testing-your-app.md promises to those who test an application with the filter in it. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MemoryCache } from '../../lib/index.ts';
import { BODY, barrier, filtered, said } from '../support/filtered.ts';

/** One that keeps what says of itself that it may be kept, for a minute. */
function minute(t: TestContext) {
  return filtered(t, { freshness: 'response' }, (_req, res) => {
    res.writeHead(200, { 'Content-Length': BODY.length, 'Cache-Control': 'public, max-age=60' });
    res.end(BODY);
  });
}

describe('an application under test', () => {
  it('has the entry before the last byte of its first answer leaves', async (t) => {
    const { get, calls } = await filtered(t);
    const paths = Array.from({ length: 100 }, (_, i) => `/${i}`);
    for (const path of paths) {
      assert.equal(said(await get(path)), 'fwd=uri-miss; stored', path);
      assert.equal(said(await get(path)), 'hit', path);
    }
    assert.equal(calls(), paths.length);
  });

  it('is idle when the fill of a client that left has ended', async (t) => {
    const [begun, leave] = [barrier(), new AbortController()];
    const left = barrier();
    const { filter, get, calls } = await filtered(t, {}, async (_req, res) => {
      res.writeHead(200, { 'Content-Length': BODY.length });
      res.write(BODY.subarray(0, 5));
      begun.reach();
      await left.reached;
      res.end(BODY.subarray(5));
    });
    const gone = get('/', {}, { signal: leave.signal });
    await begun.reached;
    leave.abort();
    assert.equal((await gone).complete, false);
    left.reach();
    await filter.idle();
    assert.equal((await filter.stats()).entries, 1);
    assert.equal(said(await get()), 'hit');
    assert.equal(calls(), 1);
  });

  it("takes the time from the test runner's mocked Date", async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const { get } = await minute(t);
    assert.equal(said(await get()), 'fwd=uri-miss; stored');
    t.mock.timers.tick(59_000);
    const old = await get();
    assert.equal(said(old), 'hit; ttl=1');
    assert.equal(old.headers['age'], '59');
    t.mock.timers.tick(1_000);
    assert.equal(said(await get()), 'fwd=stale; stored');
  });

  it('takes the time from a Date.now that was replaced', async (t) => {
    const { get } = await minute(t);
    assert.equal(said(await get()), 'fwd=uri-miss; stored');
    const later = Date.now() + 60_000;
    const now = t.mock.method(Date, 'now', () => later);
    assert.equal(said(await get()), 'fwd=stale; stored');
    assert.notEqual(now.mock.callCount(), 0);
  });

  it('keeps the cache that was given to the filter open, and finds its entries there', async (t) => {
    const cache = new MemoryCache();
    const { filter, get } = await filtered(t, { cache });
    await get('/files/42');
    await filter.close();
    assert.equal((await cache.info({ primary: '/files/42' }))?.size, BODY.length);
    await cache.close();
  });
});
