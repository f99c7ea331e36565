/** What is removed while it is read takes its room until the last reader is done, and that can be seen. */
import assert from 'node:assert/strict';
import { pbkdf2 } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { bytesOf, hashOf, opened, put, Reading, start, write } from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const derive = promisify(pbkdf2);
const KEY = { primary: '/a' };
const SIZE = 3_000_000;
const NONE = { files: 0, bytes: 0 };
const ONE = { files: 1, bytes: SIZE };

describe('bodies that were removed while somebody reads them', () => {
  for (const [how, memory] of [
    ['kept open besides', undefined],
    ['read from disk', false],
  ] as const) {
    test(`${how}: they are counted until he is done, and he gets all of them`, async (t) => {
      const disk = new Disk(t);
      const cache = await disk.cache(memory === undefined ? {} : { memory });
      await put(cache, KEY, bytesOf(SIZE));
      const readers = [await opened(cache, KEY), await opened(cache, KEY)];
      assert.deepEqual((await cache.stats()).unlinked, NONE, 'it is an entry');
      await cache.invalidate({ key: '/a' });
      const { unlinked, bytes, entries } = await cache.stats();
      assert.deepEqual([unlinked, bytes, entries], [ONE, 0, 0], 'once, and not charged');
      for (const reader of readers) {
        assert.deepEqual((await cache.stats()).unlinked, ONE);
        assert.equal(hashOf('sha256', await Reading.of(reader).whole()), hashOf('sha256', bytesOf(SIZE)));
        reader.release();
      }
      assert.deepEqual((await cache.stats()).unlinked, NONE);
    });
  }

  test('replaced, evicted, or removed by another process, it is the same', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ memory: false });
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const ways = [
      () => put(cache, KEY, bytesOf(10), { storedAt: 2, claim: { newerThan: 1 } }),
      () => child.tell('invalidate', { key: '/a' }),
      () => child.tell('prune', 0),
    ];
    for (const remove of ways) {
      await cache.invalidate({ all: true });
      await put(cache, KEY, bytesOf(SIZE), { storedAt: 1 });
      const reader = await opened(cache, KEY);
      // Its record says so, once another has looked.
      await child.tell('stored', KEY);
      await remove();
      assert.deepEqual((await cache.stats()).unlinked, ONE, String(remove));
      assert.ok((await Reading.of(reader).whole()).equals(bytesOf(SIZE)), String(remove));
      reader.release();
      assert.deepEqual((await cache.stats()).unlinked, NONE);
    }
  });

  test('so are fills that will never be entries, while somebody reads what there is of them', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const fill = await start(cache, KEY);
    const reader = fill.reader();
    await write(fill, bytesOf(SIZE));
    while (reader.available(0) < SIZE) await fill.drained();
    await cache.invalidate({ key: '/a' });
    await assert.rejects(fill.commit({}), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
    assert.deepEqual((await cache.stats()).unlinked, ONE);
    assert.ok((await Reading.of(reader).whole()).equals(bytesOf(SIZE)));
    reader.release();
    assert.deepEqual((await cache.stats()).unlinked, NONE);
  });

  const linux = { skip: process.platform !== 'linux' };

  test('nothing stays open', linux, async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    for (let i = 0; i < 10; i++) {
      await put(cache, { primary: `/${i}` }, bytesOf(SIZE));
      const reader = await opened(cache, { primary: `/${i}` });
      await cache.invalidate({ all: true });
      reader.release();
    }
    await cache.close();
    assert.deepEqual(openBelow(disk.directory), []);
  });

  test('a cache that is closed has closed them, though that had to wait', linux, async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(SIZE));
    const reader = await opened(cache, KEY);
    await cache.invalidate({ all: true });
    const busy = keepThreadsBusy();
    reader.release();
    assert.equal(openBelow(disk.directory).length, 1, 'it waits');
    await cache.close();
    assert.deepEqual(openBelow(disk.directory), []);
    await busy;
  });
});

/** The files below a directory that this process has open. */
function openBelow(directory: string): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((path) => path.startsWith(directory));
}

/** Gives every thread of the pool something to do that takes longer than a few turns of the event loop. */
async function keepThreadsBusy(): Promise<void> {
  const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
  await Promise.all(Array.from({ length: threads }, () => derive('a', 'b', 200_000, 64, 'sha512')));
}
