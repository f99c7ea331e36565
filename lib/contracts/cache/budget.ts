import type { Cache } from '../../cache/cache.ts';
import { begun, bytesOf, HEAD, lead, opened, put, Reading, settled, start, stored, write } from './steps.ts';
import type { Suite } from './suite.ts';

const MIB = 2 ** 20;

/** Room for three bodies of this size in 1 MiB, whatever else an entry costs, and not for four. */
const QUARTER = MIB / 4;

/** Bytes, and who goes when they are short. */
export function budget(suite: Suite): void {
  const { assert } = suite;
  const oneMiB = { maxBytes: MIB };

  const present = async (cache: Cache, ...names: string[]): Promise<string> => {
    const found: string[] = [];
    for (const primary of names) if ((await cache.info({ primary })) !== undefined) found.push(primary);
    return found.join(' ');
  };
  const putAll = async (cache: Cache, ...names: string[]): Promise<void> => {
    for (const primary of names) await put(cache, { primary }, bytesOf(QUARTER));
  };

  suite.state(
    'what is stored is charged: never more than maxBytes',
    async (cache) => {
      let last = 0;
      for (let i = 0; i < 40; i++) {
        await put(cache, { primary: `/${i}` }, bytesOf((i * 37_813) % (MIB / 2), i));
        const { bytes, maxBytes, entries } = await cache.stats();
        assert.equal(maxBytes, MIB);
        assert.ok(bytes <= MIB, `${bytes} bytes are charged after ${i + 1} commits`);
        assert.ok(entries > 0 && entries <= i + 1, `${entries} entries after ${i + 1} commits`);
        last = i;
      }
      assert.ok((await cache.stats()).evictions > 0, 'some had to go');
      assert.ok(await cache.info({ primary: `/${last}` }), 'the last one is there');
    },
    oneMiB,
  );

  suite.state(
    'long keys and heads are charged as well',
    async (cache) => {
      for (let i = 0; i < 20; i++) {
        const claim = await lead(cache, { primary: `/${i}/${'k'.repeat(30_000)}` });
        const fill = await claim.start(
          { status: 200, headers: [['X-Long', 'v'.repeat(60_000)]] },
          { size: 100_000 },
        );
        if ('declined' in fill) throw new Error(`declined: ${fill.declined}`);
        await write(fill, bytesOf(100_000));
        await settled(fill.commit({ length: 100_000 }), 'commit');
        const { bytes } = await cache.stats();
        assert.ok(bytes <= MIB, `${bytes} bytes are charged after ${i + 1} commits`);
      }
    },
    oneMiB,
  );

  suite.state(
    'the least recently used entry goes first',
    async (cache) => {
      await putAll(cache, '/a', '/b', '/c');
      (await opened(cache, { primary: '/a' })).release();
      await putAll(cache, '/d');
      assert.equal(await present(cache, '/a', '/b', '/c', '/d'), '/a /c /d');
      await putAll(cache, '/e');
      assert.equal(await present(cache, '/a', '/b', '/c', '/d', '/e'), '/a /d /e');
      assert.equal((await cache.stats()).evictions, 2);
    },
    oneMiB,
  );

  suite.state(
    'an entry that is being read is not evicted',
    async (cache) => {
      await putAll(cache, '/a');
      const held = await opened(cache, { primary: '/a' });
      await putAll(cache, '/b', '/c', '/d', '/e');
      assert.equal(await present(cache, '/a', '/b', '/c', '/d', '/e'), '/a /d /e');
      assert.ok((await Reading.of(held).whole()).equals(bytesOf(QUARTER)));
      held.release();
      await putAll(cache, '/f', '/g', '/h');
      assert.equal(await present(cache, '/a', '/f', '/g', '/h'), '/f /g /h', 'it is once nobody reads it');
    },
    oneMiB,
  );

  suite.state(
    'held twice, an entry stays until it is released twice',
    async (cache) => {
      await putAll(cache, '/a');
      const [one, two] = [await opened(cache, { primary: '/a' }), await opened(cache, { primary: '/a' })];
      one.release();
      one.release();
      await cache.prune({ toBytes: 0 });
      assert.equal(await present(cache, '/a'), '/a');
      two.release();
      await cache.prune({ toBytes: 0 });
      assert.equal(await present(cache, '/a'), '');
    },
    oneMiB,
  );

  suite.state(
    'where all is being read, there is no room',
    async (cache) => {
      await putAll(cache, '/a', '/b', '/c');
      const held = [];
      for (const primary of ['/a', '/b', '/c']) held.push(await opened(cache, { primary }));
      const claim = await lead(cache, { primary: '/d' });
      assert.deepEqual(await claim.start(HEAD, { size: QUARTER }), { declined: 'no-room' });
      assert.equal(await present(cache, '/a', '/b', '/c', '/d'), '/a /b /c');
      for (const entry of held) entry.release();
      await putAll(cache, '/d');
      assert.equal(await present(cache, '/d'), '/d', 'there is once they are released');
    },
    oneMiB,
  );

  suite.state(
    'running fills are charged before their bytes come',
    async (cache) => {
      const fills = [];
      for (const primary of ['/a', '/b', '/c'])
        fills.push(await start(cache, { primary }, { size: QUARTER }));
      const claim = await lead(cache, { primary: '/d' });
      assert.deepEqual(await claim.start(HEAD, { size: QUARTER }), { declined: 'no-room' });
      const { bytes, fills: running } = await cache.stats();
      assert.ok(bytes >= 3 * QUARTER && bytes <= MIB, `${bytes} bytes are charged`);
      assert.equal(running, 3);
      for (const fill of fills) await fill.abort(new Error('enough'));
      assert.equal((await cache.stats()).bytes, 0);
      await putAll(cache, '/d');
    },
    oneMiB,
  );

  suite.state(
    'a body that may not be kept is declined as too large, and evicts nothing',
    async (cache) => {
      await putAll(cache, '/a', '/b');
      for (const size of [QUARTER + 1, MIB, 2 ** 40]) {
        const claim = await lead(cache, { primary: '/large' });
        assert.deepEqual(await claim.start(HEAD, { size }), { declined: 'too-large' }, `${size} bytes`);
      }
      assert.equal(await present(cache, '/a', '/b'), '/a /b');
    },
    { maxBytes: MIB, maxEntryBytes: QUARTER },
  );

  suite.state(
    'a small body without a declared length fits a small budget',
    async (cache) => {
      const fill = await start(cache, { primary: '/small' });
      await write(fill, bytesOf(1000));
      await settled(fill.commit({}), 'commit');
      assert.ok((await stored(cache, { primary: '/small' }))?.equals(bytesOf(1000)));
    },
    oneMiB,
  );

  suite.state(
    'prune removes the least recently used down to the size asked for, and says what',
    async (cache) => {
      await putAll(cache, '/a', '/b', '/c');
      const before = await cache.stats();
      assert.deepEqual(await cache.prune(), { entries: 0, bytes: 0 }, 'the budget is kept anyway');
      const removed = await cache.prune({ toBytes: before.bytes - 1 });
      assert.equal(removed.entries, 1);
      assert.equal((await cache.stats()).bytes, before.bytes - removed.bytes);
      assert.equal(await present(cache, '/a', '/b', '/c'), '/b /c');

      const held = await opened(cache, { primary: '/b' });
      assert.equal((await cache.prune({ toBytes: 0 })).entries, 1);
      assert.equal(await present(cache, '/b', '/c'), '/b', 'what is being read stays');
      held.release();
      assert.equal((await cache.prune({ toBytes: 0 })).entries, 1);
      const { entries, bytes } = await cache.stats();
      assert.deepEqual([entries, bytes], [0, 0]);
    },
    oneMiB,
  );

  suite.state(
    'a replaced entry is charged once',
    async (cache) => {
      await put(cache, { primary: '/a' }, bytesOf(QUARTER), { storedAt: 1 });
      const { bytes } = await cache.stats();
      for (let at = 1; at < 10; at++) {
        await put(cache, { primary: '/a' }, bytesOf(QUARTER), { storedAt: at + 1, claim: { newerThan: at } });
      }
      assert.equal((await cache.stats()).bytes, bytes);
    },
    oneMiB,
  );

  suite.state(
    'what was aborted, abandoned or refused is not charged',
    async (cache) => {
      const key = { primary: '/a' };
      await (await lead(cache, key)).abandon();
      await (await start(cache, key, { size: 1000 })).abort(new Error('enough'));
      const refused = await begun(await lead(cache, key), { size: 1000 });
      await suite.code(refused.commit({ length: 1000 }));
      const doomed = await begun(await lead(cache, key), { size: 1000 });
      await cache.invalidate({ all: true });
      await doomed.abort(new Error('enough'));
      const { bytes, fills, entries } = await cache.stats();
      assert.deepEqual([bytes, fills, entries], [0, 0, 0], 'bytes, fills, entries');
    },
    oneMiB,
  );
}
