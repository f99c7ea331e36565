/** Damage on disk is a miss, and is cleared away. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import {
  bytesOf,
  lead,
  opened,
  put,
  Reading,
  start,
  stored,
  write,
} from '../../lib/contracts/cache/steps.ts';
import type { CacheFilterEvents } from '../../lib/events.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/a' };

const DAMAGES: [string, (disk: Disk) => void][] = [
  ['a body that was cut short', (disk) => truncateSync(disk.bodyPath('/a'), 9_999)],
  ['a body that has grown', (disk) => appendFileSync(disk.bodyPath('/a'), 'x')],
  ['an empty body', (disk) => truncateSync(disk.bodyPath('/a'), 0)],
  ['a missing body', (disk) => rmSync(disk.bodyPath('/a'))],
  ['an empty record', (disk) => truncateSync(disk.recordPath('/a'), 0)],
  ['a record that was cut short', (disk) => truncateSync(disk.recordPath('/a'), 100)],
  [
    'a record with one digit changed',
    (disk) => {
      const path = disk.recordPath('/a');
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, text.replace('"size":10000', '"size":10001'));
      assert.notEqual(readFileSync(path, 'utf8'), text, 'the fault');
    },
  ],
  ['a record that is no JSON', (disk) => writeFileSync(disk.recordPath('/a'), Buffer.alloc(200))],
];

describe('damage', () => {
  const prepared = async (t: TestContext): Promise<{ disk: Disk; cache: FileCache }> => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10_000));
    await put(cache, { primary: '/b' }, bytesOf(10));
    return { disk, cache };
  };

  const gone = async (disk: Disk, cache: FileCache): Promise<void> => {
    assert.equal(disk.files(dirname(disk.recordPath('/a'))).length, 0, 'neither record nor body is left');
    const { entries, bytes } = await cache.stats();
    assert.equal(entries, 1);
    assert.equal(bytes, disk.used());
    assert.ok(await stored(cache, { primary: '/b' }), 'others are not concerned');
    await put(cache, KEY, bytesOf(10_000));
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(10_000)), 'and it can be stored again');
  };

  for (const [damage, inflict] of DAMAGES) {
    test(`${damage} is a miss, dropped and counted`, async (t) => {
      const { disk, cache } = await prepared(t);
      inflict(disk);
      assert.equal(await cache.open(KEY), undefined);
      assert.equal((await cache.stats()).corrupt, 1);
      assert.equal(await cache.open(KEY), undefined);
      assert.equal((await cache.stats()).corrupt, 1, 'once');
      await gone(disk, cache);
    });

    test(`${damage} is found by the claim as well`, async (t) => {
      const { disk, cache } = await prepared(t);
      inflict(disk);
      const leader = await lead(cache, KEY);
      assert.equal((await cache.stats()).corrupt, 1);
      await leader.abandon();
      await gone(disk, cache);
    });

    test(`after a restart, ${damage} is a miss`, async (t) => {
      const { disk, cache } = await prepared(t);
      await cache.close();
      inflict(disk);
      const second = await disk.cache();
      assert.equal(await second.open(KEY), undefined);
      await gone(disk, second);
    });
  }

  test('it is told: by an event, and to the log', async (t) => {
    const disk = new Disk(t);
    const lines: string[] = [];
    const logger = { warn: (line: string) => lines.push(line), error: (line: string) => lines.push(line) };
    const cache = await disk.cache({ logger });
    for (const [damage, inflict] of DAMAGES) {
      await put(cache, KEY, bytesOf(10_000));
      inflict(disk);
      const told: unknown[] = [];
      const listen = (event: unknown) => void told.push(event);
      subscribe('cache-filter:corrupt', listen);
      try {
        assert.equal(await cache.open(KEY), undefined);
      } finally {
        unsubscribe('cache-filter:corrupt', listen);
      }
      const [{ why, ...rest }] = told as [CacheFilterEvents['cache-filter:corrupt']];
      assert.equal(told.length, 1, damage);
      assert.deepEqual(rest, { directory: disk.directory, key: KEY }, damage);
      assert.match(why, /^its (record|body) (is|has) /, damage);
    }
    assert.equal(lines.length, 1, 'once a minute');
    assert.match(lines[0] ?? '', /was damaged and has been dropped: its body has 9999 of 10000 bytes/);
  });

  test('info and list say nothing of a damaged record', async (t) => {
    const { disk, cache } = await prepared(t);
    truncateSync(disk.recordPath('/a'), 100);
    const listed = [];
    for await (const { key } of cache.list()) listed.push(key.primary);
    assert.deepEqual(listed, ['/b']);
    assert.equal(await cache.info(KEY), undefined);
    assert.equal((await cache.stats()).corrupt, 1);
  });

  test('the record of another key is none of this one’s', async (t) => {
    const { disk, cache } = await prepared(t);
    copyFileSync(disk.recordPath('/b'), disk.recordPath('/a'));
    assert.equal(await cache.open(KEY), undefined);
    assert.equal(await cache.info(KEY), undefined);
    const leader = await lead(cache, KEY);
    await leader.abandon();
  });

  test('a body that is cut short while it is read fails its reader, and never ends', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(3 * 2 ** 20));
    const entry = await opened(cache, KEY);
    const stream = entry.read();
    const reading = new Reading(stream);
    await reading.until(1);
    stream.pause();
    truncateSync(disk.bodyPath('/a'), 2 ** 20);
    stream.resume();
    const failure = await reading.failure();
    assert.equal((failure as { code?: unknown } | undefined)?.code, 'ERR_CACHE_FILTER_STORE');
    assert.ok(reading.length < 3 * 2 ** 20);
    entry.release();
    assert.equal(await cache.open(KEY), undefined, 'and nobody else is given it');
  });

  test('a record that can be neither read nor replaced: a miss, and not stored', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    mkdirSync(join(disk.recordPath('/a'), 'in the way'), { recursive: true });
    assert.equal(await cache.open(KEY), undefined);
    assert.equal((await cache.stats()).corrupt, 0);
    const fill = await start(cache, KEY);
    const reader = fill.reader();
    const reading = Reading.of(reader);
    await write(fill, bytesOf(10_000));
    await assert.rejects(fill.commit({}), { code: 'ERR_CACHE_FILTER_STORE' });
    assert.ok((await reading.whole()).equals(bytesOf(10_000)), 'its readers get it');
    reader.release();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    assert.equal((await cache.stats()).bytes, 0);
  });
});
