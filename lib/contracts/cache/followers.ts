import type { FillReader } from '../../cache/cache.ts';
import { begun, bytesOf, follow, joined, lead, Reading, settled, start, write } from './steps.ts';
import type { Suite } from './suite.ts';

const KEY = { primary: '/followers' };

/** Reading what is still being written. */
export function followers(suite: Suite): void {
  const { assert } = suite;

  suite.state('whenever they join, readers of a running fill get the same bytes', async (cache) => {
    const bytes = bytesOf(5 * 2 ** 20 + 1);
    const leader = await lead(cache, KEY);
    const early = await follow(cache, KEY);
    const fill = await begun(leader, { size: bytes.byteLength, tags: ['t'] });
    const first = await settled(early.fill, 'the follower that came first');
    assert.equal(first?.size, bytes.byteLength);
    assert.deepEqual([first?.info.key, first?.info.tags], [KEY, ['t']]);
    const readers: FillReader[] = [];
    const readings: Reading[] = [];
    const join = (reader: FillReader | undefined) => {
      if (reader === undefined) throw new Error('there was nothing to share');
      readers.push(reader);
      readings.push(Reading.of(reader));
    };
    join(fill.reader());
    join(first);
    for (let at = 0; at < bytes.byteLength; at += 65_537) {
      await write(fill, bytes.subarray(at, at + 65_537));
      if (at < 2 ** 21 || at > 2 ** 21 + 65_537) continue;
      join(await joined(cache, KEY));
    }
    join(await joined(cache, KEY));
    await settled(fill.commit({ length: bytes.byteLength }), 'commit');
    assert.ok(readings.length >= 4, 'before the start, in the middle and at the end');
    for (const [i, reading] of readings.entries()) {
      assert.ok((await reading.whole()).equals(bytes), `reader ${i}`);
    }
    for (const reader of readers) {
      assert.equal(await reader.ended, 'complete');
      reader.release();
      reader.release();
    }
  });

  suite.state('a reader gets bytes as they come, not when all have come', async (cache) => {
    const fill = await start(cache, KEY, { size: 100 });
    const reader = fill.reader();
    const reading = Reading.of(reader);
    await write(fill, bytesOf(40));
    await reading.until(40);
    assert.equal(reader.available(0), 40);
    assert.equal(reader.available(30), 10);
    assert.equal(reader.available(60), 0);
    await fill.abort(new Error('enough'));
    await reading.failure();
    reader.release();
  });

  suite.state('with a length, the last byte is withheld until the entry can be found', async (cache) => {
    const bytes = bytesOf(1000);
    const fill = await start(cache, KEY, { size: 1000 });
    const reader = fill.reader();
    const reading = Reading.of(reader);
    await write(fill, bytes);
    await reading.until(999);
    assert.deepEqual([reading.length, reader.available(0), reader.available(999)], [999, 999, 0]);
    const atLastByte = new Promise((resolve) => {
      reading.stream.on('data', () => {
        if (reading.length === 1000) resolve(cache.info(KEY));
      });
    });
    await fill.commit({ length: 1000 });
    assert.ok(await settled(atLastByte, 'the last byte'), 'the entry is there when the last byte is');
    assert.ok((await reading.whole()).equals(bytes));
    reader.release();
  });

  suite.state('without a length, the end is withheld until the entry can be found', async (cache) => {
    const bytes = bytesOf(1000);
    const fill = await start(cache, KEY);
    const reader = fill.reader();
    assert.equal(reader.size, undefined);
    const reading = Reading.of(reader);
    await write(fill, bytes);
    await reading.until(1000);
    assert.equal(reading.stream.readableEnded, false);
    const atEnd = new Promise((resolve) => {
      reading.stream.once('end', () => resolve(cache.info(KEY)));
    });
    await fill.commit({});
    assert.ok(await settled(atEnd, 'the end'), 'the entry is there when the end is');
    assert.ok((await reading.whole()).equals(bytes));
    reader.release();
  });

  suite.state('ranges of a running fill are exactly the bytes asked for', async (cache) => {
    const size = 3 * 2 ** 20;
    const bytes = bytesOf(size);
    const fill = await start(cache, KEY, { size });
    const wanted = [
      { start: 0, end: 10 },
      { start: 2 ** 20 - 1, end: 2 ** 20 + 1 },
      { start: size - 5, end: size },
      { start: 100, end: size - 100 },
    ];
    const readers = wanted.map(() => fill.reader());
    const readings = wanted.map((range, i) => Reading.of(readers[i] ?? fill.reader(), range));
    for (let at = 0; at < size; at += 100_000) await write(fill, bytes.subarray(at, at + 100_000));
    assert.ok((await (readings[0] as Reading).whole()).equals(bytes.subarray(0, 10)), 'before the commit');
    await settled(fill.commit({ length: size }), 'commit');
    for (const [i, { start, end }] of wanted.entries()) {
      assert.ok((await readings[i]?.whole())?.equals(bytes.subarray(start, end)), `bytes ${start} to ${end}`);
    }
    for (const reader of readers) reader.release();
  });

  suite.state('one reader reads several ranges, one after the other', async (cache) => {
    const bytes = bytesOf(2 ** 20);
    const fill = await start(cache, KEY, { size: 2 ** 20 });
    const reader = fill.reader();
    await write(fill, bytes);
    for (const [start, end] of [
      [10, 20],
      [500_000, 600_000],
      [0, 5],
    ] as const) {
      assert.ok((await Reading.of(reader, { start, end }).whole()).equals(bytes.subarray(start, end)));
    }
    reader.release();
    await fill.commit({ length: 2 ** 20 });
  });

  suite.state('a reader that does not read holds nobody up', async (cache) => {
    const bytes = bytesOf(8 * 2 ** 20);
    const fill = await start(cache, KEY, { size: bytes.byteLength });
    const [idle, busy] = [fill.reader(), fill.reader()];
    const slow = idle.read();
    const reading = Reading.of(busy);
    for (let at = 0; at < bytes.byteLength; at += 2 ** 16)
      await write(fill, bytes.subarray(at, at + 2 ** 16));
    await settled(fill.commit({ length: bytes.byteLength }), 'commit');
    assert.ok((await reading.whole()).equals(bytes));
    assert.ok((await new Reading(slow).whole()).equals(bytes), 'read after the commit');
    idle.release();
    busy.release();
  });

  suite.state('a reader that leaves disturbs nobody', async (cache) => {
    const bytes = bytesOf(2 ** 20);
    const fill = await start(cache, KEY, { size: bytes.byteLength });
    const [leaving, staying] = [fill.reader(), fill.reader()];
    const left = leaving.read();
    left.on('data', () => left.destroy());
    const reading = Reading.of(staying);
    await write(fill, bytes.subarray(0, 2 ** 19));
    await reading.until(2 ** 19);
    leaving.release();
    await write(fill, bytes.subarray(2 ** 19));
    await settled(fill.commit({ length: bytes.byteLength }), 'commit');
    assert.ok((await reading.whole()).equals(bytes));
    staying.release();
  });
}
