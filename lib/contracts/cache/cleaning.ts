import { begun, bytesOf, lead, opened, put, Reading, settled, start, stored, write } from './steps.ts';
import type { Suite } from './suite.ts';

const NOTHING = { entries: 0, bytes: 0 };

/** Removing what only takes room. */
export function cleaning(suite: Suite): void {
  const { assert } = suite;

  suite.state('where there is nothing to clean, nothing is removed, and clean says so', async (cache) => {
    assert.deepEqual(await cache.clean(), NOTHING, 'an empty cache');
    await put(cache, { primary: '/a' }, bytesOf(1000));
    const held = await opened(cache, { primary: '/a' });
    const before = await cache.stats();
    assert.deepEqual(await cache.clean(), NOTHING);
    assert.deepEqual(await cache.clean({ stalledMs: 0 }), NOTHING);
    assert.deepEqual(await cache.stats(), before);
    held.release();
    assert.ok((await stored(cache, { primary: '/a' }))?.equals(bytesOf(1000)));
  });

  suite.state('clean does not disturb running fills, nor those who read them', async (cache) => {
    const bytes = bytesOf(200_000);
    const fill = await start(cache, { primary: '/a' }, { size: bytes.byteLength });
    const doomed = await start(cache, { primary: '/b' });
    const readers = [fill.reader(), doomed.reader()];
    const readings = readers.map((reader) => Reading.of(reader));
    for (const each of [fill, doomed]) await write(each, bytes.subarray(0, 100_000));
    await cache.invalidate({ key: '/b' });
    const leader = await lead(cache, { primary: '/c' });
    assert.deepEqual(await cache.clean({ stalledMs: 0 }), NOTHING);
    for (const each of [fill, doomed]) await write(each, bytes.subarray(100_000));
    await settled(fill.commit({ length: bytes.byteLength }), 'commit');
    assert.equal(await suite.code(settled(doomed.commit({}), 'commit')), 'ERR_CACHE_FILTER_SUPERSEDED');
    for (const reading of readings) assert.ok((await reading.whole()).equals(bytes));
    for (const reader of readers) reader.release();
    assert.ok((await stored(cache, { primary: '/a' }))?.equals(bytes));
    const later = await begun(leader, { size: 5 });
    await write(later, bytesOf(5));
    await settled(later.commit({ length: 5 }), 'the commit of a claim that began before');
    assert.ok((await stored(cache, { primary: '/c' }))?.equals(bytesOf(5)));
  });

  suite.state('after clean, nothing of what failed takes room', async (cache) => {
    for (const primary of ['/a', '/b']) {
      const fill = await start(cache, { primary });
      await write(fill, bytesOf(10_000));
      assert.equal(
        await suite.code(settled(fill.commit({ length: 1 }), 'commit')),
        'ERR_CACHE_FILTER_INTEGRITY',
      );
    }
    const { bytes, invalid } = await cache.stats();
    assert.equal(bytes, invalid.bytes, 'nothing else is charged');
    const removed = await Promise.all([cache.clean(), cache.clean({ stalledMs: 0 })]);
    const sum = removed.reduce((a, b) => ({ entries: a.entries + b.entries, bytes: a.bytes + b.bytes }));
    assert.deepEqual(
      sum,
      { entries: invalid.files, bytes: invalid.bytes },
      'each is removed, and counted, once',
    );
    const after = await cache.stats();
    assert.deepEqual([after.bytes, after.invalid], [0, { files: 0, bytes: 0 }], 'bytes, invalid');
  });
}
