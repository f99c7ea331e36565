import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Cache, MemoryCache } from '../../lib/index.ts';
import { BODY, filtered } from '../support/filtered.ts';

/** A cache of somebody else's, that breaks its promise in one place. */
function broken(breakIt: (cache: MemoryCache, fail: () => never) => Partial<Cache>): {
  cache: Cache;
  fired: () => number;
} {
  const cache = new MemoryCache();
  let fired = 0;
  const fail = (): never => {
    fired++;
    throw new Error('deliberate');
  };
  const whole: Cache = {
    open: (key) => cache.open(key),
    claim: (key, options) => cache.claim(key, options),
    invalidate: (what) => cache.invalidate(what),
    info: (key) => cache.info(key),
    list: () => cache.list(),
    pin: (key, on) => cache.pin(key, on),
    queue: cache.queue,
    prune: (options) => cache.prune(options),
    clean: () => cache.clean(),
    verify: (options) => cache.verify(options),
    fills: () => cache.fills(),
    stats: () => cache.stats(),
    close: () => cache.close(),
  };
  return { cache: { ...whole, ...breakIt(cache, fail) }, fired: () => fired };
}

describe('a cache that breaks never makes a response worse', () => {
  for (const [name, breakIt] of [
    ['open rejects', (_cache: MemoryCache, fail: () => never) => ({ open: async () => fail() })],
    ['open throws', (_cache: MemoryCache, fail: () => never) => ({ open: () => fail() })],
    ['claim rejects', (_cache: MemoryCache, fail: () => never) => ({ claim: async () => fail() })],
    [
      'start rejects',
      (_cache: MemoryCache, fail: () => never) => ({
        claim: async () =>
          ({ role: 'leader', start: async () => fail(), abandon: async () => undefined }) as const,
      }),
    ],
    [
      'abandon rejects',
      (_cache: MemoryCache, fail: () => never) => ({
        claim: async () =>
          ({
            role: 'leader',
            start: async () => ({ declined: 'no-room' }),
            abandon: async () => fail(),
          }) as const,
      }),
    ],
  ] as const) {
    test(name, async (t) => {
      const { cache, fired } = broken(breakIt as Parameters<typeof broken>[0]);
      const { get, calls } = await filtered(t, { cache });
      for (let i = 1; i <= 2; i++) {
        const answer = await get();
        assert.deepEqual([answer.status, answer.complete, answer.body.equals(BODY)], [200, true, true]);
      }
      assert.ok(fired() > 0, 'the fault fired');
      assert.ok(calls() > 0);
    });
  }
});
