/** What grows is handed on piece by piece, in memory that is used again. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Fill, FillReader } from '../../../lib/cache/cache.ts';
import { bytesOf, settled, start } from '../../../lib/contracts/cache/steps.ts';
import type { ByteRange } from '../../../lib/http/body.ts';
import { deferred } from '../../support/deferred.ts';
import { Disk } from '../disk.ts';

const KEY = { primary: '/a' };
const PIECE = 64 * 1024;
const BYTES = bytesOf(12 * 2 ** 20 + 123);

async function write(fill: Fill, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength; at += PIECE) {
    if (!fill.write(bytes.subarray(at, at + PIECE))) await settled(fill.drained(), 'drained');
  }
}

/** What `pour` hands over, each piece as it is when its taker has let it go. */
async function poured(
  reader: FillReader,
  range: ByteRange | undefined,
  letGo: (piece: Uint8Array) => Promise<unknown>,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await (reader.pour ?? assert.fail('it can be poured')).call(reader, range, async (piece) => {
    const at = pieces.push(Buffer.alloc(0)) - 1;
    await letGo(piece);
    pieces[at] = Buffer.from(piece);
  });
  return Buffer.concat(pieces);
}

describe('pouring a fill', () => {
  test('a piece stays what it is until its taker lets it go, however far the fill has got meanwhile', async (t) => {
    const cache = await new Disk(t).cache();
    const fill = await start(cache, KEY, { size: BYTES.byteLength });
    const [prompt, slow] = [fill.reader(), fill.reader()];
    let held = 0;
    const all = [
      poured(prompt, undefined, turn),
      poured(slow, undefined, async () => {
        held++;
        for (let i = 0; i < 20; i++) await turn();
      }),
    ];
    await write(fill, BYTES);
    await settled(fill.commit({ length: BYTES.byteLength }), 'commit');
    for (const whole of await settled(Promise.all(all), 'pouring')) assert.ok(whole.equals(BYTES));
    assert.ok(held > 12, `${held} pieces: it fell behind the window, and took from the file`);
    for (const reader of [prompt, slow]) reader.release();
  });

  test('a range ends where it was to end, and waits for what has not come', async (t) => {
    const cache = await new Disk(t).cache();
    const fill = await start(cache, KEY, { size: BYTES.byteLength });
    const ranges = [
      { start: 0, end: 1 },
      { start: 3 * 2 ** 20 + 7, end: 3 * 2 ** 20 + 8 },
      { start: 2 ** 20 - 5, end: 11 * 2 ** 20 + 5 },
      { start: BYTES.byteLength - 10, end: BYTES.byteLength },
    ];
    await write(fill, BYTES.subarray(0, 5 * 2 ** 20));
    const readers = ranges.map(() => fill.reader());
    const all = ranges.map((range, i) => poured(readers[i] as FillReader, range, turn));
    await write(fill, BYTES.subarray(5 * 2 ** 20));
    await settled(fill.commit({}), 'commit');
    for (const [i, part] of (await settled(Promise.all(all), 'pouring')).entries()) {
      const { start: from, end } = ranges[i] as ByteRange;
      assert.ok(part.equals(BYTES.subarray(from, end)), `${from} to ${end}`);
    }
    for (const reader of readers) reader.release();
  });

  test('it waits no longer once its reader is released', async (t) => {
    const cache = await new Disk(t).cache();
    const fill = await start(cache, KEY);
    fill.write(BYTES.subarray(0, PIECE));
    const reader = fill.reader();
    const first = deferred<void>();
    const pouring = poured(reader, undefined, async () => first.resolve());
    await settled(first.promise, 'the first piece');
    await turn();
    reader.release();
    await assert.rejects(settled(pouring, 'pouring'), { code: 'ERR_CACHE_FILTER_STORE' });
    await fill.abort(new Error('enough'));
  });

  test('it fails with the fill, and with its taker', async (t) => {
    const cache = await new Disk(t).cache();
    const fill = await start(cache, KEY);
    fill.write(BYTES.subarray(0, PIECE));
    const [reader, other] = [fill.reader(), fill.reader()];
    const waiting = poured(reader, undefined, turn);
    const refused = poured(other, undefined, () => Promise.reject(new Error('no more')));
    await assert.rejects(settled(refused, 'pouring'), /no more/);
    const failed = assert.rejects(settled(waiting, 'pouring'), /the source broke off/);
    await fill.abort(new Error('the source broke off'));
    await failed;
    for (const each of [reader, other]) each.release();
  });
});
