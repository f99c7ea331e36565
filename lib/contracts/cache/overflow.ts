import type { Fill } from '../../cache/cache.ts';
import { bytesOf, hashOf, joined, lead, Reading, settled, start, stored } from './steps.ts';
import type { Suite } from './suite.ts';

const MIB = 2 ** 20;
const KEY = { primary: '/overflow' };
const PIECE = 64 * 1024;

/** More than a cache may hold for a reader that lags behind. */
const MOST_IN_MEMORY = 6 * MIB;

/** A part that nothing but memory ever holds. */
const FAR = { start: 12 * MIB, end: 12 * MIB + 100 };

/** A body that turns out to be larger than what may be kept: its readers get it all the same. */
export function overflow(suite: Suite): void {
  const { assert } = suite;
  const limits = { maxBytes: 8 * MIB, maxEntryBytes: MIB };
  const bytes = bytesOf(16 * MIB);

  /** Writes `bytes` as an event-driven source does; calls `waiting` whenever it is asked to wait. */
  const pour = async (fill: Fill, waiting: (written: number) => void = () => {}): Promise<void> => {
    for (let at = 0; at < bytes.byteLength; at += PIECE) {
      if (!fill.write(bytes.subarray(at, at + PIECE))) {
        waiting(at + PIECE);
        await settled(fill.drained(), 'drained');
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  suite.state(
    'a body that outgrows the budget is not stored; its readers get all of it',
    async (cache) => {
      const fill = await start(cache, KEY);
      const readers = [fill.reader(), await joined(cache, KEY)];
      const readings = readers.map((reader) => Reading.of(reader));
      await pour(fill);
      const code = await suite.code(settled(fill.commit({ length: bytes.byteLength }), 'commit'));
      assert.equal(code, 'ERR_CACHE_FILTER_STORE');
      for (const reading of readings) assert.ok((await reading.whole()).equals(bytes));
      for (const reader of readers) {
        assert.equal(await reader.ended, 'complete');
        reader.release();
      }
      assert.equal(await stored(cache, KEY), undefined);
      const { entries, bytes: charged, fills } = await cache.stats();
      assert.deepEqual([entries, charged, fills], [0, 0, 0], 'entries, bytes, fills');
    },
    limits,
  );

  suite.state(
    'it is verified like any other',
    async (cache) => {
      for (const proof of [
        { length: bytes.byteLength - 1 },
        { digests: [{ algorithm: 'sha256' as const, hex: hashOf('sha256', bytesOf(1)) }] },
      ]) {
        const fill = await start(cache, KEY);
        const reader = fill.reader();
        const reading = Reading.of(reader);
        await pour(fill);
        assert.equal(await suite.code(settled(fill.commit(proof), 'commit')), 'ERR_CACHE_FILTER_INTEGRITY');
        assert.equal(
          ((await reading.failure()) as { code?: unknown } | undefined)?.code,
          'ERR_CACHE_FILTER_INTEGRITY',
        );
        reader.release();
      }
    },
    limits,
  );

  suite.state(
    'its source goes at the pace of the slowest reader, within bounded memory',
    async (cache) => {
      const fill = await start(cache, KEY);
      const reader = fill.reader();
      let asked: (() => void) | undefined;
      const paused = new Promise<void>((resolve) => {
        asked = resolve;
      });
      let written = 0;
      const pouring = pour(fill, (so_far) => {
        written = so_far;
        asked?.();
      });
      await settled(paused, 'a source that is asked to wait');
      assert.ok(written <= MOST_IN_MEMORY, `${written} bytes were taken before anybody read`);
      let read = 0;
      let furthest = 0;
      const digest: Buffer[] = [];
      const consume = async () => {
        for await (const chunk of reader.read() as AsyncIterable<Buffer>) {
          digest.push(chunk);
          furthest = Math.max(furthest, written - read);
          read += chunk.byteLength;
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const consuming = consume();
      await settled(pouring, 'the source');
      const code = await suite.code(settled(fill.commit({ length: bytes.byteLength }), 'commit'));
      assert.equal(code, 'ERR_CACHE_FILTER_STORE');
      await settled(consuming, 'the reader');
      assert.ok(Buffer.concat(digest).equals(bytes));
      assert.ok(furthest <= MOST_IN_MEMORY, `the source was ${furthest} bytes ahead of its reader`);
      reader.release();
    },
    limits,
  );

  suite.state(
    'a reader that leaves holds its source up no longer',
    async (cache) => {
      const fill = await start(cache, KEY);
      const [idle, busy] = [fill.reader(), fill.reader()];
      const reading = Reading.of(busy);
      let pauses = 0;
      await settled(
        pour(fill, () => {
          pauses++;
          idle.release();
        }),
        'the source',
      );
      assert.ok(pauses > 0, 'it had to wait for the idle reader');
      await suite.code(settled(fill.commit({}), 'commit'));
      assert.ok((await reading.whole()).equals(bytes));
      busy.release();
    },
    limits,
  );

  suite.state(
    'a reader of a part far ahead holds nobody up',
    async (cache) => {
      const fill = await start(cache, KEY);
      const reader = fill.reader();
      const reading = Reading.of(reader, FAR);
      const pouring = pour(fill);
      assert.ok((await reading.whole()).equals(bytes.subarray(FAR.start, FAR.end)));
      reader.release();
      await settled(pouring, 'the source');
      await suite.code(settled(fill.commit({}), 'commit'));
    },
    limits,
  );

  suite.state(
    'what was not kept fails visibly',
    async (cache) => {
      const fill = await start(cache, KEY);
      const reader = fill.reader();
      const ahead = Reading.of(reader, FAR);
      const pouring = pour(fill);
      await ahead.whole();
      const failure = await Reading.of(reader, { start: 4 * MIB, end: 4 * MIB + 100 }).failure();
      assert.equal((failure as { code?: unknown } | undefined)?.code, 'ERR_CACHE_FILTER_STORE');
      reader.release();
      await settled(pouring, 'the source');
      await fill.abort(new Error('enough'));
    },
    limits,
  );

  suite.state(
    'nobody joins it any more: the next claim leads',
    async (cache) => {
      const fill = await start(cache, KEY);
      const reader = fill.reader();
      const reading = Reading.of(reader);
      await pour(fill);
      const next = await lead(cache, KEY);
      await next.abandon();
      await suite.code(settled(fill.commit({}), 'commit'));
      assert.ok((await reading.whole()).equals(bytes));
      reader.release();
    },
    limits,
  );
}
