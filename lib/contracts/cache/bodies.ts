import { bytesOf, HEAD, hashOf, opened, put, Reading, settled, start, stored, write } from './steps.ts';
import type { Suite } from './suite.ts';

const KEY = { primary: '/bodies', variant: '?a=1' };

/** What is committed is what is found. */
export function bodies(suite: Suite): void {
  const { assert } = suite;

  suite.state('a commit makes the entry visible, with all that is known of it', async (cache) => {
    const bytes = bytesOf(10_000);
    const sha256 = { algorithm: 'sha256', hex: hashOf('sha256', bytes) };
    const info = await put(cache, KEY, bytes, { tags: ['t1', 't2'], storedAt: 1_700_000_000_000 });
    const expected = {
      key: KEY,
      size: 10_000,
      digests: [sha256],
      storedAt: 1_700_000_000_000,
      tags: ['t1', 't2'],
    };
    assert.deepEqual(info, expected, 'the answer of commit');
    const entry = await opened(cache, KEY);
    assert.deepEqual(entry.info, expected, 'the info of the entry');
    assert.deepEqual(entry.head, HEAD);
    assert.equal(entry.size, 10_000);
    entry.release();
    const found = await cache.info(KEY);
    assert.deepEqual(
      found,
      { ...expected, hits: 1, usedAt: found?.usedAt, pinned: false },
      'the answer of info',
    );
    for await (const listed of cache.list()) assert.deepEqual(listed, found, 'what list gives');
    assert.equal((await cache.stats()).entries, 1);
  });

  suite.state('before the commit, nothing is visible', async (cache) => {
    const fill = await start(cache, KEY, { size: 4 });
    await write(fill, bytesOf(4));
    assert.equal(await cache.open(KEY), undefined);
    assert.equal(await cache.info(KEY), undefined);
    const { entries, state } = await cache.stats();
    assert.deepEqual([entries, state], [0, 'up']);
    await fill.commit({ length: 4 });
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(4)));
  });

  suite.state('every part of a head comes back as it was', async (cache) => {
    const head = {
      status: 200,
      statusMessage: 'Fine',
      headers: [
        ['Link', '<a>'],
        ['link', '<b>'],
        ['X-Latin', 'é'],
      ] as [string, string][],
      removed: ['x-powered-by'],
      merged: ['vary'],
    };
    const claim = await cache.claim(KEY);
    const fill = claim?.role === 'leader' ? await claim.start(head) : undefined;
    assert.ok(fill !== undefined && 'commit' in fill, 'the claim leads');
    if (fill === undefined || !('commit' in fill)) return;
    const reader = fill.reader();
    assert.deepEqual(reader.head, head, 'for those who read along');
    reader.release();
    await fill.commit({});
    const entry = await opened(cache, KEY);
    assert.deepEqual(entry.head, head, 'for those who come later');
    entry.release();
  });

  suite.state('ranges of an entry are exactly the bytes asked for', async (cache) => {
    const size = 3 * 2 ** 20 + 17;
    const bytes = bytesOf(size);
    await put(cache, KEY, bytes);
    const entry = await opened(cache, KEY);
    for (const [start, end] of [
      [0, size],
      [0, 1],
      [size - 1, size],
      [2 ** 19 - 1, 2 ** 19 + 1],
      [1, size - 1],
      [7, 7],
    ] as const) {
      const found = await Reading.of(entry, { start, end }).whole();
      assert.ok(found.equals(bytes.subarray(start, end)), `bytes ${start} to ${end}`);
    }
    entry.release();
    entry.release();
  });

  suite.state('an empty body is a body', async (cache) => {
    for (const options of [{ size: 0 }, {}]) {
      const key = { primary: `/empty/${String(options.size)}` };
      const fill = await start(cache, key, options);
      const reader = fill.reader();
      const reading = Reading.of(reader);
      const { digests } = await fill.commit({});
      assert.deepEqual(digests, [{ algorithm: 'sha256', hex: hashOf('sha256', Buffer.alloc(0)) }]);
      assert.equal((await reading.whole()).byteLength, 0);
      reader.release();
      assert.equal((await stored(cache, key))?.byteLength, 0);
    }
  });

  suite.state('a body of several MiB in odd pieces is kept byte for byte', async (cache) => {
    const bytes = bytesOf(7 * 2 ** 20 + 12_345);
    const fill = await start(cache, KEY, { size: bytes.byteLength });
    for (let at = 0, length = 1; at < bytes.byteLength; at += length, length = (length * 7 + 3) % 300_007) {
      await write(fill, bytes.subarray(at, at + length));
    }
    const info = await settled(fill.commit({ length: bytes.byteLength }), 'commit');
    assert.deepEqual(info.digests, [{ algorithm: 'sha256', hex: hashOf('sha256', bytes) }]);
    assert.ok((await stored(cache, KEY))?.equals(bytes));
  });

  suite.state('empty pieces change nothing', async (cache) => {
    const fill = await start(cache, KEY);
    await write(fill, Buffer.alloc(0), bytesOf(3), Buffer.alloc(0));
    const info = await fill.commit({ length: 3 });
    assert.equal(info.size, 3);
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(3)));
  });

  suite.state('two readers of one entry do not disturb each other', async (cache) => {
    const bytes = bytesOf(2 ** 20);
    await put(cache, KEY, bytes);
    const [one, two] = [await opened(cache, KEY), await opened(cache, KEY)];
    one.read().destroy();
    one.release();
    assert.ok((await Reading.of(two).whole()).equals(bytes));
    two.release();
  });

  suite.state(
    'a new commit replaces the entry; a reader of the old one reads it to its end',
    async (cache) => {
      const [old, fresh] = [bytesOf(2 * 2 ** 20, 1), bytesOf(2 ** 20, 2)];
      await put(cache, KEY, old, { storedAt: 1 });
      const entry = await opened(cache, KEY);
      await put(cache, KEY, fresh, { storedAt: 2, claim: { newerThan: 1 } });
      assert.ok((await stored(cache, KEY))?.equals(fresh), 'the new one is found');
      assert.ok((await Reading.of(entry).whole()).equals(old), 'the old one is read');
      entry.release();
      assert.equal((await cache.stats()).entries, 1);
    },
  );
}
