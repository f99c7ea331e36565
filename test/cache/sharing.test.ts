/** Several caches on one directory: in one process, and in two. */
import assert from 'node:assert/strict';
import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Invalidation } from '../../lib/cache/cache.ts';
import {
  begun,
  bytesOf,
  follow,
  hashOf,
  lead,
  opened,
  put,
  Reading,
  start,
  stored,
  write,
} from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/a', variant: '?b' };

const WHATS: Invalidation[] = [{ key: '/a' }, { prefix: '/' }, { tag: 't' }, { all: true }];

for (const locks of [true, false]) {
  describe(`two caches on one directory, with locks: ${locks}`, () => {
    test('what one stores the other finds', async (t) => {
      const disk = new Disk(t);
      const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
      await put(one, KEY, bytesOf(10_000));
      assert.ok((await stored(two, KEY))?.equals(bytesOf(10_000)));
      assert.equal((await two.stats()).entries, 1, 'and accounts for, once it has seen it');
      assert.equal((await two.stats()).bytes, (await one.stats()).bytes);
      const claim = await two.claim(KEY);
      assert.equal(claim?.role, 'entry');
      if (claim?.role === 'entry') claim.entry.release();
    });

    for (const what of WHATS) {
      test(`what one purges by ${Object.keys(what)} is a miss in the other`, async (t) => {
        const disk = new Disk(t);
        const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
        await put(one, KEY, bytesOf(10_000), { tags: ['t'] });
        const held = await opened(two, KEY);
        assert.equal(await two.invalidate(what), 1);
        assert.equal(await one.open(KEY), undefined);
        assert.ok((await Reading.of(held).whole()).equals(bytesOf(10_000)), 'who reads it reads on');
        held.release();
        const stats = await one.stats();
        assert.deepEqual([stats.entries, stats.bytes, stats.corrupt], [0, 0, 0]);
        await (await lead(one, KEY)).abandon();
      });

      test(`a fill that the other purges by ${Object.keys(what)} is superseded`, async (t) => {
        const disk = new Disk(t);
        const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
        const fill = await start(one, KEY, { tags: ['t'] });
        const reader = fill.reader();
        const reading = Reading.of(reader);
        await write(fill, bytesOf(10_000));
        await two.invalidate(what);
        await assert.rejects(fill.commit({}), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
        assert.ok((await reading.whole()).equals(bytesOf(10_000)), 'its readers get it');
        reader.release();
        assert.equal(await stored(two, KEY), undefined);
        assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
      });
    }

    for (const begins of ['has begun', 'has not begun'] as const) {
      test(`a fill that ${begins} is not joined once the other has purged it`, async (t) => {
        const disk = new Disk(t);
        const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
        const leader = await lead(one, KEY);
        const fill = begins === 'has begun' ? await begun(leader, { tags: ['t'] }) : undefined;
        const before = await follow(one, KEY);
        await two.invalidate({ tag: 't' });
        assert.equal(await one.claim(KEY, { join: true }), undefined, 'nothing to join');
        const next = await start(one, KEY);
        const old = fill ?? (await begun(leader, { tags: ['t'] }));
        const reader = await before.fill;
        assert.ok(reader, 'who came before gets it');
        const reading = Reading.of(reader);
        await write(old, bytesOf(10, 1));
        await assert.rejects(old.commit({}), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
        assert.ok((await reading.whole()).equals(bytesOf(10, 1)));
        reader.release();
        await write(next, bytesOf(10, 2));
        await next.commit({});
        for (const cache of [one, two]) assert.ok((await stored(cache, KEY))?.equals(bytesOf(10, 2)));
      });
    }

    test('a fill that has other keys and tags than what the other purges goes on', async (t) => {
      const disk = new Disk(t);
      const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
      const fill = await start(one, KEY, { tags: ['t'] });
      for (const what of [{ key: '/' }, { prefix: '/b' }, { tag: 'other' }] as const)
        await two.invalidate(what);
      await fill.commit({});
      assert.ok(await stored(two, KEY));
    });

    test('a claim that does not say its tags yet is superseded by the purge of any tag', async (t) => {
      const disk = new Disk(t);
      const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
      const leader = await lead(one, KEY);
      await two.invalidate({ tag: 'perhaps' });
      const fill = await leader.start({ status: 200, headers: [] }, { tags: ['perhaps'] });
      if ('declined' in fill) throw new Error(fill.declined);
      await assert.rejects(fill.commit({}), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
      assert.equal(await stored(two, KEY), undefined);
    });

    test('a fill whose process seems dead loses its key to whoever asks next', async (t) => {
      const disk = new Disk(t);
      const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
      const asleep = await start(one, KEY);
      await write(asleep, bytesOf(10_000, 0));
      const [claim = ''] = disk.incomplete().filter((file) => file.endsWith('.claim'));
      // It goes on saying that it lives: between two signs of life it looks as if it did not.
      const long = new Date(Date.now() - 60_000);
      utimesSync(join(disk.layout.incomplete, claim), long, long);
      const fill = await start(two, KEY);
      await write(fill, bytesOf(10_000, 1));
      await assert.rejects(asleep.commit({}), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
      await fill.commit({});
      for (const cache of [one, two]) assert.ok((await stored(cache, KEY))?.equals(bytesOf(10_000, 1)));
      assert.equal(disk.files(disk.layout.entries).length, 2, 'a record and a body');
    });

    test('what one replaces while the other opens it is the old one or the new one, never a miss', async (t) => {
      const disk = new Disk(t);
      const [one, two] = [await disk.cache({ locks }), await disk.cache({ locks })];
      const bodies = [bytesOf(5000, 0), bytesOf(5000, 1)];
      await put(one, KEY, bodies[0] ?? Buffer.alloc(0), { storedAt: 0 });
      let done = false;
      let opens = 0;
      const watch = async () => {
        while (!done) {
          const found = await stored(two, KEY);
          assert.ok(
            bodies.some((body) => found?.equals(body)),
            `open ${opens} found ${found?.byteLength} bytes`,
          );
          opens++;
          // From memory it takes no I/O at all, and this loop would keep everybody else from theirs.
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const watching = watch();
      for (let i = 1; i < 100; i++) {
        await put(one, KEY, bodies[i % 2] ?? Buffer.alloc(0), { storedAt: i, claim: { newerThan: i - 1 } });
      }
      done = true;
      await watching;
      assert.ok(opens > 10, `${opens} opens`);
      assert.equal((await two.stats()).corrupt, 0);
    });
  });

  describe(`two processes on one directory, with locks: ${locks}`, () => {
    test('what one stores the other finds; what one purges is a miss in the other', async (t) => {
      const disk = new Disk(t);
      const child = await CacheProcess.open(t, { directory: disk.directory, locks });
      const cache = await disk.cache({ locks });
      await put(cache, KEY, bytesOf(300_000), { tags: ['t'] });
      assert.equal(await child.tell('stored', KEY), hashOf('sha256', bytesOf(300_000)));
      assert.equal(await child.tell('invalidate', { key: '/a' }), 1);
      assert.equal(await cache.open(KEY), undefined);

      await child.tell('start', KEY, { tags: ['t'] });
      await child.tell('write', 300_000, 2);
      assert.equal(await child.tell('commit'), 'committed');
      assert.ok((await stored(cache, KEY))?.equals(bytesOf(300_000, 2)));
      assert.equal(await cache.invalidate({ tag: 't' }), 1);
      assert.equal(await child.tell('stored', KEY), null);
    });

    test('a fill that the other process purges is superseded, whatever it is purged by', async (t) => {
      const disk = new Disk(t);
      const child = await CacheProcess.open(t, { directory: disk.directory, locks });
      const cache = await disk.cache({ locks });
      for (const what of WHATS) {
        await child.tell('start', KEY, { tags: ['t'] });
        await child.tell('write', 100, 1);
        assert.equal(await cache.invalidate(what), 0);
        assert.equal(await child.tell('commit'), 'ERR_CACHE_FILTER_SUPERSEDED', JSON.stringify(what));
        assert.equal(await child.tell('stored', KEY), null);
      }
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    });
  });
}
