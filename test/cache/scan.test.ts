/** The start: requests are answered at once, and the account is right in the end, whatever goes on meanwhile. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, HEAD, lead, opened, put, stored } from '../../lib/contracts/cache/steps.ts';
import { urlOf, writeEntries } from '../bench/entries.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const COUNT = 2_000;

async function until(cache: FileCache, holds: (bytes: number) => boolean): Promise<void> {
  while (!holds((await cache.stats()).bytes)) await new Promise((resolve) => setTimeout(resolve, 10));
}

for (const locks of [true, false]) {
  describe(`the start with ${COUNT} entries, with locks: ${locks}`, () => {
    test('everybody else has turns while it is scanned, and hits are answered', async (t) => {
      const disk = new Disk(t);
      writeEntries({ directory: disk.directory, count: COUNT });
      const cache = disk.unscanned({ locks });
      let over = false;
      const scanned = cache.stats().then((stats) => {
        over = true;
        return stats;
      });
      let [turns, hits] = [0, 0];
      while (!over) {
        await new Promise((resolve) => setImmediate(resolve));
        turns++;
        if (turns % 10 !== 1) continue;
        const entry = await opened(cache, { primary: urlOf(turns) });
        entry.release();
        if (!over) hits++;
      }
      assert.ok(turns > 10 && hits > 0, `${turns} turns, ${hits} hits`);
      const { entries, bytes, corrupt } = await scanned;
      assert.deepEqual([entries, bytes, corrupt], [COUNT, disk.used(), 0]);
    });

    test('what is used least recently goes first, of all of them', async (t) => {
      const disk = new Disk(t);
      writeEntries({ directory: disk.directory, count: COUNT });
      const cache = disk.unscanned({ locks });
      (await opened(cache, { primary: urlOf(3) })).release();
      const { bytes } = await cache.stats();
      const { entries } = await cache.prune({ toBytes: bytes / 2 });
      assert.equal(entries, COUNT / 2);
      const left = new Set<string>();
      for await (const { key } of cache.list()) left.add(key.primary);
      assert.ok(left.has(urlOf(3)), 'used meanwhile');
      assert.deepEqual(
        Array.from({ length: COUNT }, (_, n) => n).filter(
          (n) => left.has(urlOf(n)) !== (n === 3 || n > COUNT / 2),
        ),
        [],
      );
    });

    test('the account is right whatever is stored, replaced and removed meanwhile, in two processes', async (t) => {
      const disk = new Disk(t);
      writeEntries({ directory: disk.directory, count: COUNT });
      const child = await CacheProcess.open(t, { directory: disk.directory, locks });
      const cache = disk.unscanned({ locks });
      let over = false;
      const scanned = cache.stats().then(() => {
        over = true;
      });
      let changes = 0;
      for (let n = 0; !over || n < 30; n++) {
        const replaced = { storedAt: Date.now() + 1e6, claim: { newerThan: Date.now() + 1e5 } };
        const all = [
          cache.invalidate({ key: urlOf(n * 7) }),
          put(cache, { primary: `/new/${n}` }, bytesOf(n * 100)),
          put(cache, { primary: urlOf(n * 7 + 1) }, bytesOf(5000), replaced),
          child.tell('invalidate', { key: urlOf(n * 7 + 2) }),
          child.tell('put', { primary: urlOf(n * 7 + 3) }, 9000),
          child.tell('put', { primary: `/theirs/${n}` }, 9000),
        ];
        const count = () => {
          if (!over) changes++;
        };
        await Promise.all(all.map((each) => each.then(count)));
      }
      await scanned;
      assert.ok(changes > 0, 'nothing went on meanwhile');
      await until(cache, (bytes) => bytes === disk.used());
      let records = 0;
      for await (const _ of cache.list()) records++;
      assert.equal((await cache.stats()).entries, records);
      for (;;) {
        const { bytes, entries } = await child.tell('stats');
        if (bytes === disk.used() && entries === records) break;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    });

    test('what is to be stored waits for it, and then has its room', async (t) => {
      const disk = new Disk(t);
      writeEntries({ directory: disk.directory, count: COUNT });
      const used = disk.used();
      const cache = disk.unscanned({ locks, maxBytes: used });
      const claim = await lead(cache, { primary: '/large' });
      const fill = await claim.start(HEAD, { size: used / 4 });
      if ('declined' in fill) throw new Error(fill.declined);
      const { bytes, evictions } = await cache.stats();
      assert.ok(bytes <= used, `${bytes} of ${used} bytes are charged`);
      assert.ok(evictions >= COUNT / 4, `${evictions} evictions`);
      await fill.abort(new Error('enough'));
      assert.equal((await cache.stats()).bytes, disk.used());
    });

    test('a cache that is closed meanwhile ends its scan', async (t) => {
      const disk = new Disk(t);
      writeEntries({ directory: disk.directory, count: COUNT });
      const cache = disk.unscanned({ locks });
      await cache.close();
      assert.ok((await cache.stats()).entries < COUNT);
      const next = await disk.cache({ locks });
      assert.equal((await next.stats()).entries, COUNT);
    });
  });
}

describe('a lock that a killed process has left', () => {
  test('holds up neither the start nor a hit; what there is to clear up is cleared up once it is stale', async (t) => {
    const disk = new Disk(t);
    writeEntries({ directory: disk.directory, count: 10 });
    mkdirSync(disk.layout.upkeepLock);
    const damaged = disk.recordPath(urlOf(3));
    const body = disk.bodyPath(urlOf(3));
    rmSync(damaged);
    const cache = disk.unscanned();
    assert.ok(await stored(cache, { primary: urlOf(1) }));
    assert.equal((await cache.stats()).entries, 9);
    assert.ok(existsSync(body), 'its owner may be at it');
    disk.age(disk.layout.upkeepLock, 10_000);
    while (existsSync(body)) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal((await cache.stats()).entries, 9);
    while (existsSync(disk.layout.upkeepLock)) await new Promise((resolve) => setTimeout(resolve, 10));
  });
});
