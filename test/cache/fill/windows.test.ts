/** The memory of all fills together. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Growing } from '../../../lib/cache/fill/growing.ts';
import { Windows } from '../../../lib/cache/fill/windows.ts';
import { bytesOf, joined, Reading, start, write } from '../../../lib/contracts/cache/steps.ts';
import { Disk } from '../disk.ts';

const KIB = 1024;

/** Bytes of a body that are in memory: those that can be had without asking the store. */
function held(growing: Growing): number {
  let bytes = 0;
  for (let at = 0; at < growing.taken; ) {
    const piece = growing.peek(at);
    bytes += piece?.byteLength ?? 0;
    at += piece?.byteLength ?? 16 * KIB;
  }
  return bytes;
}

/** A body of which all but the last bytes are stored. */
function fed(shared: Windows, bytes: number): Growing {
  const growing = new Growing(undefined, { shared });
  for (let at = 0; at < bytes; at += 16 * KIB) growing.take(Buffer.alloc(16 * KIB));
  growing.advanceStored(bytes);
  return growing;
}

describe('what fills hold in memory', () => {
  test('is the less for each, the more there are', () => {
    const shared = new Windows(4 * 1024 * KIB);
    const first = fed(shared, 2048 * KIB);
    assert.equal(held(first), 1024 * KIB);
    const fills = [first];
    while (fills.length < 8) fills.push(fed(shared, 2048 * KIB));
    for (const fill of fills) assert.equal(held(fill), 256 * KIB);
    for (const fill of fills.slice(1)) fill.finish('complete');
    for (const fill of fills.slice(1))
      assert.equal(held(fill), 64 * KIB, 'the end, for those who have yet to read it');
    assert.equal(shared.share, 1024 * KIB);
  });

  test('a source is asked to wait the sooner, the more there are', () => {
    const shared = new Windows(4 * 1024 * KIB);
    const one = new Growing(undefined, { shared });
    one.take(Buffer.alloc(512 * KIB));
    assert.equal(one.hasRoom, true);
    const others = Array.from({ length: 7 }, () => fed(shared, 16 * KIB));
    assert.equal(one.hasRoom, false);
    for (const other of others) other.finish('failed');
    assert.equal(one.hasRoom, true);
  });

  test('there is a little for each, however many', () => {
    const shared = new Windows(1024 * KIB);
    for (let i = 0; i < 100; i++) fed(shared, 16 * KIB);
    assert.equal(shared.share, 64 * KIB);
  });

  test('what is not stored yet is never let go of', () => {
    const shared = new Windows(1024 * KIB);
    const fill = new Growing(undefined, { shared });
    for (let i = 0; i < 64; i++) fill.take(Buffer.alloc(16 * KIB));
    for (let i = 0; i < 20; i++) fed(shared, 16 * KIB);
    assert.equal(held(fill), 1024 * KIB);
  });

  test('a reader that lags behind reads from the store', async (t) => {
    const cache = await new Disk(t).cache();
    const key = { primary: '/a' };
    const fill = await start(cache, key);
    const reader = await joined(cache, key);
    const body = bytesOf(4 * 1024 * KIB);
    for (let at = 0; at < body.byteLength; at += 64 * KIB)
      await write(fill, body.subarray(at, at + 64 * KIB));
    await fill.commit({});
    assert.ok((await Reading.of(reader).whole()).equals(body));
    reader.release();
  });
});
