import type { Cache, Fill, FillOptions, FillReader, LeaderClaim } from '../../cache/cache.ts';
import type { StoreError } from '../../errors.ts';
import type { ResponseHead } from '../../http/body.ts';
import { bytesOf, lead, Reading, settled, start, stored, write } from './steps.ts';
import type { Suite } from './suite.ts';

const KEY = { primary: '/succession' };
const HEAD: ResponseHead = { status: 200, headers: [['ETag', '"1"']] };
const BODY = bytesOf(300_000);
const HALF = 150_000;
const MIB = 2 ** 20;

/** Somebody who would go on with a fill. */
function heirOf(reader: FillReader): { claim: Promise<LeaderClaim>; asked: () => number } {
  let asked = 0;
  const claim = new Promise<LeaderClaim>((resolve) => {
    reader.inherit((given) => {
      asked++;
      resolve(given);
    });
  });
  return { claim, asked: () => asked };
}

/** A fill that has lost its writer half-way, and what inherits it. */
async function orphaned(cache: Cache, options: FillOptions = { size: BODY.byteLength }) {
  const fill = await goOn(await lead(cache, KEY), options);
  const reader = fill.reader();
  const reading = Reading.of(reader);
  const heir = heirOf(reader);
  await write(fill, BODY.subarray(0, HALF));
  await fill.orphan(new Error('gone'));
  const claim = await settled(heir.claim, 'the claim on the orphan');
  return { fill, reader, reading, claim, heir };
}

async function goOn(claim: LeaderClaim, options: FillOptions, head: ResponseHead = HEAD): Promise<Fill> {
  const fill = await settled(claim.start(head, options), 'going on');
  if ('declined' in fill) throw new Error(`going on was declined: ${fill.declined}`);
  return fill;
}

/** Going on with a fill whose writer can't. */
export function succession(suite: Suite): void {
  const { assert } = suite;

  suite.state('a reader who offered goes on with a fill that lost its writer', async (cache) => {
    const { claim, reading, reader } = await orphaned(cache);
    assert.deepEqual(claim.inherited, { head: HEAD, bytes: HALF });
    const fill = await goOn(claim, { size: BODY.byteLength });
    for (let at = 0; at < BODY.byteLength; at += 40_000) await write(fill, BODY.subarray(at, at + 40_000));
    const info = await settled(fill.commit({ length: BODY.byteLength }), 'commit');
    assert.equal(info.size, BODY.byteLength);
    assert.ok((await reading.whole()).equals(BODY), 'the reader that was there all the time');
    assert.equal(await reader.ended, 'complete');
    reader.release();
    assert.ok((await stored(cache, KEY))?.equals(BODY), 'the entry');
  });

  suite.state('what the heir sends is compared with what is there', async (cache) => {
    const { claim, reading, reader } = await orphaned(cache);
    const fill = await goOn(claim, { size: BODY.byteLength });
    const other = Buffer.from(BODY);
    other[HALF - 1] = (other[HALF - 1] as number) ^ 1;
    await write(fill, other);
    assert.equal(await suite.code(fill.commit({ length: BODY.byteLength })), 'ERR_CACHE_FILTER_INTEGRITY');
    assert.ok((await reading.failure()) !== undefined, 'its readers see it');
    reader.release();
    assert.equal(await stored(cache, KEY), undefined);
  });

  suite.state('an heir whose body is shorter than what is there fails the fill', async (cache) => {
    const { claim, reading, reader } = await orphaned(cache, {});
    const fill = await goOn(claim, {});
    await write(fill, BODY.subarray(0, HALF - 1));
    assert.equal(await suite.code(fill.commit({})), 'ERR_CACHE_FILTER_INTEGRITY');
    assert.ok((await reading.failure()) !== undefined, 'its readers see it');
    reader.release();
  });

  for (const [what, head, options] of [
    ['another validator', { status: 200, headers: [['ETag', '"2"']] }, { size: BODY.byteLength }],
    ['another length', HEAD, { size: BODY.byteLength + 1 }],
    ['another version', HEAD, { size: BODY.byteLength, version: '2' }],
  ] as [string, ResponseHead, FillOptions][]) {
    suite.state(`${what} is another representation: the fill fails`, async (cache) => {
      const { claim, reading, reader } = await orphaned(cache);
      assert.deepEqual(await claim.start(head, options), { declined: 'changed' });
      assert.ok((await reading.failure()) !== undefined, 'its readers see it');
      reader.release();
      assert.equal(await reader.ended, 'failed');
    });
  }

  suite.state(
    'an heir that gives up hands on to the next, and the last one fails the fill',
    async (cache) => {
      const fill = await goOn(await lead(cache, KEY), {});
      const readers = [fill.reader(), fill.reader()] as const;
      const [first, second] = [heirOf(readers[0]), heirOf(readers[1])];
      const reading = Reading.of(readers[0]);
      await write(fill, BODY.subarray(0, HALF));
      await fill.orphan(new Error('gone'));
      await (await settled(first.claim, 'the first heir')).abandon();
      await (await settled(second.claim, 'the second heir')).abandon();
      assert.ok((await reading.failure()) !== undefined, 'its readers see it');
      assert.deepEqual([first.asked(), second.asked()], [1, 1]);
      for (const reader of readers) reader.release();
    },
  );

  suite.state('without an heir an orphan fails, and its key is free', async (cache) => {
    const fill = await goOn(await lead(cache, KEY), {});
    const reader = fill.reader();
    const left = fill.reader();
    const heir = heirOf(left);
    left.release();
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await fill.orphan(new Error('gone'));
    assert.ok((await reading.failure()) !== undefined, 'its readers see it');
    assert.equal(heir.asked(), 0);
    reader.release();
    await (await start(cache, KEY)).abort(new Error('enough'));
  });

  suite.state('a fill says how many read it, and tells when the last one has left', async (cache) => {
    let deserted = 0;
    const fill = await start(cache, KEY);
    assert.equal(fill.readers, 0);
    fill.onDeserted(() => deserted++);
    assert.equal(deserted, 1, 'now, as nobody is there');
    const readers = [fill.reader(), fill.reader()] as const;
    const claim = await cache.claim(KEY);
    const late = claim?.role === 'follower' ? await settled(claim.fill, 'following') : undefined;
    assert.deepEqual([fill.readers, deserted], [3, 1]);
    for (const reader of readers) reader.release();
    readers[0].release();
    assert.deepEqual([fill.readers, deserted], [1, 1]);
    late?.release();
    assert.deepEqual([fill.readers, deserted], [0, 2]);
    fill.reader().release();
    assert.equal(deserted, 3, 'once more');
    await fill.abort(new Error('enough'));
  });

  suite.state(
    'a fill that can not be kept says why, and that nobody reads it',
    async (cache) => {
      const fill = await start(cache, KEY);
      let deserted = 0;
      const reader = fill.reader();
      fill.onDeserted(() => deserted++);
      reader.release();
      assert.deepEqual([deserted, fill.refused], [1, undefined]);
      const chunk = bytesOf(64 * 1024);
      for (let pieces = 0; fill.refused === undefined && pieces < 1000; pieces++) {
        await write(fill, chunk);
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      assert.equal((fill.refused as StoreError | undefined)?.reason, 'too-large');
      assert.equal(deserted, 2, 'once more');
      await fill.abort(new Error('enough'));
    },
    { maxBytes: MIB, maxEntryBytes: MIB / 4 },
  );

  suite.state('who goes on with a fill is told in place of who began it', async (cache) => {
    const told: string[] = [];
    const { fill, claim, reader } = await orphaned(cache);
    fill.onDeserted(() => told.push('first'));
    const next = await goOn(claim, { size: BODY.byteLength });
    next.onDeserted(() => told.push('heir'));
    assert.equal(next.readers, 1);
    reader.release();
    assert.deepEqual(told, ['heir']);
    await next.abort(new Error('enough'));
  });

  suite.state('fills that run can be listed', async (cache) => {
    const fill = await start(cache, KEY, { size: BODY.byteLength, tags: ['t'] });
    await write(fill, BODY.subarray(0, HALF));
    const [running, ...more] = cache.fills();
    assert.deepEqual(
      [running?.key, running?.size, running?.bytes, running?.tags, more.length],
      [KEY, BODY.byteLength, HALF, ['t'], 0],
    );
    await fill.abort(new Error('enough'));
    assert.deepEqual(cache.fills(), []);
  });
}
