import type { Cache } from '../../cache/cache.ts';
import { bytesOf, opened, put, settled } from './steps.ts';
import type { Suite } from './suite.ts';

const KIB = 1024;
const HOUR_MS = 3_600_000;

/** The primary keys of what is stored, in order of their names. */
export async function keysOf(cache: Cache): Promise<string> {
  const found: string[] = [];
  for await (const { key } of cache.list()) found.push(key.primary);
  return found.sort().join(' ');
}

/** Resolves once the clock has moved on. */
async function later(): Promise<void> {
  const begun = Date.now();
  while (Date.now() <= begun + 1) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** How often and when entries are used, and who goes for it. */
export function use(suite: Suite): void {
  const { assert } = suite;

  suite.state('hits are counted when serving starts: at each open that finds the entry', async (cache) => {
    const key = { primary: '/a', variant: '?1' };
    const other = { primary: '/a', variant: '?2' };
    for (const each of [key, other]) await put(cache, each, bytesOf(10));
    assert.equal((await cache.info(key))?.hits, 0, 'its own fill is none');
    for (let i = 1; i <= 3; i++) {
      // Read or not, to the end or not.
      (await opened(cache, key)).release();
      assert.equal((await cache.info(key))?.hits, i);
    }
    const claim = await settled(cache.claim(key), 'claim');
    if (claim?.role !== 'entry') throw new Error(`expected the entry, got ${claim?.role}`);
    claim.entry.release();
    assert.equal((await cache.info(key))?.hits, 4, 'a claim that finds it counts as well');
    const looked = await opened(cache, key);
    looked.release(false);
    looked.release();
    assert.equal((await cache.info(key))?.hits, 4, 'but not one that nobody was given anything of');
    await cache.open({ primary: '/b' });
    for await (const { key: found, hits } of cache.list()) {
      assert.equal(hits, found.variant === '?1' ? 4 : 0, `hits of ${found.variant}`);
    }
  });

  suite.state('a body that replaces another begins without hits', async (cache) => {
    const key = { primary: '/a' };
    await put(cache, key, bytesOf(10), { storedAt: 1 });
    (await opened(cache, key)).release();
    await put(cache, key, bytesOf(20), { storedAt: 2, claim: { newerThan: 1 } });
    assert.equal((await cache.info(key))?.hits, 0);
    (await opened(cache, key)).release();
    assert.equal((await cache.info(key))?.hits, 1);
  });

  suite.state('an entry was last used when it was stored, then at each open', async (cache) => {
    const key = { primary: '/a' };
    const begun = Date.now();
    // Long stored by its head, but not by the cache.
    await put(cache, key, bytesOf(10), { storedAt: 1 });
    const usedAt = async () => (await cache.info(key))?.usedAt ?? Number.NaN;
    const first = await usedAt();
    // A file system may round down.
    assert.ok(first >= begun - 2_000 && first <= Date.now(), `used at ${first}, begun at ${begun}`);
    await later();
    assert.equal(await usedAt(), first, 'info is no use');
    (await opened(cache, key)).release();
    const second = await usedAt();
    assert.ok(second > first && second <= Date.now(), `used at ${second}, before that at ${first}`);
  });

  suite.state(
    'what was never read counts as used when it was stored',
    async (cache) => {
      for (let i = 0; i < 10; i++) await put(cache, { primary: `/${i}` }, bytesOf(30 * KIB, i));
      for (let i = 0; i < 10; i++) (await opened(cache, { primary: `/${i}` })).release();
      await put(cache, { primary: '/new' }, bytesOf(30 * KIB));
      const { bytes, entries } = await cache.stats();
      assert.equal(entries, 11);
      // Each is charged with the same, whatever that is.
      const removed = await cache.prune({ toBytes: Math.ceil((bytes * 5) / 11) });
      assert.equal(removed.entries, 6);
      assert.equal(await keysOf(cache), '/6 /7 /8 /9 /new');
    },
    { maxBytes: 1024 * KIB },
  );

  suite.state('prune at exactly the size that is used removes nothing', async (cache) => {
    for (const primary of ['/a', '/b']) await put(cache, { primary }, bytesOf(10_000));
    const { bytes } = await cache.stats();
    for (const toBytes of [bytes + 1, bytes]) {
      assert.deepEqual(await cache.prune({ toBytes }), { entries: 0, bytes: 0 }, `to ${toBytes}`);
    }
    assert.equal((await cache.prune({ toBytes: bytes - 1 })).entries, 1, 'and one byte less removes one');
  });

  suite.state('prune to nothing empties the cache, and again', async (cache) => {
    for (const primary of ['/a', '/b', '/c']) await put(cache, { primary }, bytesOf(10_000));
    const { bytes } = await cache.stats();
    assert.deepEqual(await cache.prune({ toBytes: 0 }), { entries: 3, bytes });
    assert.equal(await keysOf(cache), '');
    const stats = await cache.stats();
    assert.deepEqual([stats.entries, stats.bytes, stats.evictions, stats.expired], [0, 0, 3, 0]);
    assert.deepEqual(await cache.prune({ toBytes: 0 }), { entries: 0, bytes: 0 });
    await put(cache, { primary: '/a' }, bytesOf(10));
    assert.equal(await keysOf(cache), '/a');
  });

  suite.state(
    'what has not been used for inactiveMs is removed, but nothing that is being read',
    async (cache) => {
      for (const primary of ['/a', '/b', '/c']) await put(cache, { primary }, bytesOf(10_000));
      const held = await opened(cache, { primary: '/b' });
      await later();
      await cache.prune();
      assert.equal(await keysOf(cache), '/b');
      const { entries, expired, evictions } = await cache.stats();
      assert.deepEqual([entries, expired, evictions], [1, 2, 0], 'entries, expired, evictions');
      held.release();
      await cache.prune();
      assert.equal(await keysOf(cache), '', 'it goes once nobody reads it');
    },
    { inactiveMs: 1 },
  );

  suite.state(
    'what was used within inactiveMs stays',
    async (cache) => {
      for (const primary of ['/a', '/b']) await put(cache, { primary }, bytesOf(10_000), { storedAt: 1 });
      await later();
      assert.deepEqual(await cache.prune(), { entries: 0, bytes: 0 });
      assert.equal(await keysOf(cache), '/a /b');
      assert.equal((await cache.stats()).expired, 0);
    },
    { inactiveMs: HOUR_MS },
  );
}
