/** Hits and last use, as they lie on disk. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { addHits, readState, writePin } from '../../lib/cache/state.ts';
import { Usage } from '../../lib/cache/usage.ts';
import { bytesOf, opened, put } from '../../lib/contracts/cache/steps.ts';
import { deferred } from '../support/deferred.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/a' };

async function use(cache: FileCache, times: number): Promise<void> {
  for (let i = 0; i < times; i++) (await opened(cache, KEY)).release();
}

describe('hits on disk', () => {
  test('they are written down in the background, and are there after a restart', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    await put(first, KEY, bytesOf(10));
    await use(first, 3);
    assert.equal(existsSync(disk.statePath('/a')), false, 'no open waits for that');
    assert.equal((await first.info(KEY))?.hits, 3, 'they count all the same');
    await first.close();
    assert.equal(
      (await readState(disk.layout, disk.layout.name('/a', undefined), disk.record('/a').fill)).hits,
      3,
    );

    const second = await disk.cache();
    assert.equal((await second.info(KEY))?.hits, 3);
    await use(second, 2);
    for await (const { hits } of second.list()) assert.equal(hits, 5);
    await second.close();
    assert.equal((await (await disk.cache()).info(KEY))?.hits, 5);
  });

  test('a body that replaces another leaves no state of it behind', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10), { storedAt: 1 });
    await use(cache, 3);
    await cache.pin('/a', false);
    const before = disk.statePath('/a');
    assert.ok(existsSync(before));
    await put(cache, KEY, bytesOf(10), { storedAt: 2, claim: { newerThan: 1 } });
    assert.equal(existsSync(before), false);
    await cache.close();
    assert.deepEqual(
      disk.files(disk.layout.entries).filter((file) => file.endsWith('.state')),
      [],
    );
    assert.equal((await (await disk.cache()).info(KEY))?.hits, 0);
  });

  test('they go with their entry, whichever way it goes', async (t) => {
    const ways: [string, (cache: FileCache) => Promise<unknown>][] = [
      ['purged', (cache) => cache.invalidate({ key: '/a' })],
      ['pruned', (cache) => cache.prune({ toBytes: 0 })],
      ['expired', (cache) => cache.prune()],
    ];
    for (const [way, go] of ways) {
      const disk = new Disk(t);
      const first = await disk.cache();
      await put(first, KEY, bytesOf(10));
      await use(first, 1);
      await first.close();
      assert.ok(existsSync(disk.statePath('/a')), 'it was there');
      disk.age(disk.recordPath('/a'), 10_000);
      const second = await disk.cache(way === 'expired' ? { inactiveMs: 1000 } : {});
      await go(second);
      await second.close();
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG'], way);
    }
  });

  test('a state without its entry is swept at the next start', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    await put(first, KEY, bytesOf(10));
    await put(first, { primary: '/b' }, bytesOf(10));
    const name = disk.layout.name('/a', undefined);
    for (const primary of ['/a', '/b']) await first.pin(primary, true);
    // Of a fill that there is no record of, and of one whose record and body have gone.
    writeFileSync(disk.layout.state(name, '0123456789abcdef'), readFileSync(disk.statePath('/a')));
    await first.close();
    rmSync(disk.bodyPath('/b'));
    await disk.cache();
    assert.deepEqual(
      disk.files(disk.layout.entries).map((file) => file.split('.').at(-1)),
      ['body', 'state', 'json'],
    );
  });

  test('a torn or damaged state says nothing, and is written anew', async (t) => {
    for (const damage of [
      (path: string) => truncateSync(path, 200),
      (path: string) => truncateSync(path, 0),
      (path: string) => writeFileSync(path, Buffer.alloc(256)),
      (path: string) => {
        const text = readFileSync(path, 'utf8');
        writeFileSync(path, text.replace('"hits":3', '"hits":4'));
        assert.notEqual(readFileSync(path, 'utf8'), text, 'the fault');
      },
    ]) {
      const disk = new Disk(t);
      const first = await disk.cache();
      await put(first, KEY, bytesOf(10));
      await use(first, 3);
      await first.close();
      damage(disk.statePath('/a'));
      const second = await disk.cache();
      assert.equal((await second.info(KEY))?.hits, 0);
      await use(second, 2);
      await second.close();
      assert.equal((await (await disk.cache()).info(KEY))?.hits, 2);
    }
  });

  test('where they can not be written, entries are served all the same', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10));
    mkdirSync(disk.statePath('/a'));
    await use(cache, 3);
    await cache.close();
    const second = await disk.cache();
    assert.equal((await second.info(KEY))?.hits, 0, 'the fault: they are lost');
    await use(second, 1);
    await assert.rejects(second.pin('/a', true), { code: 'ERR_CACHE_FILTER_STORE' });
    rmSync(disk.statePath('/a'), { recursive: true });
  });

  test('two processes add to the same', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10));
    await use(cache, 3);
    for (let i = 0; i < 2; i++) assert.ok(await child.tell('stored', KEY));
    await child.tell('close');
    assert.equal((await cache.info(KEY))?.hits, 5, 'its own, and what the other has written down');
    await cache.close();
    assert.equal((await (await disk.cache()).info(KEY))?.hits, 5);
  });

  test('what another process has used was last used then', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache(), await disk.cache()];
    await put(one, KEY, bytesOf(10));
    disk.age(disk.recordPath('/a'), 1_000_000);
    const third = await disk.cache();
    const before = (await third.info(KEY))?.usedAt ?? Number.NaN;
    assert.ok(Date.now() - before >= 1_000_000);
    await use(two, 1);
    const { usedAt = before } = (await two.info(KEY)) ?? {};
    assert.ok(usedAt > before);
    while (((await third.info(KEY))?.usedAt ?? before) === before)
      await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('a state', () => {
  test('whoever writes one line leaves the other as it is', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10));
    const name = disk.layout.name('/a', undefined);
    const { fill } = disk.record('/a');
    const place = { layout: disk.layout, name, fill, mode: 0o600 };
    const read = () => readState(disk.layout, name, fill);
    assert.deepEqual(await read(), { hits: 0, pinned: false });
    await addHits(place, 2);
    assert.deepEqual(await read(), { hits: 2, pinned: false });
    await writePin(place, true);
    const before = readFileSync(disk.statePath('/a'));
    await addHits(place, Number.MAX_SAFE_INTEGER - 2);
    assert.deepEqual(await read(), { hits: Number.MAX_SAFE_INTEGER, pinned: true });
    const after = readFileSync(disk.statePath('/a'));
    assert.ok(after.subarray(0, 128).equals(before.subarray(0, 128)), 'the line of the pin');
    assert.equal(after.byteLength, 256);
    await Promise.all([writePin(place, false), addHits(place, 0)]);
    assert.deepEqual(await read(), { hits: Number.MAX_SAFE_INTEGER, pinned: false });
  });

  test('written when its entry has gone, it goes as well', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10));
    const place = { layout: disk.layout, name: disk.layout.name('/a', undefined), mode: 0o600 };
    await addHits({ ...place, fill: '0123456789abcdef' }, 1);
    assert.deepEqual(
      disk.files().filter((file) => file.endsWith('.state')),
      [],
    );
  });
});

describe('usage', () => {
  test('what is counted while it is written down is not lost, and what was forgotten is', async () => {
    const { promise: written, resolve: finish } = deferred();
    const writes: [string, number][] = [];
    const usage = new Usage(async (name, hits) => {
      writes.push([name, hits]);
      await written;
    });
    for (const name of ['a', 'a', 'b', 'c']) usage.count(name);
    const flushing = usage.flush();
    while (writes.length === 0) await new Promise((resolve) => setImmediate(resolve));
    usage.count('a');
    usage.forget('b');
    finish();
    await flushing;
    assert.deepEqual(writes, [
      ['a', 2],
      ['c', 1],
    ]);
    assert.equal(usage.of('a'), 1);
    await usage.flush();
    assert.deepEqual(writes.slice(2), [['a', 1]]);
    await usage.flush();
    assert.equal(writes.length, 3, 'nothing is left');
  });

  test('it writes by itself after a while, and keeps no process alive for that', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const writes: [string, number][] = [];
    const usage = new Usage(async (name, hits) => {
      writes.push([name, hits]);
    });
    usage.count('a');
    usage.count('a');
    t.mock.timers.tick(4_999);
    assert.deepEqual(writes, []);
    t.mock.timers.tick(1);
    await usage.flush();
    assert.deepEqual(writes, [['a', 2]]);
  });
});
