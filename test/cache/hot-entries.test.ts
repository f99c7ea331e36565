/** Hot entries: answered without a wait, and never with what the disk no longer holds. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Key } from '../../lib/cache/cache.ts';
import { bytesOf, hashOf, put, Reading, stored } from '../../lib/contracts/cache/steps.ts';
import type { CacheFilterEvents } from '../../lib/events.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';
import { eventually, KEY, KINDS, LARGE, prepared, SMALL, warm } from './hot.ts';

describe('hits', () => {
  for (const [kind, size] of KINDS) {
    test(`of an entry ${kind}: each open that finds it counts once`, async (t) => {
      const { cache } = await prepared(t, size);
      const hits = async () => (await cache.info(KEY))?.hits ?? Number.NaN;
      const before = await hits();
      for (let i = 1; i <= 3; i++) {
        const entry = cache.open(KEY);
        assert.ok(entry !== undefined && !(entry instanceof Promise), 'hot');
        entry.release();
        assert.equal(await hits(), before + i);
      }
      const claim = await cache.claim(KEY);
      if (claim?.role !== 'entry') throw new Error(`expected the entry, got ${claim?.role}`);
      claim.entry.release();
      assert.equal(await hits(), before + 4, 'by the claim');
      assert.equal(await cache.open({ primary: '/none' }), undefined);
      assert.equal(await hits(), before + 4);
    });
  }

  for (const [kind, size] of KINDS) {
    test(`until it is ${kind}: each open counts once`, async (t) => {
      const cache = await new Disk(t).cache();
      await put(cache, KEY, bytesOf(size));
      let opens = 0;
      for (let hot = false; !hot; ) {
        const answer = cache.open(KEY);
        hot = !(answer instanceof Promise);
        (await answer)?.release();
        assert.equal((await cache.info(KEY))?.hits, ++opens);
        assert.ok(opens < 2_000, 'it becomes hot');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    });
  }
});

describe('hot entries', () => {
  for (const [kind, size] of KINDS) {
    test(`an entry ${kind} is answered without a promise, with the bytes that were stored`, async (t) => {
      const { cache, disk } = await prepared(t, size);
      const entry = cache.open(KEY);
      assert.ok(entry !== undefined && !(entry instanceof Promise));
      assert.equal(entry.size, size);
      assert.equal(entry.path, disk.bodyPath('/a', '?b'));
      assert.deepEqual(entry.info.key, KEY);
      assert.deepEqual(entry.info.tags, ['t']);
      assert.equal(entry.head.status, 200);
      assert.equal(entry.bytes === undefined, size === LARGE);
      if (entry.bytes !== undefined) assert.ok(bytesOf(size).equals(entry.bytes));
      assert.ok((await Reading.of(entry).whole()).equals(bytesOf(size)));
      const part = await Reading.of(entry, { start: 5, end: 4000 }).whole();
      assert.ok(part.equals(bytesOf(size).subarray(5, 4000)));
      entry.release();
      entry.release();
    });

    test(`after a purge in this process an entry ${kind} is a miss`, async (t) => {
      for (const what of [{ key: '/a' }, { prefix: '/' }, { tag: 't' }, { all: true }] as const) {
        const { cache } = await prepared(t, size);
        assert.equal(await cache.invalidate(what), 1);
        assert.deepEqual((await cache.stats()).memory, { entries: 0, bytes: 0 });
        assert.equal(await cache.open(KEY), undefined, JSON.stringify(what));
      }
    });

    test(`after a purge in another process an entry ${kind} is a miss`, async (t) => {
      const { cache, disk } = await prepared(t, size);
      const child = await CacheProcess.open(t, { directory: disk.directory });
      for (let round = 2; round < 12; round++) {
        (await warm(cache)).release();
        assert.equal(await child.tell('invalidate', { key: '/a' }), 1);
        assert.equal(await cache.open(KEY), undefined, `round ${round}`);
        await put(cache, KEY, bytesOf(size, round));
      }
    });

    test(`what another process puts in the place of an entry ${kind} is what is found next`, async (t) => {
      const { cache, disk } = await prepared(t, size);
      const child = await CacheProcess.open(t, { directory: disk.directory });
      for (let round = 2; round < 12; round++) {
        if (round % 2 === 0) (await warm(cache)).release();
        await child.tell('invalidate', { key: '/a' });
        await child.tell('start', KEY, {});
        await child.tell('write', size, round);
        assert.equal(await child.tell('commit'), 'committed');
        const found = await stored(cache, KEY);
        assert.equal(found && hashOf('sha256', found), hashOf('sha256', bytesOf(size, round)), `${round}`);
      }
    });

    test(`what replaces an entry ${kind} is found as soon as it is committed`, async (t) => {
      const { cache } = await prepared(t, size);
      for (let round = 2; round < 6; round++) {
        await put(cache, KEY, bytesOf(size, round), { claim: { newerThan: Date.now() } });
        assert.ok((await stored(cache, KEY))?.equals(bytesOf(size, round)), `round ${round}`);
        (await warm(cache)).release();
      }
    });

    test(`an entry ${kind} that was touched is read again, and is hot again`, async (t) => {
      const { cache, disk } = await prepared(t, size);
      disk.age(disk.recordPath('/a', '?b'), 5_000);
      const answer = cache.open(KEY);
      assert.ok(answer instanceof Promise, 'a changed record is never taken on trust');
      (await answer)?.release();
      const entry = await warm(cache);
      assert.ok((await Reading.of(entry).whole()).equals(bytesOf(size)));
      entry.release();
      assert.equal((await cache.stats()).memory?.entries, 1);
    });

    test(`who reads an entry ${kind} reads on when it is purged, and when the cache is closed`, async (t) => {
      const { cache, disk } = await prepared(t, size);
      const entry = await warm(cache);
      await cache.invalidate({ all: true });
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
      await cache.close();
      assert.ok((await Reading.of(entry).whole()).equals(bytesOf(size)));
      entry.release();
    });

    test(`the account holds an entry ${kind} as long as it is read, and evicts it afterwards`, async (t) => {
      const { cache, disk } = await prepared(t, size);
      const entry = await warm(cache);
      await cache.prune({ toBytes: 0 });
      assert.ok(existsSync(entry.path ?? ''));
      entry.release();
      assert.equal((await cache.prune({ toBytes: 0 })).entries, 1);
      assert.deepEqual((await cache.stats()).memory, { entries: 0, bytes: 0 });
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
      assert.equal(await cache.open(KEY), undefined);
    });

    test(`an inode that comes back is not taken for the record of an entry ${kind}`, async (t) => {
      const { cache, disk } = await prepared(t, size);
      const path = disk.recordPath('/a', '?b');
      const old = statSync(path);
      const text = readFileSync(path);
      // Of the same length, with the same times, at the same path, and of other content.
      const other = Buffer.from(text.toString().replace('"status":200', '"status":203'));
      assert.equal(other.byteLength, text.byteLength);
      unlinkSync(path);
      const spares: string[] = [];
      let back = false;
      for (let attempt = 0; !back && attempt < 5_000; attempt++) {
        const spare = join(disk.directory, `spare-${attempt}`);
        writeFileSync(spare, other);
        back = statSync(spare).ino === old.ino;
        if (back) renameSync(spare, path);
        else spares.push(spare);
      }
      for (const spare of spares) unlinkSync(spare);
      if (!back) return t.skip('this file system does not give inodes away again');
      utimesSync(path, old.atime, old.mtime);
      assert.equal(statSync(path).ino, old.ino);
      assert.equal(statSync(path).size, old.size);
      const answer = cache.open(KEY);
      assert.ok(answer instanceof Promise, 'not answered on trust');
      assert.equal(await answer, undefined, 'and that record is damaged');
      assert.equal((await cache.stats()).corrupt, 1);
    });
  }

  test('a body in memory outlives its files', async (t) => {
    const { cache, disk } = await prepared(t, SMALL);
    const entry = await warm(cache);
    unlinkSync(disk.bodyPath('/a', '?b'));
    unlinkSync(disk.recordPath('/a', '?b'));
    assert.equal(await cache.open(KEY), undefined, 'nobody else is given it');
    assert.ok((await Reading.of(entry).whole()).equals(bytesOf(SMALL)));
    entry.release();
  });

  test('a record that is only just created is not relied on yet', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(SMALL));
    // As if the clock had been set back: no file is of any age.
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 60_000 });
    for (let i = 0; i < 5; i++) {
      const answer = cache.open(KEY);
      assert.ok(answer instanceof Promise);
      (await answer)?.release();
    }
    assert.equal((await cache.stats()).memory?.entries, 0);
  });

  for (const [damage, inflict] of [
    ['cut short', (path: string) => truncateSync(path, LARGE - 1)],
    ['made longer', (path: string) => appendFileSync(path, 'x')],
    ['removed', (path: string) => unlinkSync(path)],
  ] as const) {
    test(`a body kept open that is ${damage} is a miss, and can be stored again`, async (t) => {
      const { cache, disk } = await prepared(t, LARGE);
      inflict(disk.bodyPath('/a', '?b'));
      assert.equal(await cache.open(KEY), undefined);
      assert.equal((await cache.stats()).corrupt, 1);
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
      await put(cache, KEY, bytesOf(LARGE, 2));
      const entry = await warm(cache);
      assert.ok((await Reading.of(entry).whole()).equals(bytesOf(LARGE, 2)));
      entry.release();
    });
  }

  test('a small body that is not what was stored never gets into memory: a miss, and an event', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    await put(first, KEY, bytesOf(SMALL));
    (await warm(first)).release();
    await first.close();
    const fd = openSync(disk.bodyPath('/a', '?b'), 'r+');
    writeSync(fd, Buffer.from([255 - (bytesOf(SMALL)[5000] ?? 0)]), 0, 1, 5000);
    closeSync(fd);
    const events: [Key | undefined, string][] = [];
    const listen = (event: unknown) => {
      const { key, why } = event as CacheFilterEvents['cache-filter:corrupt'];
      events.push([key, why]);
    };
    subscribe('cache-filter:corrupt', listen);
    t.after(() => unsubscribe('cache-filter:corrupt', listen));
    const cache = await disk.cache();
    assert.equal(await cache.open(KEY), undefined);
    assert.equal((await cache.stats()).corrupt, 1);
    assert.deepEqual(events, [[KEY, 'its body is not what was stored']]);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('keys that look alike put together are kept apart', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const keys: Key[] = [{ primary: 'a\0b' }, { primary: 'a', variant: 'b' }, { primary: 'a' }];
    for (const [i, key] of keys.entries()) await put(cache, key, bytesOf(100, i));
    for (let round = 0; round < 3; round++) {
      for (const [i, key] of keys.entries()) {
        const entry = await warm(cache, key);
        assert.ok(bytesOf(100, i).equals(entry.bytes ?? Buffer.alloc(0)), JSON.stringify(key));
        assert.deepEqual(entry.info.key, key);
        entry.release();
      }
    }
  });

  test('an empty variant is the same as none', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(100));
    (await warm(cache, { primary: '/a', variant: '' })).release();
    await cache.invalidate({ key: '/a' });
    assert.equal(await cache.open({ primary: '/a' }), undefined);
  });

  test('bodies in memory stay within the bound, and the least recently used goes first', async (t) => {
    const disk = new Disk(t);
    const maxBytes = 40_000;
    const cache = await disk.cache({ memory: { maxBytes } });
    for (const primary of ['/1', '/2', '/3', '/4']) await put(cache, { primary }, bytesOf(SMALL));
    for (const primary of ['/1', '/2', '/3', '/1', '/4']) (await warm(cache, { primary })).release();
    const { memory } = await cache.stats();
    assert.ok(memory !== undefined && memory.entries === 3, JSON.stringify(memory));
    assert.ok(memory.bytes > 3 * SMALL && memory.bytes <= maxBytes, `${memory.bytes} bytes`);
    const hot = [];
    for (const primary of ['/1', '/2', '/3', '/4']) {
      const answer = cache.open({ primary });
      if (!(answer instanceof Promise)) hot.push(primary);
      (await answer)?.release();
    }
    assert.deepEqual(hot.slice(0, 1), ['/1'], 'which was used again');
    assert.ok(!hot.includes('/2'));
  });

  test('which bodies are kept in memory is up to maxEntryBytes', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ memory: { maxEntryBytes: 1000 } });
    for (const [primary, size] of [
      ['/at', 1000],
      ['/above', 1001],
    ] as const) {
      await put(cache, { primary }, bytesOf(size));
      const entry = await warm(cache, { primary });
      assert.equal(entry.bytes?.byteLength, size === 1000 ? 1000 : undefined);
      entry.release();
    }
  });

  test('memory: false, or no bytes, keeps nothing', async (t) => {
    for (const memory of [false, { maxBytes: 0 }] as const) {
      const disk = new Disk(t);
      const cache = await disk.cache({ memory });
      await put(cache, KEY, bytesOf(SMALL));
      const path = disk.recordPath('/a', '?b');
      await eventually(() => Date.now() - statSync(path).birthtimeMs > 300, 'the record is of age');
      for (let i = 0; i < 3; i++) {
        const answer = cache.open(KEY);
        assert.ok(answer instanceof Promise);
        (await answer)?.release();
      }
      assert.equal((await cache.stats()).memory, undefined);
    }
  });

  test('what is no such option is refused, by name and with what came', (t) => {
    const disk = new Disk(t);
    for (const [memory, option, message] of [
      [true, 'memory', /memory must be false or \{ maxBytes, maxEntryBytes \}, got true/],
      [null, 'memory', /got null/],
      ['64MB', 'memory', /got '64MB'/],
      [64, 'memory', /got 64/],
      [{ maxbytes: 5 }, 'memory', /got \{ maxbytes: 5 \}/],
      [{ maxBytes: '64MB' }, 'memory.maxBytes', /whole number of bytes, got '64MB'; write for example 64/],
      [{ maxBytes: -1 }, 'memory.maxBytes', /got -1/],
      [{ maxEntryBytes: 0.5 }, 'memory.maxEntryBytes', /got 0.5/],
      [{ maxEntryBytes: Number.NaN }, 'memory.maxEntryBytes', /got NaN/],
    ] as const) {
      const make = () => disk.unscanned({ memory: memory as never });
      assert.throws(make, { code: 'ERR_CACHE_FILTER_OPTION', option, message });
    }
    disk.unscanned({ memory: { maxBytes: undefined as never } });
  });
});
