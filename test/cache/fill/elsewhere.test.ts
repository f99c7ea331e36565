/** What becomes of those who read a fill from other processes, when its own process does something unusual. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  futimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { FileCache } from '../../../lib/cache/file-cache.ts';
import { ClaimFile } from '../../../lib/cache/fill/claim.ts';
import { type Begun, encodeClaim } from '../../../lib/cache/fill/claim-text.ts';
import { type EntryRecord, encodeRecord } from '../../../lib/cache/record.ts';
import {
  bytesOf,
  HEAD,
  hashOf,
  joined,
  Reading,
  settled,
  start,
  write,
} from '../../../lib/contracts/cache/steps.ts';
import { SELF } from '../../../lib/fs/living.ts';
import { Disk } from '../disk.ts';
import { NO_PROC, openFiles } from './open-files.ts';

const KEY = { primary: '/elsewhere' };
const SIZE = 2 ** 20 + 1;
const BODY = bytesOf(SIZE);
const HALF = 2 ** 19 + 7;

async function two(t: TestContext): Promise<{ disk: Disk; one: FileCache; other: FileCache }> {
  const disk = new Disk(t);
  return { disk, one: await disk.cache(), other: await disk.cache() };
}

/** A fill of one of them, half of which somebody reads in the other. */
async function halfWay(t: TestContext) {
  const { one, other } = await two(t);
  const fill = await start(one, KEY, { size: SIZE });
  const reader = await joined(other, KEY);
  const reading = Reading.of(reader);
  await write(fill, BODY.subarray(0, HALF));
  await reading.until(HALF);
  return { one, fill, reader, reading };
}

/** The files of a fill of some other process, by hand: that process lives, and leads. */
function foreign(disk: Disk) {
  const [name, fill] = [disk.layout.name(KEY.primary, undefined), '0'.repeat(16)];
  const storedAt = Date.now();
  const begun: Begun = { head: HEAD, storedAt, tags: [], size: SIZE };
  const digests = [{ algorithm: 'sha256' as const, hex: hashOf('sha256', BODY) }];
  const record: EntryRecord = { key: KEY, storedAt, tags: [], head: HEAD, size: SIZE, digests, fill };
  const text = { key: KEY, owner: SELF, since: storedAt, leads: true };
  return {
    claim: disk.layout.claim(name, fill),
    body: disk.layout.incompleteBody(name, fill),
    claimed: encodeClaim(text),
    begun: encodeClaim({ ...text, begun }),
    record: encodeRecord(record),
    publish(this: { claim: string; record: Buffer }) {
      mkdirSync(dirname(disk.layout.record(name)), { recursive: true });
      writeFileSync(disk.layout.body(name, fill), BODY);
      writeFileSync(this.claim, this.record);
      renameSync(this.claim, disk.layout.record(name));
    },
  };
}

/** Takes all descriptors that this process may still have, until it is over. */
function exhaust(t: TestContext): { code: string | undefined; over(): void } {
  const limits = /open files +(\d+) +(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  const limit = (soft: string) =>
    spawnSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:${limits[2]}`]);
  // A million, as some machines have it, would take long.
  limit('4000');
  const taken: number[] = [];
  const over = () => {
    for (const fd of taken.splice(0)) closeSync(fd);
    limit(limits[1] ?? '');
  };
  t.after(over);
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code, over };
  }
}

describe('readers in other processes', () => {
  test('get all of a fill that is purged by its own process', async (t) => {
    const { one, fill, reader, reading } = await halfWay(t);
    await one.invalidate({ key: KEY.primary });
    await write(fill, BODY.subarray(HALF));
    await assert.rejects(fill.commit({ length: SIZE }), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
    assert.ok((await reading.whole()).equals(BODY));
    assert.equal(await reader.ended, 'superseded');
    reader.release();
  });

  test('get all of a body that turns out to be too small to be kept', async (t) => {
    const { one, other } = await two(t);
    const fill = await start(one, KEY, { minBytes: 1000 });
    const reader = await joined(other, KEY);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, 500));
    await assert.rejects(fill.commit({}), { reason: 'too-small' });
    assert.ok((await reading.whole()).equals(BODY.subarray(0, 500)));
    reader.release();
  });

  test('who wait for its beginning all join a fill that is over the moment it begins', async (t) => {
    const { disk, other } = await two(t);
    const fill = foreign(disk);
    writeFileSync(fill.claim, fill.claimed);
    const claims = await Promise.all(Array.from({ length: 5 }, () => other.claim(KEY)));
    fill.publish();
    for (const claim of claims) {
      const reader = claim?.role === 'follower' ? await settled(claim.fill, 'the fill') : undefined;
      assert.ok(reader, 'it has joined');
      assert.ok((await Reading.of(reader).whole()).equals(BODY));
      reader.release();
    }
  });

  test('keep nothing open of a contender that gives way at once', { skip: NO_PROC }, async (t) => {
    const { disk, other } = await two(t);
    for (let i = 0; i < 5; i++) {
      const key = { primary: `/${i}` };
      const contender = disk.layout.claim(disk.layout.name(key.primary, undefined), '0'.repeat(16));
      writeFileSync(contender, encodeClaim({ key, owner: SELF, since: Date.now() }));
      const claiming = other.claim(key);
      while (!openFiles().includes(contender)) await new Promise((resolve) => setImmediate(resolve));
      unlinkSync(contender);
      const claim = await claiming;
      if (claim?.role === 'follower') assert.equal(await settled(claim.fill, 'nothing to share'), undefined);
      else if (claim?.role === 'leader') await claim.abandon();
    }
    const open = () => openFiles().filter((path) => path.includes('.claim'));
    for (let i = 0; i < 200 && open().length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(open(), []);
  });

  test('are let go where its body can not be opened for want of descriptors', {
    skip: NO_PROC,
  }, async (t) => {
    const { disk, other } = await two(t);
    const fill = foreign(disk);
    const fd = openSync(fill.claim, 'w');
    writeSync(fd, fill.claimed, 0, fill.claimed.byteLength, 0);
    writeFileSync(fill.body, BODY.subarray(0, 100));
    const beat = setInterval(() => futimesSync(fd, new Date(), new Date()), 300);
    t.after(() => clearInterval(beat));
    const claim = await other.claim(KEY);
    assert.equal(claim?.role, 'follower');
    const fault = exhaust(t);
    writeSync(fd, fill.begun, 0, fill.begun.byteLength, 0);
    const given = claim?.role === 'follower' ? await settled(claim.fill, 'the fill') : undefined;
    fault.over();
    clearInterval(beat);
    closeSync(fd);
    assert.equal(fault.code, 'EMFILE', 'the fault fired');
    assert.equal(given, undefined);
    assert.ok(claim?.role === 'follower' && claim.again);
  });

  test('take a process that publishes for dead no sooner than one that fetches', async (t) => {
    const { disk, other } = await two(t);
    const fill = foreign(disk);
    writeFileSync(fill.claim, fill.begun);
    writeFileSync(fill.body, BODY);
    const reader = await joined(other, KEY);
    writeFileSync(fill.claim, fill.record);
    const at = performance.now();
    const claim = await settled(
      new Promise<{ abandon(): Promise<void> }>((resolve) => reader.inherit(resolve)),
      'the claim on an orphan',
    );
    const waited = performance.now() - at;
    await claim.abandon();
    reader.release();
    assert.ok(waited > 4_000, `${waited} ms: this very process lives`);
  });

  test('let one that was asleep as long as they were wake up', async (t) => {
    const { fill, reader, reading } = await halfWay(t);
    let heirs = 0;
    reader.inherit(() => heirs++);
    // The whole machine stands still.
    for (const until = Date.now() + 5_500; Date.now() < until; );
    await new Promise((resolve) => setTimeout(resolve, 100));
    await write(fill, BODY.subarray(HALF));
    await fill.commit({ length: SIZE });
    assert.ok((await reading.whole()).equals(BODY));
    assert.equal(heirs, 0, 'nobody was to go on');
    reader.release();
  });

  test('are asked to go on however long another one of them has tried', async (t) => {
    const disk = new Disk(t);
    const [one, second, third] = [await disk.cache(), await disk.cache(), await disk.cache()];
    const fill = await start(one, KEY, { size: SIZE });
    const readers = [await joined(second, KEY), await joined(third, KEY)] as const;
    const reading = Reading.of(readers[1]);
    await write(fill, BODY.subarray(0, HALF));
    await reading.until(HALF);
    const tried = new Promise<{ abandon(): Promise<void> }>((resolve) => readers[0].inherit(resolve));
    void fill.orphan(new Error('gone'));
    const claim = await settled(tried, 'the first claim');
    const asked = new Promise<{ abandon(): Promise<void> }>((resolve) => readers[1].inherit(resolve));
    // Longer than readers wait for anybody at all.
    await new Promise((resolve) => setTimeout(resolve, 5_500));
    await claim.abandon();
    await (await settled(asked, 'the second claim')).abandon();
    for (const reader of readers) reader.release();
  });
});

test('a claim is never empty while it is written anew', async (t) => {
  const { layout } = new Disk(t);
  mkdirSync(layout.incomplete, { recursive: true });
  const place = { name: layout.name(KEY.primary, undefined), fill: '0123456789abcdef' };
  const claim = await ClaimFile.create(layout, place, KEY, 0o600);
  const fd = openSync(claim.path, 'r');
  const sizes = new Set<number>();
  for (let i = 0; i < 300; i++) {
    let isWritten = false;
    const saying = claim.say(i % 2 === 0 ? { ended: 'orphaned' } : { reserved: i }).then(() => {
      isWritten = true;
    });
    while (!isWritten) {
      sizes.add(fstatSync(fd).size);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await saying;
  }
  closeSync(fd);
  await claim.remove();
  assert.ok(!sizes.has(0), 'a full disk would not give the block back');
});
