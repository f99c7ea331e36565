/** Bodies whose file stays open: a descriptor each, however many read, and none that nobody wants. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf, put, Reading, stored } from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';
import { eventually, KEY, LARGE, onLinux, openBodies, prepared, warm } from './hot.ts';

describe('bodies kept open', () => {
  test(
    'each is opened once, however many read it; the purge closes it after the last',
    onLinux,
    async (t) => {
      const { cache, disk } = await prepared(t, LARGE);
      assert.equal(openBodies(disk).length, 1);
      const entries = [await warm(cache), await warm(cache), await warm(cache)];
      assert.equal(openBodies(disk).length, 1);
      const stream = entries[0]?.read();
      assert.ok(stream !== undefined);
      const reading = new Reading(stream);
      await reading.until(1);
      stream.pause();
      await cache.invalidate({ key: '/a' });
      for (const entry of entries) entry.release();
      assert.equal(openBodies(disk).length, 1, 'somebody still reads it');
      stream.resume();
      assert.ok((await reading.whole()).equals(bytesOf(LARGE)));
      await eventually(() => openBodies(disk).length === 0, 'closed');
    },
  );

  test('no descriptor outlives close(), but those that are being read', onLinux, async (t) => {
    const { cache, disk } = await prepared(t, LARGE);
    await put(cache, { primary: '/b' }, bytesOf(LARGE));
    (await warm(cache, { primary: '/b' })).release();
    assert.equal(openBodies(disk).length, 2);
    const entry = await warm(cache);
    await cache.close();
    await eventually(() => openBodies(disk).length === 1, 'one is left');
    entry.release();
    await eventually(() => openBodies(disk).length === 0, 'none is left');
  });

  test('at most 128 are kept', onLinux, async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ memory: { maxEntryBytes: 0 } });
    const keys = Array.from({ length: 140 }, (_, i) => ({ primary: `/${i}` }));
    for (const [i, key] of keys.entries()) await put(cache, key, bytesOf(100, i));
    for (const key of keys) (await warm(cache, key)).release();
    await eventually(() => openBodies(disk).length === 128, `${openBodies(disk).length} are open`);
    assert.equal((await cache.stats()).memory?.entries, 128);
    for (const [i, key] of keys.entries()) assert.ok((await stored(cache, key))?.equals(bytesOf(100, i)));
  });

  test(
    'what another process has purged does not stay on disk, though nobody asks for it',
    onLinux,
    async (t) => {
      const { cache, disk } = await prepared(t, LARGE);
      const child = await CacheProcess.open(t, { directory: disk.directory });
      await child.tell('invalidate', { key: '/a' });
      await eventually(() => openBodies(disk).length === 0, 'closed');
      assert.equal((await cache.stats()).memory?.entries, 0);
    },
  );

  test('opened and left again and again, in all ways at once, none is lost', onLinux, async (t) => {
    const { cache, disk } = await prepared(t, LARGE);
    let found = 0;
    const read = async (i: number) => {
      const entry = await cache.open(KEY);
      if (entry === undefined) return;
      found++;
      const stream = entry.read();
      if (i % 3 === 0) stream.destroy();
      else if (i % 3 === 1) await new Reading(stream).whole();
      else stream.once('data', () => stream.destroy());
      entry.release();
    };
    const change = async () => {
      for (let round = 0; round < 4; round++) {
        await put(cache, KEY, bytesOf(LARGE), { claim: { newerThan: Date.now() } });
        (await warm(cache)).release();
        if (round === 2) await cache.invalidate({ key: '/a' });
      }
    };
    const changing = change();
    let done = false;
    void changing.finally(() => {
      done = true;
    });
    while (!done) {
      await Promise.all(Array.from({ length: 6 }, (_, i) => read(i)));
      // What is being fetched is told at once to be not there: without this nothing else would have its turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await changing;
    assert.ok(found > 20, `${found} found`);
    await cache.close();
    await eventually(() => openBodies(disk).length === 0, `still open: ${openBodies(disk)}`);
  });
});
