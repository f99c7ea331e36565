/** Purges that the store can't do: nothing of it is found all the same, and it is made up for. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { Unpurged } from '../../lib/cache/unpurged.ts';
import { bytesOf, put, stored } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';
import { Health, systemCode } from './health.ts';
import { mountTmpfs } from './limits.ts';

const BYTES = bytesOf(1000);

function smallDisk(t: TestContext): Disk | undefined {
  const path = mountTmpfs(t, 2 ** 23);
  return path === undefined ? undefined : new Disk(t, join(path, 'cache'));
}

function remount(disk: Disk, mode: 'ro' | 'rw'): void {
  assert.equal(spawnSync('mount', ['-o', `remount,${mode}`, dirname(disk.directory)]).status, 0, 'the fault');
}

describe('a purge that can not be done', () => {
  for (const memory of [{}, false] as const) {
    test(`what it is about is not found, memory: ${memory && 'default'}`, async (t) => {
      const disk = smallDisk(t);
      if (disk === undefined) return t.skip('mounting is not allowed here');
      const cache = await disk.cache({ memory });
      const health = new Health(t, disk.directory);
      for (const primary of ['/key', '/prefix/a', '/tagged', '/left'])
        await put(cache, { primary }, BYTES, { tags: [`tag of ${primary}`] });
      remount(disk, 'ro');
      for (const what of [{ key: '/key' }, { prefix: '/prefix' }, { tag: 'tag of /tagged' }])
        await assert.rejects(cache.invalidate(what), (error: Error & { code: string }) => {
          assert.deepEqual([error.code, systemCode(error)], ['ERR_CACHE_FILTER_STORE', 'EROFS'], 'the fault');
          return true;
        });
      const gone = ['/key', '/prefix/a', '/tagged'];
      for (const primary of gone) {
        assert.equal(await cache.open({ primary }), undefined, primary);
        assert.equal(await cache.info({ primary }), undefined, primary);
        assert.ok(existsSync(disk.recordPath(primary)), 'the fault');
      }
      const listed = [];
      for await (const { key } of cache.list()) listed.push(key.primary);
      assert.deepEqual(listed, ['/left']);
      assert.ok((await stored(cache, { primary: '/left' }))?.equals(BYTES), 'what is not meant is served');
      await health.until('read-only');
      remount(disk, 'rw');
      await health.until('up');
      for (const primary of gone) assert.equal(existsSync(disk.recordPath(primary)), false, primary);
      const other = await disk.cache();
      for (const primary of gone) assert.equal(await other.open({ primary }), undefined, primary);
      const { entries, bytes } = await cache.stats();
      assert.deepEqual([entries, bytes], [1, disk.used()]);
      assert.deepEqual(health.states, ['read-only', 'up']);
    });
  }

  test('what is taken away as a whole, and comes back, comes back without it', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const health = new Health(t, disk.directory);
    for (const primary of ['/a', '/b']) await put(cache, { primary }, BYTES);
    renameSync(disk.directory, `${disk.directory}-aside`);
    assert.equal(await cache.invalidate({ key: '/a' }), 0);
    assert.equal((await health.until('down')).state, 'down', 'the fault');
    // Before it is made anew.
    renameSync(`${disk.directory}-aside`, disk.directory);
    await health.until('up');
    assert.equal(await cache.open({ primary: '/a' }), undefined);
    assert.equal(existsSync(disk.recordPath('/a')), false);
    assert.ok((await stored(cache, { primary: '/b' }))?.equals(BYTES));
  });

  test('what is stored again afterwards is found, and stays', async () => {
    const unpurged = new Unpurged();
    unpurged.add({ all: true });
    const info = (storedAt: number) => ({ key: { primary: '/a' }, size: 1, digests: [], tags: [], storedAt });
    assert.equal(unpurged.covers(info(Date.now() - 1)), true);
    assert.equal(unpurged.covers(info(Date.now() + 1000)), false);
    let tried = 0;
    await unpurged.makeUp(async () => {
      tried++;
      throw new Error('deliberate');
    });
    assert.deepEqual([tried, unpurged.size], [1, 1], 'it waits for the next time');
    await unpurged.makeUp(async () => undefined);
    assert.equal(unpurged.covers(info(Date.now() - 1)), false);
  });

  test('one folder taken away and made anew is noticed, without anybody asking', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const health = new Health(t, disk.directory);
    for (const primary of ['/a', '/b']) await put(cache, { primary }, BYTES);
    assert.ok(await stored(cache, { primary: '/a' }));
    renameSync(disk.layout.entries, `${disk.directory}-aside`);
    mkdirSync(disk.layout.entries);
    await health.until('down');
    await health.until('up');
    const { entries, bytes, memory } = await cache.stats();
    assert.deepEqual([entries, bytes, memory?.entries], [0, 0, 0]);
    assert.equal(await cache.open({ primary: '/a' }), undefined);
    await put(cache, { primary: '/a' }, BYTES);
    assert.ok(await stored(cache, { primary: '/a' }));
  });
});
