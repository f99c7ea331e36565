/** Each process keeps an account of all that is there, whoever has stored it. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import {
  begun,
  bytesOf,
  HEAD,
  lead,
  opened,
  put,
  start,
  stored,
  write,
} from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const MIB = 2 ** 20;
const QUARTER = MIB / 4;
const KEY = { primary: '/a' };

/** Until the account says so: a look comes every second. */
async function until(cache: FileCache, holds: (stats: Awaited<ReturnType<FileCache['stats']>>) => boolean) {
  for (;;) {
    const stats = await cache.stats();
    if (holds(stats)) return stats;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Both accounts are what is on the disk. */
async function agree(disk: Disk, ...caches: FileCache[]): Promise<void> {
  for (const cache of caches) await until(cache, ({ bytes }) => bytes === disk.used());
}

for (const locks of [true, false]) {
  const two = async (t: TestContext, options = {}) => {
    const disk = new Disk(t);
    const make = () => disk.cache({ locks, ...options });
    return { disk, one: await make(), other: await make() };
  };

  // Most of them wait for the next look.
  describe(`what others do, with locks: ${locks}`, { concurrency: 4 }, () => {
    test('what one stores the other accounts for, without being asked for it', async (t) => {
      const { disk, one, other } = await two(t);
      for (let i = 0; i < 20; i++) await put(one, { primary: `/${i}` }, bytesOf(i * 1000));
      const { bytes } = await one.stats();
      const stats = await until(other, ({ entries }) => entries === 20);
      assert.equal(stats.bytes, bytes);
      assert.equal(stats.bytes, disk.used());
    });

    test('what one removes is not charged by the other', async (t) => {
      const { one, other } = await two(t);
      for (let i = 0; i < 20; i++) await put(one, { primary: `/${i}` }, bytesOf(1000));
      await until(other, ({ entries }) => entries === 20);
      await one.invalidate({ key: '/3' });
      await one.prune({ toBytes: 0 });
      const { bytes } = await until(other, ({ entries }) => entries === 0);
      assert.equal(bytes, 0);
    });

    test('what one replaces by something larger is charged as that', async (t) => {
      const { disk, one, other } = await two(t);
      await put(one, KEY, bytesOf(1000), { storedAt: 1 });
      await until(other, ({ entries }) => entries === 1);
      await put(one, KEY, bytesOf(100_000), { storedAt: 2, claim: { newerThan: 1 } });
      await agree(disk, one, other);
      assert.equal((await other.stats()).entries, 1);
      await put(other, KEY, bytesOf(10), { storedAt: 3, claim: { newerThan: 2 } });
      await agree(disk, one, other);
    });

    test('a pin that another has set is known with the entry', async (t) => {
      const { one, other } = await two(t);
      await put(one, KEY, bytesOf(1000));
      await one.pin('/a', true);
      assert.equal((await until(other, ({ entries }) => entries === 1)).pinned, 1);
    });

    test('what another is writing takes its room, from before its first byte', async (t) => {
      const { one, other } = await two(t, { maxBytes: MIB });
      const fill = await start(one, { primary: '/large' }, { size: MIB / 2 });
      await write(fill, bytesOf(10));
      const { bytes } = await until(other, (stats) => stats.bytes > 0);
      assert.ok(bytes >= MIB / 2, `${bytes} bytes are charged`);
      await put(other, KEY, bytesOf(QUARTER));
      const held = await opened(other, KEY);
      const claim = await lead(other, { primary: '/b' });
      assert.deepEqual(await claim.start(HEAD, { size: QUARTER }), { declined: 'no-room' });
      held.release();
      await fill.abort(new Error('enough'));
      await put(other, { primary: '/b' }, bytesOf(QUARTER));
    });

    test('of two that want the last room, not both get it', async (t) => {
      const { disk, one, other } = await two(t, { maxBytes: MIB });
      for (let i = 0; i < 20; i++) {
        const claims = [await lead(one, { primary: '/x' }), await lead(other, { primary: '/y' })];
        const fills = await Promise.all(claims.map((claim) => claim.start(HEAD, { size: MIB / 2 })));
        const begun = fills.flatMap((fill) => ('declined' in fill ? [] : [fill]));
        assert.ok(begun.length < 2, 'both');
        for (const fill of begun) await fill.abort(new Error('enough'));
      }
      await agree(disk, one, other);
    });

    test('what others have stored is found before anything is stored besides', async (t) => {
      const { disk, one, other } = await two(t, { maxBytes: MIB });
      for (const primary of ['/a', '/b', '/c']) await put(one, { primary }, bytesOf(QUARTER));
      // It has looked at this moment, or will now.
      await new Promise((resolve) => setTimeout(resolve, 100));
      await put(other, { primary: '/d' }, bytesOf(QUARTER));
      await put(other, { primary: '/e' }, bytesOf(QUARTER));
      await agree(disk, one, other);
      assert.ok(disk.used() <= MIB, `${disk.used()} bytes`);
      assert.equal((await other.stats()).entries, 3);
    });

    test('who goes is who was used least recently by anybody', async (t) => {
      const { disk, one, other } = await two(t, { maxBytes: MIB, memory: false });
      for (const [i, primary] of ['/a', '/b', '/c'].entries()) {
        await put(one, { primary }, bytesOf(QUARTER));
        disk.age(disk.recordPath(primary), 1_000_000 - i * 10_000);
      }
      const third = await disk.cache({ locks, maxBytes: MIB, memory: false });
      const { mtimeMs } = statSync(disk.recordPath('/a'));
      (await opened(other, { primary: '/a' })).release();
      while (statSync(disk.recordPath('/a')).mtimeMs === mtimeMs)
        await new Promise((resolve) => setImmediate(resolve));
      await put(third, { primary: '/d' }, bytesOf(QUARTER));
      const found = [];
      for await (const { key } of third.list()) found.push(key.primary);
      assert.deepEqual(found.sort(), ['/a', '/c', '/d']);
    });

    test('where others have gone beyond the budget, it is brought back', async (t) => {
      const { disk, one } = await two(t, { maxBytes: MIB });
      const larger = await disk.cache({ locks, maxBytes: 10 * MIB });
      for (let i = 0; i < 8; i++) await put(larger, { primary: `/${i}` }, bytesOf(QUARTER));
      const { bytes } = await until(one, (stats) => stats.evictions > 0 && stats.bytes <= MIB);
      assert.equal(bytes, disk.used());
      assert.ok(await stored(one, { primary: '/7' }), 'the last one stays');
    });

    test('a body that nobody needs is removed, as two leave it who replace an entry at once', async (t) => {
      const { disk, one } = await two(t);
      await put(one, KEY, bytesOf(1000));
      const orphans = [
        disk.bodyPath('/a'),
        disk.bodyPath('/a').replace(/entries.{4}[0-9a-f]{64}/, (found) => `${found.slice(0, -1)}0`),
      ].map((path) => path.replace(/\.[0-9a-f]{16}\./, '.0123456789abcdef.'));
      for (const path of orphans) copyFileSync(disk.bodyPath('/a'), path);
      while (orphans.some(existsSync)) await new Promise((resolve) => setTimeout(resolve, 10));
      await agree(disk, one);
      assert.ok((await stored(one, KEY))?.equals(bytesOf(1000)));
    });

    test('a directory that an operator empties is empty for everybody', async (t) => {
      const { disk, one, other } = await two(t);
      for (let i = 0; i < 20; i++) await put(one, { primary: `/${i}` }, bytesOf(1000));
      await until(other, ({ entries }) => entries === 20);
      rmSync(disk.layout.entries, { recursive: true });
      for (const cache of [one, other])
        assert.equal((await until(cache, ({ entries }) => entries === 0)).bytes, 0);
    });

    test('an entry that is put back is accounted for, and one that is damaged is not', async (t) => {
      const { disk, one } = await two(t);
      await put(one, KEY, bytesOf(1000));
      const [record, body] = [disk.recordPath('/a'), disk.bodyPath('/a')];
      for (const path of [record, body]) copyFileSync(path, `${path}.kept`);
      await one.invalidate({ key: '/a' });
      copyFileSync(`${body}.kept`, body);
      writeFileSync(record, '{}');
      await put(one, { primary: '/b' }, bytesOf(10));
      assert.equal((await one.stats()).entries, 1);
      rmSync(record);
      copyFileSync(`${record}.kept`, record);
      await until(one, ({ entries }) => entries === 2);
      assert.ok((await stored(one, KEY))?.equals(bytesOf(1000)));
    });

    test('a fill whose process is killed gives its room back', async (t) => {
      const { disk, one } = await two(t, { maxBytes: MIB });
      const child = await CacheProcess.open(t, { directory: disk.directory, maxBytes: MIB, locks });
      await child.tell('start', { primary: '/large' }, { size: MIB / 2 });
      await until(one, ({ bytes }) => bytes >= MIB / 2);
      assert.equal(await child.kill(), 'SIGKILL', 'the fault');
      for (const file of disk.incomplete()) disk.age(`${disk.layout.incomplete}/${file}`, 10_000);
      const { bytes } = await until(one, (stats) => stats.bytes < MIB / 2);
      assert.equal(bytes, disk.used(), 'what is there of it still counts');
      for (const file of disk.incomplete()) disk.age(`${disk.layout.incomplete}/${file}`, 100_000);
      await until(one, (stats) => stats.bytes === 0);
      assert.deepEqual(disk.incomplete(), [], 'and is removed after a minute');
    });

    test('its own fills and entries are not taken for those of others', async (t) => {
      const disk = new Disk(t);
      const cache = await disk.cache({ locks });
      const fill = await begun(await lead(cache, KEY), { size: 100_000 });
      await write(fill, bytesOf(100_000));
      const { bytes } = await cache.stats();
      // Two looks at least.
      const before = performance.now();
      while (performance.now() - before < 2_500) {
        assert.equal((await cache.stats()).bytes, bytes);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await fill.commit({});
      assert.equal((await cache.stats()).bytes, disk.used());
    });
  });
}
