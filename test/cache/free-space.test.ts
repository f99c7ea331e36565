/** A floor of free space is left on the file system, whatever the budget says. */
import assert from 'node:assert/strict';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import {
  bytesOf,
  HEAD,
  lead,
  opened,
  put,
  Reading,
  settled,
  start,
  stored,
  write,
} from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';
import { mountTmpfs } from './limits.ts';

const MIB = 2 ** 20;

function smallDisk(t: TestContext): Disk | undefined {
  const path = mountTmpfs(t, 16 * MIB);
  if (path === undefined) t.skip('mounting is not allowed here');
  return path === undefined ? undefined : new Disk(t, join(path, 'cache'));
}

function free(disk: Disk): number {
  const { bavail, bsize } = statfsSync(disk.directory);
  return bavail * bsize;
}

async function keysOf(cache: FileCache): Promise<string> {
  const found: string[] = [];
  for await (const { key } of cache.list()) found.push(key.primary);
  return found.sort().join(' ');
}

describe('the floor of free space', () => {
  test('the least recently used go until it holds', async (t) => {
    const disk = smallDisk(t);
    if (disk === undefined) return;
    const cache = await disk.cache({ minFreeBytes: 8 * MIB });
    for (let i = 0; i < 12; i++) {
      await put(cache, { primary: `/${i}` }, bytesOf(2 * MIB, i));
      assert.ok(free(disk) >= 8 * MIB, `${free(disk)} bytes are free after ${i + 1} commits`);
    }
    assert.equal(await keysOf(cache), '/10 /11 /9');
    assert.equal((await cache.stats()).evictions, 9);
    assert.ok((await stored(cache, { primary: '/11' }))?.equals(bytesOf(2 * MIB, 11)));
  });

  test('what can not be had is declined, and nothing goes in vain', async (t) => {
    const disk = smallDisk(t);
    if (disk === undefined) return;
    const cache = await disk.cache({ minFreeBytes: 8 * MIB });
    await put(cache, { primary: '/a' }, bytesOf(3 * MIB));
    await put(cache, { primary: '/b' }, bytesOf(3 * MIB));
    const held = await opened(cache, { primary: '/a' });
    for (const size of [9 * MIB, 6 * MIB]) {
      const leader = await lead(cache, { primary: '/c' });
      assert.deepEqual(await leader.start(HEAD, { size }), { declined: 'no-room' }, `${size} bytes`);
    }
    assert.equal(await keysOf(cache), '/a /b');
    held.release();
    await put(cache, { primary: '/c' }, bytesOf(6 * MIB));
    assert.equal(await keysOf(cache), '/c');
  });

  test('fills are promised their room before they write', async (t) => {
    const disk = smallDisk(t);
    if (disk === undefined) return;
    const cache = await disk.cache({ minFreeBytes: 8 * MIB });
    const fill = await start(cache, { primary: '/a' }, { size: 5 * MIB });
    const leader = await lead(cache, { primary: '/b' });
    assert.deepEqual(await leader.start(HEAD, { size: 5 * MIB }), { declined: 'no-room' });
    await write(fill, bytesOf(5 * MIB));
    await settled(fill.commit({}), 'commit');
    await put(cache, { primary: '/b' }, bytesOf(5 * MIB));
    assert.equal(await keysOf(cache), '/b', 'once it is an entry, it can be evicted');
  });

  for (const size of [10 * MIB, undefined]) {
    test(`a body ${size === undefined ? 'of unknown size' : 'that was admitted'} loses its store where the disk fills up; its readers get it`, async (t) => {
      const disk = smallDisk(t);
      if (disk === undefined) return;
      const cache = await disk.cache({ minFreeBytes: 4 * MIB });
      const bytes = bytesOf(10 * MIB);
      const fill = await start(cache, { primary: '/a' }, size === undefined ? {} : { size });
      const reader = fill.reader();
      const reading = Reading.of(reader);
      await write(fill, bytes.subarray(0, MIB));
      await reading.until(MIB);
      // Somebody else takes the rest, but for what is to be left; within a second it is noticed.
      const other = join(disk.directory, 'other');
      writeFileSync(other, Buffer.alloc(free(disk) - 4 * MIB));
      const later = performance.now() + 1_000;
      t.mock.method(performance, 'now', () => later);
      for (let at = MIB; at < bytes.byteLength; at += MIB) await write(fill, bytes.subarray(at, at + MIB));
      await assert.rejects(settled(fill.commit({ length: bytes.byteLength }), 'commit'), {
        code: 'ERR_CACHE_FILTER_STORE',
      });
      assert.ok((await reading.whole()).equals(bytes));
      reader.release();
      assert.ok(free(disk) >= 4 * MIB, `the floor holds: ${free(disk)} bytes`);
      rmSync(other);
      assert.equal(await keysOf(cache), '');
      assert.equal((await cache.stats()).bytes, 0);
    });
  }

  test('a floor above what the file system has declines all, and takes nothing away', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    await put(first, { primary: '/a' }, bytesOf(10));
    const second = await disk.cache({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    const leader = await lead(second, { primary: '/b' });
    assert.deepEqual(await leader.start(HEAD), { declined: 'no-room' });
    assert.ok(await stored(second, { primary: '/a' }));
    const { bytes, fills, evictions } = await second.stats();
    assert.deepEqual([bytes, fills, evictions], [disk.used(), 0, 0]);
  });

  test('what is no number of bytes is refused by name', (t) => {
    const disk = new Disk(t);
    for (const minFreeBytes of [-1, 0.5, '1GB' as never, null as never]) {
      assert.throws(() => disk.unscanned({ minFreeBytes }), {
        code: 'ERR_CACHE_FILTER_OPTION',
        option: 'minFreeBytes',
      });
    }
  });
});
