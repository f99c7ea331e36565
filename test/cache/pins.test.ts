/** Pins, as they lie on disk. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, HEAD, lead, put, start, write } from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const QUARTER = 2 ** 18;

async function keysOf(cache: FileCache): Promise<string> {
  const found: string[] = [];
  for await (const { key } of cache.list()) found.push(key.primary);
  return found.sort().join(' ');
}

describe('pins on disk', () => {
  test('they are written down before pin resolves, and hold after a restart', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache({ maxBytes: 2 ** 20 });
    for (const primary of ['/a', '/b', '/c']) await put(first, { primary }, bytesOf(QUARTER));
    await first.pin('/a', true);
    assert.match(
      readFileSync(disk.statePath('/a'), 'utf8'),
      /^\{"pinned":true,"checksum":"[0-9a-f]{64}"\} *\n/,
    );
    // As if it had been killed: it is not closed.
    const second = await disk.cache({ maxBytes: 2 ** 20 });
    assert.equal((await second.stats()).pinned, 1);
    await put(second, { primary: '/d' }, bytesOf(QUARTER));
    await second.prune({ toBytes: 0 });
    assert.equal(await keysOf(second), '/a');
    await second.pin('/a', false);
    const third = await disk.cache({ maxBytes: 2 ** 20 });
    assert.equal((await third.stats()).pinned, 0);
    assert.equal((await third.prune({ toBytes: 0 })).entries, 1);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('what one process pins the other does not evict, and what one unpins the other may', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache({ maxBytes: 2 ** 20 });
    for (const primary of ['/a', '/b', '/c']) await put(cache, { primary }, bytesOf(QUARTER));
    assert.equal(await child.tell('pin', '/a', true), 1);
    assert.equal((await cache.stats()).pinned, 0, 'it does not know yet');
    await put(cache, { primary: '/d' }, bytesOf(QUARTER));
    assert.equal(await keysOf(cache), '/a /c /d');
    assert.equal((await cache.stats()).pinned, 1);
    assert.equal(await child.tell('pin', '/a', false), 1);
    assert.equal((await cache.prune({ toBytes: 0 })).entries, 3);
    assert.equal(await keysOf(cache), '');
  });

  test('what another process has unpinned makes room for a fill that needs it', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache({ maxBytes: 2 ** 20 }), await disk.cache()];
    for (const primary of ['/a', '/b', '/c']) {
      await put(one, { primary }, bytesOf(QUARTER));
      await one.pin(primary, true);
    }
    const leader = await lead(one, { primary: '/d' });
    assert.deepEqual(await leader.start(HEAD, { size: QUARTER }), { declined: 'no-room' });
    await two.pin('/b', false);
    await put(one, { primary: '/d' }, bytesOf(QUARTER));
    assert.equal(await keysOf(one), '/a /c /d');
  });

  test('what another process has pinned does not expire', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache({ inactiveMs: 1000 }), await disk.cache()];
    for (const primary of ['/a', '/b']) {
      await put(two, { primary }, bytesOf(10));
      disk.age(disk.recordPath(primary), 1_000_000);
    }
    const third = await disk.cache({ inactiveMs: 1000 });
    await two.pin('/a', true);
    assert.equal((await third.prune()).entries, 1);
    assert.equal(await keysOf(one), '/a');
  });

  test('a pin that is set or taken away while its entry is replaced is not lost', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache(), await disk.cache()];
    const key = { primary: '/a' };
    await put(one, key, bytesOf(10), { storedAt: 0 });
    for (let i = 1; i <= 60; i++) {
      const on = i % 2 === 1;
      const fill = await start(one, key, { storedAt: i }, { newerThan: i - 1 });
      await write(fill, bytesOf(10, i));
      const commit = fill.commit({});
      // At another moment of the commit each time.
      for (let turns = 0; turns < i % 12; turns++) await new Promise((resolve) => setImmediate(resolve));
      const [, pinned] = await Promise.all([commit, two.pin('/a', on)]);
      assert.equal(pinned, 1, `round ${i}`);
      assert.equal((await two.info(key))?.pinned, on, `round ${i}`);
      assert.equal((await two.info(key))?.storedAt, i);
    }
    const kinds = disk.files(disk.layout.entries).map((file) => file.split('.').at(-1));
    assert.deepEqual(kinds.filter((kind) => kind !== 'state').sort(), ['body', 'json']);
    assert.ok(kinds.length <= 3, `${kinds}: at most one state`);
  });
});
