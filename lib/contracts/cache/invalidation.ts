import type { Cache, Invalidation, Key } from '../../cache/cache.ts';
import {
  begun,
  bytesOf,
  follow,
  joined,
  lead,
  opened,
  put,
  Reading,
  settled,
  start,
  stored,
  write,
} from './steps.ts';
import type { Suite } from './suite.ts';

const KEYS: Key[] = [
  { primary: '/a' },
  { primary: '/a', variant: '?1' },
  { primary: '/a', variant: '?2' },
  { primary: '/a/b' },
  { primary: '/ab', variant: '?1' },
  { primary: '/c' },
];

/** Making entries unreachable. */
export function invalidation(suite: Suite): void {
  const { assert } = suite;

  const filled = async (cache: Cache): Promise<void> => {
    for (const [i, key] of KEYS.entries())
      await put(cache, key, bytesOf(100, i), { tags: [i % 2 === 0 ? 'even' : 'odd', 'any'] });
  };
  const left = async (cache: Cache): Promise<string[]> => {
    const names: string[] = [];
    for await (const { key } of cache.list()) names.push(key.primary + (key.variant ?? ''));
    for (const key of KEYS) {
      const listed = names.includes(key.primary + (key.variant ?? ''));
      assert.equal(
        (await stored(cache, key)) !== undefined,
        listed,
        `${JSON.stringify(key)}: open and list agree`,
      );
    }
    return names.sort();
  };
  const removes = (statement: string, what: Invalidation, count: number, rest: string[]): void => {
    suite.state(statement, async (cache) => {
      await filled(cache);
      assert.equal(await cache.invalidate(what), count);
      assert.deepEqual(await left(cache), rest);
      assert.equal((await cache.stats()).entries, rest.length);
      assert.equal(await cache.invalidate(what), 0, 'nothing is left to invalidate');
    });
  };

  removes('invalidating a key takes all its variants and nothing else', { key: '/a' }, 3, [
    '/a/b',
    '/ab?1',
    '/c',
  ]);
  removes('invalidating a key that is not there takes nothing', { key: '/' }, 0, [
    '/a',
    '/a/b',
    '/a?1',
    '/a?2',
    '/ab?1',
    '/c',
  ]);
  removes('invalidating a prefix takes every key that begins with it', { prefix: '/a/' }, 1, [
    '/a',
    '/a?1',
    '/a?2',
    '/ab?1',
    '/c',
  ]);
  removes('a prefix is compared letter by letter', { prefix: '/a' }, 5, ['/c']);
  removes('invalidating a tag takes what bears it', { tag: 'odd' }, 3, ['/a', '/a?2', '/ab?1']);
  removes('a tag is compared as a whole', { tag: 'an' }, 0, ['/a', '/a/b', '/a?1', '/a?2', '/ab?1', '/c']);
  removes('invalidating all takes all', { all: true }, 6, []);

  suite.state('an entry that was opened before is read to its end', async (cache) => {
    const bytes = bytesOf(3 * 2 ** 20);
    await put(cache, { primary: '/a' }, bytes);
    const entry = await opened(cache, { primary: '/a' });
    const reading = Reading.of(entry, { start: 0, end: 2 ** 20 });
    await reading.until(1);
    assert.equal(await cache.invalidate({ key: '/a' }), 1);
    assert.ok((await reading.whole()).equals(bytes.subarray(0, 2 ** 20)), 'what was being read');
    assert.ok((await Reading.of(entry).whole()).equals(bytes), 'and what is read from now on');
    entry.release();
    assert.equal((await cache.stats()).bytes, 0);
  });

  const everything: [string, Invalidation][] = [
    ['its key', { key: '/a' }],
    ['its prefix', { prefix: '/' }],
    ['its tag', { tag: 't' }],
    ['all', { all: true }],
  ];
  for (const [by, what] of everything) {
    suite.state(
      `invalidating ${by} cuts a running fill off; its readers get it to the end`,
      async (cache) => {
        const bytes = bytesOf(200_000);
        const key = { primary: '/a', variant: '?1' };
        const fill = await start(cache, key, { size: bytes.byteLength, tags: ['t'] });
        const readers = [fill.reader(), await joined(cache, key)];
        const readings = readers.map((reader) => Reading.of(reader));
        await write(fill, bytes.subarray(0, 100_000));
        await cache.invalidate(what);
        const next = await lead(cache, key);
        await write(fill, bytes.subarray(100_000));
        assert.equal(
          await suite.code(settled(fill.commit({ length: 200_000 }), 'commit')),
          'ERR_CACHE_FILTER_SUPERSEDED',
        );
        for (const reading of readings) assert.ok((await reading.whole()).equals(bytes));
        for (const reader of readers) {
          assert.equal(await reader.ended, 'superseded');
          reader.release();
        }
        assert.equal(await stored(cache, key), undefined);
        const again = await begun(next, { size: 5 });
        await write(again, bytesOf(5));
        await settled(again.commit({ length: 5 }), 'the commit of the next one');
        assert.ok((await stored(cache, key))?.equals(bytesOf(5)));
      },
    );

    suite.state(`invalidating ${by} cuts off a claim whose fill has not begun`, async (cache) => {
      const leader = await lead(cache, { primary: '/a' });
      assert.equal(await cache.invalidate(what), 0, 'no entry was there');
      const fill = await begun(leader, { tags: ['t'] });
      await write(fill, bytesOf(10));
      assert.equal(await suite.code(settled(fill.commit({}), 'commit')), 'ERR_CACHE_FILTER_SUPERSEDED');
      assert.equal(await stored(cache, { primary: '/a' }), undefined);
    });
  }

  suite.state(
    'who comes after its tag was invalidated does not get a fill that began later',
    async (cache) => {
      for (const [tag, shared] of [
        ['t', false],
        ['other', true],
      ] as const) {
        const key = { primary: `/${tag}` };
        const leader = await lead(cache, key);
        const before = await follow(cache, key);
        await cache.invalidate({ tag });
        const after = await follow(cache, key);
        const fill = await begun(leader, { tags: ['t'] });
        const readers = await Promise.all([before.fill, after.fill]);
        assert.deepEqual(
          readers.map((reader) => reader !== undefined),
          [true, shared],
          `${tag}: before and after`,
        );
        for (const reader of readers) reader?.release();
        await fill.abort(new Error('enough'));
      }
    },
  );

  suite.state('a doomed fill does not disturb the one that follows it', async (cache) => {
    const key = { primary: '/a' };
    const doomed = await start(cache, key);
    await cache.invalidate({ key: '/a' });
    const fresh = await start(cache, key);
    await write(doomed, bytesOf(10, 1));
    await doomed.abort(new Error('enough'));
    const follower = await follow(cache, key);
    (await follower.fill)?.release();
    await write(fresh, bytesOf(10, 2));
    await settled(fresh.commit({}), 'commit');
    assert.ok((await stored(cache, key))?.equals(bytesOf(10, 2)));
    const { entries, fills } = await cache.stats();
    assert.deepEqual([entries, fills], [1, 0], 'entries, fills');
  });

  suite.state('fills of other keys, and those with other tags, go on', async (cache) => {
    const untagged = await lead(cache, { primary: '/later' });
    const fill = await start(cache, { primary: '/b' }, { tags: ['t2'] });
    for (const what of [{ key: '/a' }, { prefix: '/a' }, { tag: 't' }] as const) await cache.invalidate(what);
    await settled(fill.commit({}), 'commit');
    const later = await begun(untagged, { tags: ['t2'] });
    await settled(later.commit({}), 'the commit of a claim that began before');
    assert.equal((await cache.stats()).entries, 2);
  });
}
