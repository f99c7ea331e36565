import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, opened, put, stored } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';

const QUARTER = 2 ** 18;

async function present(cache: FileCache, ...keys: string[]): Promise<string[]> {
  const found = await Promise.all(keys.map(async (primary) => (await cache.info({ primary })) !== undefined));
  return keys.filter((_, i) => found[i]);
}

describe('after a restart', () => {
  test('entries are served as before, at once and accounted for', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    const bytes = bytesOf(100_000);
    const info = await put(first, { primary: '/a', variant: '?b' }, bytes, { tags: ['t'] });
    await put(first, { primary: '/c' }, bytesOf(10));
    const { entries, bytes: charged } = await first.stats();
    await first.close();

    const second = disk.unscanned();
    assert.ok(
      (await stored(second, { primary: '/a', variant: '?b' }))?.equals(bytes),
      'before the scan is over',
    );
    const found = await second.info({ primary: '/a', variant: '?b' });
    assert.deepEqual(found, { ...info, hits: 1, usedAt: found?.usedAt, pinned: false });
    const stats = await second.stats();
    assert.deepEqual([stats.entries, stats.bytes, stats.corrupt], [entries, charged, 0]);
    assert.equal(await second.invalidate({ tag: 't' }), 1);
  });

  test('who was used least recently still goes first: the record’s time says', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    for (const [i, key] of ['/a', '/b', '/c'].entries()) {
      await put(first, { primary: key }, bytesOf(QUARTER));
      disk.age(disk.recordPath(key), 1_000_000 - i * 1000);
    }
    // /a was stored first, and is used now; the record learns of it in the background.
    const { mtimeMs } = statSync(disk.recordPath('/a'));
    (await opened(first, { primary: '/a' })).release();
    while (statSync(disk.recordPath('/a')).mtimeMs === mtimeMs)
      await new Promise((resolve) => setImmediate(resolve));
    await first.close();

    const second = await disk.cache({ maxBytes: 2 ** 20 });
    await put(second, { primary: '/d' }, bytesOf(QUARTER));
    assert.deepEqual(await present(second, '/a', '/b', '/c', '/d'), ['/a', '/c', '/d']);
    await put(second, { primary: '/e' }, bytesOf(QUARTER));
    assert.deepEqual(await present(second, '/a', '/c', '/d', '/e'), ['/a', '/d', '/e']);
  });

  test('the time of a record is brought up to date once a minute at most', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(10));
    disk.age(disk.recordPath('/a'), 1_000_000);
    const time = () => statSync(disk.recordPath('/a')).mtimeMs;
    const old = time();
    (await opened(cache, { primary: '/a' })).release();
    while (time() === old) await new Promise((resolve) => setImmediate(resolve));
    disk.age(disk.recordPath('/a'), 1_000_000);
    const aged = time();
    for (let i = 0; i < 10; i++) assert.ok(await stored(cache, { primary: '/a' }));
    assert.equal(time(), aged);
  });

  test('what is used while the scan runs is the most recent', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    for (let i = 0; i < 30; i++) await put(first, { primary: `/${i}` }, bytesOf(10));
    disk.age(disk.recordPath('/7'), 1_000_000);
    await first.close();
    const second = disk.unscanned();
    (await opened(second, { primary: '/7' })).release();
    const { bytes } = await second.stats();
    await second.prune({ toBytes: Math.floor(bytes / 30) });
    const left = [];
    for await (const { key } of second.list()) left.push(key.primary);
    assert.deepEqual(left, ['/7']);
  });

  test('what is purged while the scan runs is not charged', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    for (let i = 0; i < 30; i++) await put(first, { primary: `/${i}` }, bytesOf(10));
    await first.close();
    const second = disk.unscanned();
    await Promise.all(Array.from({ length: 29 }, (_, i) => second.invalidate({ key: `/${i}` })));
    const { entries, bytes } = await second.stats();
    assert.equal(entries, 1);
    assert.equal(bytes, disk.used());
  });

  test('a smaller budget is kept from the start', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    for (const [i, key] of ['/a', '/b', '/c', '/d'].entries()) {
      await put(first, { primary: key }, bytesOf(QUARTER));
      disk.age(disk.recordPath(key), 1_000_000 - i * 1000);
    }
    await first.close();
    const second = await disk.cache({ maxBytes: 2 * QUARTER + 20_000 });
    const { entries, bytes, evictions } = await second.stats();
    assert.deepEqual([entries, evictions], [2, 2]);
    assert.ok(bytes <= second.maxBytes);
    assert.deepEqual(await present(second, '/a', '/b', '/c', '/d'), ['/c', '/d']);
    assert.equal(disk.used(), bytes);
  });

  test('files that are not ours are left alone, and disturb nothing', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    await put(first, { primary: '/a' }, bytesOf(10), { tags: ['t'] });
    await first.close();
    const { entries, incomplete, root } = disk.layout;
    const strays = [
      join(entries, '.DS_Store'),
      join(entries, 'README'),
      join(incomplete, '.DS_Store'),
      join(incomplete, 'backup.body'),
      join(root, 'notes.txt'),
      `${disk.recordPath('/a')}.bak`,
    ];
    for (const path of strays) writeFileSync(path, 'not ours');
    mkdirSync(join(entries, 'ff', 'folder.json'), { recursive: true });
    const misplaced = join(entries, 'ff', `${disk.layout.name('/a', undefined)}.json`);
    copyFileSync(disk.recordPath('/a'), misplaced);

    const second = await disk.cache();
    assert.equal((await second.stats()).entries, 1, 'the scan went through');
    const listed = [];
    for await (const { key } of second.list()) listed.push(key.primary);
    assert.deepEqual(listed, ['/a']);
    assert.ok(await stored(second, { primary: '/a' }));
    assert.equal(await second.invalidate({ tag: 't' }), 1);
    await second.invalidate({ all: true });
    for (const path of strays) assert.ok(statSync(path).isFile(), path);
  });

  test('a directory that has moved is used as it is', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    await put(first, { primary: '/a' }, bytesOf(10));
    await first.close();
    const moved = new Disk(t, `${disk.directory}-moved`);
    renameSync(disk.directory, moved.directory);
    assert.ok(await stored(await moved.cache(), { primary: '/a' }));
  });
});
