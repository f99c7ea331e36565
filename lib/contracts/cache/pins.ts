import { bytesOf, HEAD, lead, opened, put, stored } from './steps.ts';
import type { Suite } from './suite.ts';
import { keysOf } from './use.ts';

const MIB = 2 ** 20;

/** Room for three bodies of this size in 1 MiB, whatever else an entry costs, and not for four. */
const QUARTER = MIB / 4;

/** What an operator wants to keep. */
export function pins(suite: Suite): void {
  const { assert } = suite;

  suite.state('pinning a key pins all its variants and nothing else; it says how many', async (cache) => {
    const keys = [
      { primary: '/a' },
      { primary: '/a', variant: '?1' },
      { primary: '/a', variant: '?2' },
      { primary: '/ab' },
    ];
    for (const key of keys) await put(cache, key, bytesOf(10));
    assert.equal(await cache.pin('/a', true), 3);
    for await (const { key, pinned } of cache.list()) {
      assert.equal(pinned, key.primary === '/a', JSON.stringify(key));
    }
    assert.equal((await cache.stats()).pinned, 3);
    assert.equal(await cache.pin('/a', true), 3, 'again');
    assert.equal((await cache.stats()).pinned, 3);
    assert.equal(await cache.pin('/a', false), 3);
    assert.equal((await cache.info({ primary: '/a' }))?.pinned, false);
    assert.equal((await cache.stats()).pinned, 0);
    for (const missing of ['/', '/b', '']) {
      for (const on of [true, false]) assert.equal(await cache.pin(missing, on), 0, `pin ${missing}`);
    }
  });

  suite.state(
    'what is pinned is not evicted for room, nor pruned, until the pin is taken away',
    async (cache) => {
      for (const primary of ['/a', '/b', '/c']) await put(cache, { primary }, bytesOf(QUARTER));
      await cache.pin('/a', true);
      for (const primary of ['/d', '/e', '/f']) await put(cache, { primary }, bytesOf(QUARTER));
      assert.equal(await keysOf(cache), '/a /e /f');
      assert.equal((await cache.prune({ toBytes: 0 })).entries, 2);
      assert.equal(await keysOf(cache), '/a');
      assert.ok((await stored(cache, { primary: '/a' }))?.equals(bytesOf(QUARTER)));
      await cache.pin('/a', false);
      assert.equal((await cache.prune({ toBytes: 0 })).entries, 1);
      assert.equal((await cache.stats()).bytes, 0);
    },
    { maxBytes: MIB },
  );

  suite.state(
    'where all is pinned there is no room',
    async (cache) => {
      for (const primary of ['/a', '/b', '/c']) {
        await put(cache, { primary }, bytesOf(QUARTER));
        await cache.pin(primary, true);
      }
      const held = await opened(cache, { primary: '/b' });
      const claim = await lead(cache, { primary: '/d' });
      assert.deepEqual(await claim.start(HEAD, { size: QUARTER }), { declined: 'no-room' });
      assert.equal(await keysOf(cache), '/a /b /c');
      await cache.pin('/b', false);
      const again = await lead(cache, { primary: '/d' });
      assert.deepEqual(await again.start(HEAD, { size: QUARTER }), { declined: 'no-room' }, 'still read');
      held.release();
      await put(cache, { primary: '/d' }, bytesOf(QUARTER));
      assert.equal(await keysOf(cache), '/a /c /d');
    },
    { maxBytes: MIB },
  );

  suite.state(
    'what is pinned does not expire',
    async (cache) => {
      for (const primary of ['/a', '/b']) await put(cache, { primary }, bytesOf(10));
      await cache.pin('/a', true);
      const begun = Date.now();
      while (Date.now() <= begun + 1) await new Promise((resolve) => setTimeout(resolve, 1));
      await cache.prune();
      assert.equal(await keysOf(cache), '/a');
      assert.equal((await cache.stats()).expired, 1);
    },
    { inactiveMs: 1 },
  );

  suite.state('a pin stays when the entry is replaced, and so does its absence', async (cache) => {
    for (const primary of ['/a', '/b']) await put(cache, { primary }, bytesOf(10), { storedAt: 1 });
    await cache.pin('/a', true);
    for (const primary of ['/a', '/b']) {
      await put(cache, { primary }, bytesOf(20), { storedAt: 2, claim: { newerThan: 1 } });
    }
    assert.equal((await cache.info({ primary: '/a' }))?.pinned, true);
    assert.equal((await cache.info({ primary: '/b' }))?.pinned, false);
    assert.equal((await cache.stats()).pinned, 1);
    await cache.prune({ toBytes: 0 });
    assert.ok((await stored(cache, { primary: '/a' }))?.equals(bytesOf(20)));
    assert.equal(await keysOf(cache), '/a');
  });

  suite.state('what is pinned is purged when that is asked for, and its pin with it', async (cache) => {
    for (const what of [{ key: '/a' }, { prefix: '/' }, { tag: 't' }, { all: true }] as const) {
      await put(cache, { primary: '/a' }, bytesOf(10), { tags: ['t'] });
      assert.equal(await cache.pin('/a', true), 1);
      assert.equal(await cache.invalidate(what), 1, JSON.stringify(what));
      assert.equal(await cache.open({ primary: '/a' }), undefined);
      assert.equal((await cache.stats()).pinned, 0);
    }
    await put(cache, { primary: '/a' }, bytesOf(10));
    assert.equal((await cache.info({ primary: '/a' }))?.pinned, false);
    assert.equal((await cache.prune({ toBytes: 0 })).entries, 1);
  });
}
