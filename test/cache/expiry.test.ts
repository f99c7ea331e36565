/** Entries that nobody uses go by themselves. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { statSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { Expiry } from '../../lib/cache/expiry.ts';
import { FileCache } from '../../lib/cache/file-cache.ts';
import { MemoryCache } from '../../lib/cache/memory-cache.ts';
import { bytesOf, opened, put } from '../../lib/contracts/cache/steps.ts';
import type { CacheFilterEvents } from '../../lib/events.ts';
import { deferred } from '../support/deferred.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { Disk } from './disk.ts';

const HOUR_MS = 3_600_000;

/** What is published as long as the test lives. */
function told<Name extends 'cache-filter:evict' | 'cache-filter:expire'>(
  t: TestContext,
  name: Name,
): CacheFilterEvents[Name][] {
  const events: CacheFilterEvents[Name][] = [];
  const listen = (message: unknown) => void events.push(message as CacheFilterEvents[Name]);
  subscribe(name, listen);
  t.after(() => void unsubscribe(name, listen));
  return events;
}

describe('expiry', () => {
  test('it looks every so often, a quarter of the time, within a second and a minute', async (t) => {
    for (const [inactiveMs, interval] of [
      [1, 1_000],
      [40_000, 10_000],
      [30 * 24 * HOUR_MS, 60_000],
    ] as const) {
      t.mock.timers.enable({ apis: ['setInterval'] });
      let looks = 0;
      const expiry = new Expiry(inactiveMs, async () => looks++);
      t.mock.timers.tick(10 * interval);
      assert.equal(looks, 0, 'not before it is started');
      expiry.start();
      t.mock.timers.tick(interval - 1);
      assert.equal(looks, 0, `${inactiveMs}`);
      t.mock.timers.tick(1);
      assert.equal(looks, 1, `${inactiveMs}`);
      await expiry.close();
      t.mock.timers.tick(10 * interval);
      assert.equal(looks, 1, 'not after close');
      t.mock.timers.reset();
    }
  });

  test('one look at a time, close waits for it, and one that fails does no harm', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const { promise, resolve } = deferred();
    let looks = 0;
    const expiry = new Expiry(1, async () => {
      looks++;
      await promise;
      throw new Error('deliberate');
    });
    expiry.start();
    t.mock.timers.tick(5_000);
    assert.equal(looks, 1);
    let closed = false;
    const closing = expiry.close().then(() => {
      closed = true;
    });
    await new Promise((done) => setImmediate(done));
    assert.equal(closed, false);
    resolve();
    await closing;
  });

  test('what is no number of milliseconds is refused by name', (t) => {
    const directory = temporaryDirectory(t);
    for (const inactiveMs of [0, -1, 1.5, Number.NaN, '1h' as never]) {
      const error = { code: 'ERR_CACHE_FILTER_OPTION', option: 'inactiveMs' };
      assert.throws(() => new FileCache({ directory, inactiveMs }), error, String(inactiveMs));
      assert.throws(() => new MemoryCache({ inactiveMs }), error, String(inactiveMs));
    }
  });

  test('a cache does it by itself, and says so', async (t) => {
    const events = told(t, 'cache-filter:expire');
    const disk = new Disk(t);
    const first = await disk.cache();
    for (const primary of ['/a', '/b']) await put(first, { primary }, bytesOf(10));
    disk.age(disk.recordPath('/a'), 2 * HOUR_MS);
    await first.close();
    const fills = disk.files(disk.layout.entries).length;

    t.mock.timers.enable({ apis: ['setInterval'] });
    const second = await disk.cache({ inactiveMs: HOUR_MS });
    const { bytes } = await second.stats();
    t.mock.timers.tick(60_000);
    await second.close();
    assert.equal(disk.files(disk.layout.entries).length, fills / 2);
    assert.deepEqual(events, [{ directory: disk.directory, key: { primary: '/a' }, bytes: bytes / 2 }]);
    const { expired, evictions } = await second.stats();
    assert.deepEqual([expired, evictions], [1, 0]);
  });

  test('in memory as well', async (t) => {
    const events = told(t, 'cache-filter:expire');
    t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 });
    const cache = new MemoryCache({ inactiveMs: HOUR_MS });
    for (const primary of ['/a', '/b']) await put(cache, { primary }, bytesOf(488));
    t.mock.timers.tick(HOUR_MS - 1);
    // The last look is over.
    await new Promise((resolve) => setImmediate(resolve));
    (await opened(cache, { primary: '/a' })).release();
    t.mock.timers.tick(60_001);
    await cache.close();
    assert.deepEqual(events, [{ key: { primary: '/b' }, bytes: 1000 }]);
  });

  test('what another process uses stays: the time of the record says', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache({ inactiveMs: HOUR_MS }), await disk.cache({ inactiveMs: HOUR_MS })];
    for (const primary of ['/a', '/b']) await put(one, { primary }, bytesOf(10));
    for (const primary of ['/a', '/b']) disk.age(disk.recordPath(primary), 2 * HOUR_MS);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * HOUR_MS });
    const { mtimeMs } = statSync(disk.recordPath('/a'));
    (await opened(two, { primary: '/a' })).release();
    while (statSync(disk.recordPath('/a')).mtimeMs === mtimeMs)
      await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await one.prune()).entries, 1);
    const left = [];
    for await (const { key } of one.list()) left.push(key.primary);
    assert.deepEqual(left, ['/a']);
    assert.deepEqual(await one.prune(), { entries: 0, bytes: 0 });
  });
});

describe('what goes for want of room', () => {
  test('is told, with its key and its bytes', async (t) => {
    const events = told(t, 'cache-filter:evict');
    const disk = new Disk(t);
    const onDisk = await disk.cache({ maxBytes: 2 ** 20 });
    const inMemory = new MemoryCache({ maxBytes: 2 ** 20 });
    for (const cache of [onDisk, inMemory]) {
      for (let i = 0; i < 4; i++) await put(cache, { primary: `/${i}`, variant: '?v' }, bytesOf(2 ** 18));
      await cache.invalidate({ all: true });
    }
    const key = { primary: '/0', variant: '?v' };
    assert.deepEqual(events, [
      { directory: disk.directory, key, bytes: 2 ** 18 + 2 * 4096 },
      { key, bytes: 2 ** 18 + 512 },
    ]);
  });
});
