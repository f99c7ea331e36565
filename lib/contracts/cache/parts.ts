import type { Cache, Key, PartialBody, PartsBeginning, PartsStore } from '../../cache/cache.ts';
import type { ByteRange } from '../../http/body.ts';
import { fetchParts, openParts } from './parts-steps.ts';
import { bytesOf, HEAD, hashOf, put, Reading, settled, stored } from './steps.ts';
import type { Suite } from './suite.ts';

const KEY = { primary: '/parts' };

/** Bodies of which only parts are there: what is there is right, what is not is never made up, and in the end it is an entry like any other. */
export function parts(suite: Suite): void {
  const { assert } = suite;
  const BLOCK = 2 ** 20;
  const bytes = bytesOf(3 * BLOCK + 1000);
  const size = bytes.byteLength;
  const sha256 = { algorithm: 'sha256', hex: hashOf('sha256', bytes) } as const;

  /** Registers a test for caches that have parts. */
  const state = (
    statement: string,
    check: (parts: PartsStore, cache: Cache) => Promise<void>,
    options = {},
  ): void =>
    suite.state(
      statement,
      async (cache) => {
        if (cache.parts !== undefined) await check(cache.parts, cache);
      },
      options,
    );

  const opened = (store: PartsStore, begin?: Partial<PartsBeginning>, key: Key = KEY): Promise<PartialBody> =>
    openParts(store, key, { head: HEAD, size, ...begin });

  const fetch = (body: PartialBody, range?: ByteRange, of: Buffer = bytes): Promise<void> =>
    fetchParts(body, of, range);

  const same = async (body: PartialBody, range: ByteRange, of: Buffer = bytes): Promise<void> => {
    const read = await Reading.of(body, range).whole();
    assert.ok(read.equals(of.subarray(range.start, range.end)), `the bytes ${range.start} to ${range.end}`);
  };

  state('without a beginning there are no parts of a key that nobody has begun', async (store) => {
    assert.equal(await store.open(KEY), undefined);
  });

  state('what is missing comes in whole blocks, merged, without what is promised', async (store) => {
    const body = await opened(store);
    assert.equal(body.blockBytes, BLOCK);
    assert.deepEqual(body.missing(), [{ start: 0, end: size }]);
    assert.deepEqual(body.missing({ start: BLOCK - 1, end: BLOCK + 1 }), [{ start: 0, end: 2 * BLOCK }]);
    const writer = body.begin({ start: BLOCK, end: 2 * BLOCK });
    const gaps = [
      { start: 0, end: BLOCK },
      { start: 2 * BLOCK, end: size },
    ];
    assert.deepEqual(body.missing(), gaps);
    await writer.write(bytes.subarray(BLOCK, 2 * BLOCK));
    writer.end();
    assert.deepEqual(body.missing(), gaps);
    await same(body, { start: BLOCK + 7, end: 2 * BLOCK - 7 });
    body.release();
  });

  state(
    'only whole blocks that are missing can be promised, and no more than them written',
    async (store) => {
      const body = await opened(store);
      const fails = (act: () => unknown): boolean => {
        try {
          act();
          return false;
        } catch {
          return true;
        }
      };
      for (const range of [
        { start: 1, end: BLOCK },
        { start: 0, end: BLOCK - 1 },
        { start: 3 * BLOCK, end: size + 1 },
        { start: 0, end: 0 },
      ])
        assert.ok(
          fails(() => body.begin(range)),
          JSON.stringify(range),
        );
      const writer = body.begin({ start: 0, end: BLOCK });
      assert.ok(
        fails(() => body.begin({ start: 0, end: 2 * BLOCK })),
        'promised already',
      );
      assert.ok(await suite.code(writer.write(Buffer.alloc(BLOCK + 1))), 'more than was promised');
      writer.end();
      body.release();
    },
  );

  state('bytes that are promised are read as they come, in the midst of a block', async (store) => {
    const body = await opened(store);
    const writer = body.begin({ start: 0, end: 2 * BLOCK });
    const reading = Reading.of(body, { start: 10, end: BLOCK + 10 });
    await writer.write(bytes.subarray(0, 5000));
    await reading.until(4990);
    await writer.write(bytes.subarray(5000, 2 * BLOCK));
    writer.end();
    assert.ok((await reading.whole()).equals(bytes.subarray(10, BLOCK + 10)));
    body.release();
  });

  state('of a writer that fails the whole blocks are there, and the one begun is missing', async (store) => {
    const body = await opened(store);
    const writer = body.begin({ start: 0, end: size });
    const reading = Reading.of(body, { start: 0, end: 2 * BLOCK });
    await writer.write(bytes.subarray(0, BLOCK + 500));
    await reading.until(BLOCK + 500);
    writer.fail(new Error('the source stopped'));
    assert.equal((await reading.failure())?.message, 'the source stopped');
    assert.deepEqual(body.missing(), [{ start: BLOCK, end: size }]);
    await same(body, { start: 0, end: BLOCK });
    await fetch(body);
    await same(body, { start: 0, end: size - 1 });
    body.release();
  });

  state('a reader fails where nobody has promised what comes next', async (store) => {
    const body = await opened(store);
    await fetch(body, { start: 0, end: 1 });
    const reading = Reading.of(body, { start: 0, end: BLOCK + 1 });
    assert.ok(await reading.failure());
    assert.equal(reading.length, BLOCK);
    body.release();
  });

  state('whoever opens a key gets the same parts, also after they were let go of', async (store) => {
    const body = await opened(store);
    await fetch(body, { start: BLOCK, end: BLOCK + 1 });
    const again = await opened(store, { size: 5 });
    assert.equal(again.size, size, 'as they were begun');
    again.release();
    body.release();
    const later = await settled(store.open(KEY), 'open');
    if (later === undefined || 'declined' in later) throw new Error('they have gone');
    assert.equal(later.missing().length, 2);
    await same(later, { start: BLOCK, end: 2 * BLOCK });
    assert.deepEqual(later.head, HEAD);
    later.release();
  });

  state('parts of which nothing has come are not kept', async (store, cache) => {
    const body = await opened(store);
    body.release();
    assert.equal(await settled(store.open(KEY), 'open'), undefined);
    assert.equal((await cache.stats()).bytes, 0);
  });

  state(
    'once all is there it becomes an entry, and the last byte goes out only then',
    async (store, cache) => {
      const body = await opened(store, { options: { tags: ['t'], version: '7', algorithms: ['md5'] } });
      const reading = Reading.of(body);
      await fetch(body, { start: 2 * BLOCK, end: size });
      assert.equal(body.isWhole, false);
      assert.equal(await suite.code(body.commit({})), 'ERR_CACHE_FILTER_INCOMPLETE');
      await fetch(body);
      await reading.until(size - 1).catch(() => undefined);
      assert.ok(reading.length < size, 'the last byte is held back');
      assert.ok(body.isWhole);
      reading.stream.destroy();
      const whole = Reading.of(body);
      const info = await settled(body.commit({ length: size, digests: [sha256] }), 'commit');
      assert.ok((await whole.whole()).equals(bytes));
      assert.deepEqual([info.size, info.tags, info.version], [size, ['t'], '7']);
      assert.deepEqual(info.digests.map(({ algorithm }) => algorithm).sort(), ['md5', 'sha256']);
      body.release();
      assert.ok((await stored(cache, KEY))?.equals(bytes));
      assert.equal(await settled(store.open(KEY), 'open'), undefined);
      const { entries, fills } = await cache.stats();
      assert.deepEqual([entries, fills], [1, 0]);
    },
  );

  state('what is not as it was declared is dropped, all of it', async (store, cache) => {
    const body = await opened(store);
    const reading = Reading.of(body);
    await fetch(body);
    const wrong = { ...sha256, hex: hashOf('sha256', bytesOf(1)) };
    assert.equal(
      await suite.code(settled(body.commit({ digests: [wrong] }), 'commit')),
      'ERR_CACHE_FILTER_INTEGRITY',
    );
    assert.ok(await reading.failure());
    assert.ok(reading.length < size);
    assert.ok(body.dropped);
    body.release();
    assert.equal(await stored(cache, KEY), undefined);
    assert.equal(await settled(store.open(KEY), 'open'), undefined);
    const { entries, bytes: charged } = await cache.stats();
    assert.deepEqual([entries, charged], [0, 0]);
  });

  state('what is dropped fails its readers and writers; what comes afterwards is new', async (store) => {
    const body = await opened(store);
    const writer = body.begin({ start: 0, end: BLOCK });
    await writer.write(bytes.subarray(0, 100));
    const reading = Reading.of(body);
    await reading.until(100);
    await settled(body.drop(new Error('changed upstream')), 'drop');
    assert.equal((await reading.failure())?.message, 'changed upstream');
    assert.equal(await writer.write(bytes.subarray(100, 200)), false);
    const other = bytesOf(2 * BLOCK, 9);
    const next = await opened(store, { size: other.byteLength });
    assert.deepEqual(next.missing(), [{ start: 0, end: other.byteLength }]);
    await fetch(next, undefined, other);
    await same(next, { start: 5, end: other.byteLength }, other);
    body.release();
    next.release();
  });

  state('what is retired is for those who have it, and no entry', async (store, cache) => {
    const body = await opened(store);
    await fetch(body);
    body.retire();
    assert.equal(await settled(store.open(KEY), 'open'), undefined);
    const next = await opened(store, { size: 5 });
    assert.equal(next.size, 5);
    await same(body, { start: 0, end: size - 1 });
    assert.equal(await suite.code(settled(body.commit({}), 'commit')), 'ERR_CACHE_FILTER_SUPERSEDED');
    body.release();
    next.release();
    assert.equal(await stored(cache, KEY), undefined);
  });

  state('what is purged while it is found out what is to be begun is no entry', async (store, cache) => {
    const begin = async () => {
      await settled(cache.invalidate({ key: KEY.primary }), 'invalidate');
      return { head: HEAD, size };
    };
    const body = await settled(store.open(KEY, begin), 'open');
    if (body === undefined || 'declined' in body) throw new Error('who asked gets it');
    await fetch(body);
    assert.equal(await suite.code(settled(body.commit({}), 'commit')), 'ERR_CACHE_FILTER_SUPERSEDED');
    body.release();
    assert.equal(await stored(cache, KEY), undefined);
    const nothing = await settled(
      store.open(KEY, async () => undefined),
      'open',
    );
    assert.equal(nothing, undefined);
    assert.equal((await cache.stats()).bytes, 0);
  });

  for (const [what, name] of [
    [{ key: KEY.primary }, 'a key'],
    [{ prefix: '/pa' }, 'a prefix'],
    [{ tag: 't' }, 'a tag'],
    [{ all: true as const }, 'all'],
  ] as const) {
    state(
      `a purge of ${name} cuts parts off: who reads goes on, nothing is published`,
      async (store, cache) => {
        const body = await opened(store, { options: { tags: ['t'] } });
        await fetch(body, { start: 0, end: 1 });
        await settled(cache.invalidate(what), 'invalidate');
        assert.equal(await settled(store.open(KEY), 'open'), undefined, 'nobody else gets them');
        const reading = Reading.of(body);
        await fetch(body);
        assert.equal(await suite.code(settled(body.commit({}), 'commit')), 'ERR_CACHE_FILTER_SUPERSEDED');
        assert.ok((await reading.whole()).equals(bytes), 'its reader');
        body.release();
        assert.equal(await stored(cache, KEY), undefined);
        assert.equal(await settled(store.open(KEY), 'open'), undefined);
        assert.equal((await cache.stats()).bytes, 0);
      },
    );

    state(`a purge of ${name} takes parts away that nobody has`, async (store, cache) => {
      const body = await opened(store, { options: { tags: ['t'] } });
      await fetch(body, { start: 0, end: 1 });
      body.release();
      await settled(cache.invalidate(what), 'invalidate');
      assert.equal(await settled(store.open(KEY), 'open'), undefined);
      assert.equal((await cache.stats()).bytes, 0);
    });
  }

  state('what was stored anew meanwhile stays', async (store, cache) => {
    const body = await opened(store, { options: { storedAt: 1000 } });
    await fetch(body);
    const newer = bytesOf(50, 3);
    await put(cache, KEY, newer);
    assert.equal(await suite.code(settled(body.commit({}), 'commit')), 'ERR_CACHE_FILTER_SUPERSEDED');
    body.release();
    assert.ok((await stored(cache, KEY))?.equals(newer));
  });

  state(
    'parts are charged by the block, and go for room when nobody has them',
    async (store, cache) => {
      const first = await opened(store);
      const before = (await cache.stats()).bytes;
      await fetch(first, { start: 0, end: 1 });
      assert.equal((await cache.stats()).bytes - before, BLOCK);
      first.release();
      const second = await opened(store, { size: 4 * BLOCK }, { primary: '/second' });
      await fetch(second, { start: 0, end: 3 * BLOCK }, bytesOf(3 * BLOCK, 2));
      assert.equal(await settled(store.open(KEY), 'open'), undefined, 'the first had to go');
      assert.ok((await cache.stats()).bytes <= 4 * BLOCK);
      second.release();
    },
    { maxBytes: 4 * BLOCK, maxEntryBytes: 4 * BLOCK },
  );

  state(
    'where there is no room a writer says so, and what is there stays',
    async (store, cache) => {
      const body = await opened(store, { size: 4 * BLOCK });
      const writer = body.begin({ start: 0, end: 4 * BLOCK });
      const more = bytesOf(4 * BLOCK, 4);
      let kept = 0;
      while (await writer.write(more.subarray(kept * BLOCK, (kept + 1) * BLOCK))) kept++;
      assert.equal(kept, 2, 'blocks');
      assert.deepEqual(body.missing(), [{ start: 2 * BLOCK, end: 4 * BLOCK }]);
      await same(body, { start: 0, end: 2 * BLOCK }, more);
      assert.ok((await cache.stats()).bytes <= 3 * BLOCK);
      body.release();
    },
    { maxBytes: 3 * BLOCK, maxEntryBytes: 4 * BLOCK },
  );

  state(
    'a body of no size that is kept is declined',
    async (store) => {
      const declined = async (begin: Partial<PartsBeginning>): Promise<unknown> => {
        const body = await settled(store.open(KEY, { head: HEAD, size, ...begin }), 'open');
        return body !== undefined && 'declined' in body ? body.declined : 'parts';
      };
      assert.equal(await declined({ size: 3 * BLOCK + 1001 }), 'too-large');
      assert.equal(await declined({ options: { maxBytes: BLOCK } }), 'too-large');
      assert.equal(await declined({ options: { minBytes: 4 * BLOCK } }), 'too-small');
      assert.equal(await declined({ size: 0 }), 'too-small');
    },
    { maxEntryBytes: size },
  );

  state('a cache that is closed declines', async (store, cache) => {
    await cache.close();
    const body = await store.open(KEY, { head: HEAD, size });
    assert.ok(body !== undefined && 'declined' in body && body.declined === 'closed');
  });
}
