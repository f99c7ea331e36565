/** One fill, read along from other processes. Two caches in one process know as little of each other as two processes do. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Claim, FillReader, Key, LeaderClaim } from '../../../lib/cache/cache.ts';
import type { FileCache } from '../../../lib/cache/file-cache.ts';
import { encodeClaim } from '../../../lib/cache/fill/claim-text.ts';
import { encodeRecord } from '../../../lib/cache/record.ts';
import {
  begun,
  bytesOf,
  follow,
  hashOf,
  joined,
  lead,
  put,
  Reading,
  settled,
  start,
  stored,
  write,
} from '../../../lib/contracts/cache/steps.ts';
import { IncompleteError, IntegrityError } from '../../../lib/errors.ts';
import { SELF } from '../../../lib/fs/living.ts';
import { CacheProcess } from '../cache-process.ts';
import { Disk } from '../disk.ts';
import { NO_PROC, openFiles } from './open-files.ts';

const KEY = { primary: '/across', variant: '?b' };
const SIZE = 3 * 2 ** 20 + 1;
const BODY = bytesOf(SIZE);
const HALF = 2 ** 20 + 7;

async function several(t: TestContext, count: number): Promise<{ disk: Disk; caches: FileCache[] }> {
  const disk = new Disk(t);
  const caches: FileCache[] = [];
  for (let i = 0; i < count; i++) caches.push(await disk.cache());
  return { disk, caches };
}

function heir(reader: FillReader): Promise<LeaderClaim> {
  return settled(new Promise((resolve) => reader.inherit(resolve)), 'the claim on an orphan');
}

/** Who follows a claim that gives way to another one claims again. */
async function readerOf(
  cache: FileCache,
  key: Key,
  claim: Claim | undefined,
): Promise<FillReader | undefined> {
  if (claim?.role !== 'follower') return undefined;
  const reader = await settled(claim.fill, 'the fill to follow');
  if (reader !== undefined || claim.again !== true) return reader;
  return readerOf(cache, key, await cache.claim(key));
}

/** What says that others read along goes a little later than they do. */
function gone(disk: Disk): Promise<void> {
  return until(() => disk.incomplete().length === 0);
}

function until(holds: () => boolean): Promise<void> {
  const wait = async () => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return settled(wait(), String(holds));
}

async function goOn(claim: LeaderClaim, head = { status: 200, headers: [] as [string, string][] }) {
  const fill = await claim.start(
    { ...head, headers: [['Content-Type', 'application/x-test']] },
    { size: SIZE },
  );
  if ('declined' in fill) throw new Error(`going on was declined: ${fill.declined}`);
  return fill;
}

describe('several processes and one cold key', () => {
  test('whoever comes first leads, the others read along as it comes', async (t) => {
    const { caches } = await several(t, 3);
    const [one, two, three] = caches as [FileCache, FileCache, FileCache];
    const leader = await lead(one, KEY);
    const early = await follow(two, KEY);
    const fill = await begun(leader, { size: SIZE, tags: ['t'], version: '7' });
    const reader = await settled(early.fill, 'the head');
    assert.ok(reader !== undefined);
    assert.equal(reader.size, SIZE);
    assert.deepEqual([reader.info.key, reader.info.tags, reader.info.version], [KEY, ['t'], '7']);
    assert.deepEqual(reader.head.headers, [['Content-Type', 'application/x-test']]);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await reading.until(HALF);
    const late = await joined(three, KEY);
    const lateReading = Reading.of(late);
    const range = Reading.of(late, { start: 10, end: 1000 });
    assert.ok((await range.whole()).equals(BODY.subarray(10, 1000)), 'a stored range at once');
    await write(fill, BODY.subarray(HALF));
    await reading.until(SIZE - 1);
    assert.equal(reading.length, SIZE - 1, 'the last byte waits for the verdict');
    await fill.commit({ length: SIZE });
    for (const each of [reading, lateReading]) assert.ok((await each.whole()).equals(BODY));
    for (const each of [reader, late]) {
      assert.equal(await each.ended, 'complete');
      each.release();
    }
    for (const cache of caches) assert.ok((await stored(cache, KEY))?.equals(BODY));
  });

  test('of many that claim at once one leads', async (t) => {
    const { caches } = await several(t, 6);
    for (let round = 0; round < 10; round++) {
      const key = { primary: `/${round}` };
      const claims = await Promise.all(caches.map((cache) => cache.claim(key)));
      const leaders = claims.filter((claim) => claim?.role === 'leader');
      assert.deepEqual(claims.map((claim) => claim?.role).sort(), [
        'follower',
        'follower',
        'follower',
        'follower',
        'follower',
        'leader',
      ]);
      const fill = await begun(leaders[0] as LeaderClaim);
      await write(fill, bytesOf(1000, round));
      const readers = await Promise.all(
        claims.map((claim, i) => readerOf(caches[i] as FileCache, key, claim)),
      );
      const readings = readers.filter((reader) => reader !== undefined).map((reader) => Reading.of(reader));
      assert.equal(readings.length, 5);
      await fill.commit({});
      for (const reading of readings) assert.ok((await reading.whole()).equals(bytesOf(1000, round)));
      for (const reader of readers) reader?.release();
    }
  });

  test('a leader that gives up before its head lets those in other processes go', async (t) => {
    const { caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const leader = await lead(one, KEY);
    const waiting = await follow(two, KEY);
    await leader.abandon();
    assert.equal(await settled(waiting.fill, 'nothing to share'), undefined);
    await (await lead(two, KEY)).abandon();
  });

  test('who would only join finds what runs elsewhere, and else nothing', async (t) => {
    const { caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    assert.equal(await two.claim(KEY, { join: true }), undefined);
    const fill = await start(one, KEY, { size: SIZE });
    const claim = await two.claim(KEY, { join: true });
    assert.equal(claim?.role, 'follower');
    const reader = claim?.role === 'follower' ? await claim.fill : undefined;
    assert.equal(reader?.size, SIZE);
    reader?.release();
    await fill.abort(new Error('enough'));
  });

  test('a purge anywhere cuts the fill off, and those who read it get it to the end', async (t) => {
    const { caches } = await several(t, 3);
    const [one, two, three] = caches as [FileCache, FileCache, FileCache];
    const fill = await start(one, KEY, { size: SIZE });
    const reader = await joined(two, KEY);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await three.invalidate({ key: KEY.primary });
    const next = await lead(two, KEY);
    await write(fill, BODY.subarray(HALF));
    await assert.rejects(fill.commit({ length: SIZE }), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
    assert.ok((await reading.whole()).equals(BODY));
    reader.release();
    await next.abandon();
    for (const cache of caches) assert.equal(await stored(cache, KEY), undefined);
  });

  test('wrong bytes fail those who read along elsewhere, and nobody is asked to go on', async (t) => {
    const { caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const fill = await start(one, KEY, { size: 1000 });
    const reader = await joined(two, KEY);
    let asked = 0;
    reader.inherit(() => asked++);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, 1000));
    await assert.rejects(fill.commit({ digests: [{ algorithm: 'sha256', hex: '00' }] }), IntegrityError);
    assert.ok((await reading.failure()) !== undefined);
    assert.equal(reading.length, 999);
    assert.equal(asked, 0);
    assert.equal(await reader.ended, 'failed');
    reader.release();
  });

  test('a fill is deserted only when those who read it elsewhere have left, too', async (t) => {
    const { caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const fill = await start(one, KEY, { size: SIZE });
    const own = fill.reader();
    const reader = await joined(two, KEY);
    await until(() => fill.readers === 2);
    let deserted = 0;
    fill.onDeserted(() => deserted++);
    own.release();
    assert.deepEqual([fill.readers, deserted], [1, 0]);
    reader.release();
    await until(() => deserted > 0);
    assert.deepEqual([fill.readers, deserted], [0, 1]);
    await fill.abort(new Error('enough'));
  });
});

describe('a process that can not go on', () => {
  for (const [what, end] of [
    ['its application failed', (fill) => fill.orphan(new IncompleteError('gone'))],
    ['its cache was closed', (fill) => fill.abort(new Error('closed'))],
  ] as [
    string,
    (fill: { orphan(e: Error): Promise<void>; abort(e: Error): Promise<void> }) => Promise<void>,
  ][]) {
    test(`${what}: a reader in another goes on, and all get the whole`, async (t) => {
      const { disk, caches } = await several(t, 3);
      const [one, two, three] = caches as [FileCache, FileCache, FileCache];
      const fill = await start(one, KEY, { size: SIZE });
      const readers = [await joined(two, KEY), await joined(two, KEY), await joined(three, KEY)];
      const readings = readers.map((reader) => Reading.of(reader));
      await write(fill, BODY.subarray(0, HALF));
      for (const reading of readings) await reading.until(HALF);
      const claimed = heir(readers[0] as FillReader);
      await end(fill);
      const claim = await claimed;
      assert.equal(claim.inherited?.bytes, HALF);
      const next = await goOn(claim);
      const late = await joined(three, KEY);
      const lateReading = Reading.of(late);
      for (let at = 0; at < SIZE; at += 300_000) await write(next, BODY.subarray(at, at + 300_000));
      await next.commit({ length: SIZE });
      for (const reading of [...readings, lateReading]) assert.ok((await reading.whole()).equals(BODY));
      for (const reader of [...readers, late]) reader.release();
      for (const cache of caches) assert.ok((await stored(cache, KEY))?.equals(BODY));
      await gone(disk);
    });
  }

  test('it was killed: a reader in another goes on within seconds', async (t) => {
    const { disk, caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const child = await CacheProcess.open(t, { directory: disk.directory });
    await child.tell('start', KEY, { size: SIZE });
    const readers = [await joined(one, KEY), await joined(two, KEY)] as const;
    const readings = readers.map((reader) => Reading.of(reader));
    await child.tell('write', HALF, 1);
    for (const reading of readings) await reading.until(HALF);
    const offers = readers.map(heir);
    assert.equal(await child.kill(), 'SIGKILL');
    const claim = await Promise.race(offers);
    const next = await goOn(claim);
    await write(next, BODY);
    await next.commit({ length: SIZE });
    for (const reading of readings) assert.ok((await reading.whole()).equals(BODY));
    for (const reader of readers) reader.release();
    await gone(disk);
    for (const offer of offers) offer.catch(() => undefined);
  });

  test('a contender that gives way before it begins is not waited for', { skip: NO_PROC }, async (t) => {
    const { disk, caches } = await several(t, 3);
    const [one, two, three] = caches as [FileCache, FileCache, FileCache];
    const fill = await start(one, KEY, { size: SIZE });
    const reader = await joined(two, KEY);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await reading.until(HALF);
    const contender = disk.layout.claim(disk.layout.name(KEY.primary, KEY.variant), '0'.repeat(16));
    writeFileSync(contender, encodeClaim({ key: KEY, owner: SELF, since: Date.now() }));
    await fill.orphan(new IncompleteError('gone'));
    await until(() => openFiles().includes(contender));
    unlinkSync(contender);
    const next = await start(three, KEY, { size: SIZE });
    await write(next, BODY);
    await next.commit({ length: SIZE });
    assert.ok((await reading.whole()).equals(BODY), 'the one that did begin is found');
    reader.release();
  });

  test('an older entry of the key is not what they were reading', async (t) => {
    const { caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    await put(one, KEY, bytesOf(SIZE, 7));
    const fill = await begun(await lead(one, KEY, { newerThan: Date.now() }), { size: SIZE });
    const claim = await two.claim(KEY, { newerThan: Date.now() });
    const reader = claim?.role === 'follower' ? await claim.fill : undefined;
    assert.ok(reader);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await reading.until(HALF);
    const claimed = heir(reader);
    await fill.orphan(new IncompleteError('gone'));
    const next = await goOn(await claimed);
    await write(next, BODY);
    await next.commit({ length: SIZE });
    assert.ok((await reading.whole()).equals(BODY));
    reader.release();
  });

  test('who is too late to go on reads what somebody else has stored meanwhile', async (t) => {
    const { disk, caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const fill = await start(one, KEY, { size: SIZE });
    const reader = await joined(two, KEY);
    const reading = Reading.of(reader);
    let claims = 0;
    reader.inherit(() => claims++);
    await write(fill, BODY.subarray(0, HALF));
    await reading.until(HALF);
    // A third process is just about to publish: until it has, nobody knows who goes on.
    const { layout } = disk;
    const [name, id] = [layout.name(KEY.primary, KEY.variant), '0'.repeat(16)];
    const { head, info } = reader;
    const digests = [{ algorithm: 'sha256' as const, hex: hashOf('sha256', BODY) }];
    writeFileSync(layout.claim(name, id), encodeRecord({ ...info, head, size: SIZE, digests, fill: id }));
    await fill.orphan(new IncompleteError('gone'));
    await until(() => disk.incomplete().filter((file) => file.endsWith('.claim')).length === 2);
    mkdirSync(dirname(layout.record(name)), { recursive: true });
    writeFileSync(layout.body(name, id), BODY);
    renameSync(layout.claim(name, id), layout.record(name));
    assert.ok((await reading.whole()).equals(BODY));
    assert.equal(claims, 0);
    reader.release();
  });

  test('what the heir sends must be what was handed out elsewhere', async (t) => {
    const { caches } = await several(t, 3);
    const [one, two, three] = caches as [FileCache, FileCache, FileCache];
    const fill = await start(one, KEY, { size: SIZE });
    const readers = [await joined(two, KEY), await joined(three, KEY)] as const;
    const readings = readers.map((reader) => Reading.of(reader));
    await write(fill, BODY.subarray(0, HALF));
    for (const reading of readings) await reading.until(HALF);
    const claimed = heir(readers[0]);
    await fill.orphan(new IncompleteError('gone'));
    const next = await goOn(await claimed);
    const other = Buffer.from(BODY);
    other[5] = (other[5] as number) ^ 1;
    await write(next, other);
    await assert.rejects(next.commit({ length: SIZE }), { code: 'ERR_CACHE_FILTER_INTEGRITY' });
    for (const reading of readings) {
      assert.ok((await reading.failure()) !== undefined);
      assert.ok(reading.bytes.equals(BODY.subarray(0, reading.length)), 'and nothing else was handed out');
    }
    for (const reader of readers) reader.release();
  });

  test('another representation is refused', async (t) => {
    const { caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const fill = await start(one, KEY, { size: SIZE });
    const reader = await joined(two, KEY);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await reading.until(HALF);
    const claimed = heir(reader);
    await fill.orphan(new IncompleteError('gone'));
    const claim = await claimed;
    assert.deepEqual(await claim.start({ status: 200, headers: [['ETag', '"2"']] }, { size: SIZE }), {
      declined: 'changed',
    });
    assert.ok((await reading.failure()) !== undefined);
    reader.release();
    await (await lead(two, KEY)).abandon();
  });

  test('with nobody to go on, readers see that it failed', async (t) => {
    const { caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const fill = await start(one, KEY, { size: SIZE });
    const reader = await joined(two, KEY);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await fill.abort(new IncompleteError('gone'));
    assert.ok((await reading.failure()) !== undefined);
    assert.equal(await reader.ended, 'orphaned');
    reader.release();
  });

  test('a store that takes no more in one process is tried in another', async (t) => {
    const disk = new Disk(t);
    const one = await disk.cache({ maxEntryBytes: 2 ** 20 });
    const two = await disk.cache();
    const fill = await start(one, KEY);
    const own = fill.reader();
    const ownReading = Reading.of(own);
    const reader = await joined(two, KEY);
    const reading = Reading.of(reader);
    const claimed = heir(reader);
    for (let at = 0; at < SIZE; at += 300_000) await write(fill, BODY.subarray(at, at + 300_000));
    const claim = await claimed;
    const next = await claim.start({ status: 200, headers: [['Content-Type', 'application/x-test']] });
    if ('declined' in next) throw new Error(next.declined);
    await write(next, BODY);
    await next.commit({ length: SIZE });
    await assert.rejects(fill.commit({ length: SIZE }), { reason: 'too-large' });
    for (const each of [ownReading, reading]) assert.ok((await each.whole()).equals(BODY));
    for (const each of [own, reader]) each.release();
    assert.ok((await stored(two, KEY))?.equals(BODY));
  });

  test('a file of another length than its record says is no whole body', async (t) => {
    const { disk, caches } = await several(t, 2);
    const [one, two] = caches as [FileCache, FileCache];
    const fill = await start(one, KEY);
    const reader = await joined(two, KEY);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, 1000));
    await reading.until(1000);
    const [body = ''] = disk.incomplete().filter((file) => file.endsWith('.body'));
    appendFileSync(`${disk.layout.incomplete}/${body}`, 'x');
    await fill.commit({}).catch(() => undefined);
    assert.ok((await reading.failure()) !== undefined);
    reader.release();
  });
});
