/** Pruning goes by the account, and the account by what lies on disk. */
import assert from 'node:assert/strict';
import { copyFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { MemoryCache } from '../../lib/cache/memory-cache.ts';
import { bytesOf, opened, put } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';

describe('prune', () => {
  test('files that were taken away before count as gone, and what is left of their entries goes', async (t) => {
    for (const missing of ['record', 'body', 'both'] as const) {
      const disk = new Disk(t);
      const cache = await disk.cache();
      for (const primary of ['/a', '/b']) await put(cache, { primary }, bytesOf(10_000));
      await cache.pin('/a', false);
      const [record, body] = [disk.recordPath('/a'), disk.bodyPath('/a')];
      if (missing !== 'record') rmSync(body);
      if (missing !== 'body') rmSync(record);
      const { bytes } = await cache.stats();
      assert.deepEqual(await cache.prune({ toBytes: 0 }), { entries: 2, bytes }, missing);
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG'], missing);
      assert.deepEqual(await cache.prune({ toBytes: 0 }), { entries: 0, bytes: 0 });
      assert.equal((await cache.stats()).bytes, 0);
    }
  });

  test('to what is no number of bytes is refused, and removes nothing', async (t) => {
    for (const cache of [await new Disk(t).cache(), new MemoryCache()]) {
      await put(cache, { primary: '/a' }, bytesOf(10_000));
      for (const toBytes of ['5GiB', Number.NaN, -1, null]) {
        await assert.rejects(cache.prune({ toBytes: toBytes as number }), {
          option: 'toBytes',
          message: /toBytes must be a whole number of bytes, got/,
        });
      }
      assert.equal((await cache.stats()).entries, 1);
    }
  });

  test('a directory that has gone altogether is pruned without an error', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ inactiveMs: 1_000 });
    await put(cache, { primary: '/a' }, bytesOf(10_000));
    rmSync(disk.directory, { recursive: true });
    assert.equal((await cache.prune({ toBytes: 0 })).entries, 1);
    assert.equal((await cache.stats()).bytes, 0);
  });

  test('orphans are not counted as entries, and are removed at the next start', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    for (const primary of ['/a', '/b']) await put(first, { primary }, bytesOf(100_000));
    const { bytes } = await first.stats();
    await first.close();
    // Four times what the cache may hold, in files of ours that belong to nothing.
    for (const [i, primary] of ['/a', '/a', '/c', '/d'].entries()) {
      const orphan = disk.layout.body(disk.layout.name(primary, undefined), `${i}`.repeat(16));
      if (primary === '/a') copyFileSync(disk.bodyPath('/a'), orphan);
      else writeFileSync(join(disk.layout.incomplete, orphan.split('/').at(-1) ?? ''), bytesOf(100_000));
    }
    assert.ok(disk.used() >= bytes + 400_000, 'the fault');

    const second = await disk.cache({ maxBytes: bytes });
    const stats = await second.stats();
    assert.deepEqual([stats.entries, stats.bytes, stats.evictions], [2, bytes, 0]);
    assert.equal(disk.used(), bytes);
    assert.deepEqual(await second.prune(), { entries: 0, bytes: 0 });
    assert.equal((await second.prune({ toBytes: 0 })).entries, 2);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('what another process has removed is no victim, and ends nothing', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache(), await disk.cache()];
    for (const primary of ['/a', '/b', '/c']) await put(one, { primary }, bytesOf(10_000));
    await two.invalidate({ all: true });
    await put(one, { primary: '/d' }, bytesOf(10_000));
    await one.prune({ toBytes: 20_480 });
    const { entries, bytes } = await one.stats();
    assert.deepEqual([entries, bytes], [1, disk.used()]);
    (await opened(one, { primary: '/d' })).release();
    assert.ok(statSync(disk.bodyPath('/d')).isFile());
  });
});
