/** Parts on disk: what becomes of them when the disk is damaged or full, at a restart, and between processes. */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { PartialBody } from '../../../lib/cache/cache.ts';
import type { FileCache } from '../../../lib/cache/file-cache.ts';
import { bytesOf, HEAD, hashOf, Reading, settled, stored } from '../../../lib/contracts/cache/steps.ts';
import { CacheProcess } from '../cache-process.ts';
import { Disk } from '../disk.ts';
import { mountTmpfs } from '../limits.ts';

const MIB = 2 ** 20;
const KEY = { primary: '/a' };
const BYTES = bytesOf(3 * MIB + 100);
const SIZE = BYTES.byteLength;

async function parts(cache: FileCache, size = SIZE): Promise<PartialBody> {
  const body = await settled(cache.parts.open(KEY, { head: HEAD, size, options: { tags: ['t'] } }), 'open');
  assert.ok(body !== undefined && !('declined' in body), JSON.stringify(body));
  return body;
}

async function fetch(body: PartialBody, start = 0, end = body.size): Promise<void> {
  for (const gap of body.missing({ start, end })) {
    const writer = body.begin(gap);
    await writer.write(BYTES.subarray(gap.start, gap.end));
    writer.end();
  }
}

async function isRight(body: PartialBody, start: number, end: number): Promise<void> {
  const bytes = await Reading.of(body, { start, end }).whole();
  assert.ok(bytes.equals(BYTES.subarray(start, end)), `the bytes ${start} to ${end}`);
}

/** Files of parts, by their kind. */
function files(disk: Disk): Record<string, string> {
  if (!existsSync(disk.layout.parts)) return {};
  const found = readdirSync(disk.layout.parts, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    found
      .filter((each) => each.isFile())
      .map((each) => [each.name.split('.').at(-1) ?? '', join(each.parentPath, each.name)]),
  );
}

function flip(path: string, position: number): void {
  const bytes = readFileSync(path);
  bytes[position] = ~(bytes[position] ?? 0);
  writeFileSync(path, bytes);
}

describe('a block of parts that is damaged on disk', () => {
  test('is not handed out, counts as missing, and can be fetched again', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const body = await parts(cache);
    await fetch(body, 0, 2 * MIB);
    flip(files(disk)['body'] ?? '', MIB + 5);
    const reading = Reading.of(body, { start: 0, end: 2 * MIB });
    assert.ok(await reading.failure());
    assert.equal(reading.length, MIB, 'what comes before it');
    assert.equal((await cache.stats()).corrupt, 1);
    assert.deepEqual(body.missing({ start: 0, end: 2 * MIB }), [{ start: MIB, end: 2 * MIB }]);
    await fetch(body);
    await isRight(body, 0, SIZE - 1);
    await body.commit({ digests: [{ algorithm: 'sha256', hex: hashOf('sha256', BYTES) }] });
    body.release();
    assert.ok((await stored(cache, KEY))?.equals(BYTES));
  });

  test('is found by the commit, which publishes nothing until it has been fetched again', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const body = await parts(cache);
    await fetch(body);
    flip(files(disk)['body'] ?? '', 2 * MIB + 5);
    await assert.rejects(body.commit({}), { code: 'ERR_CACHE_FILTER_STORE' });
    assert.equal(await stored(cache, KEY), undefined);
    assert.deepEqual(body.missing(), [{ start: 2 * MIB, end: 3 * MIB }]);
    await fetch(body);
    await body.commit({});
    body.release();
    assert.ok((await stored(cache, KEY))?.equals(BYTES));
    assert.deepEqual(files(disk), {}, 'nothing of the parts is left');
  });
});

describe('a disk that is full', () => {
  test('ends a writer, and what is there can still be read', async (t) => {
    const path = mountTmpfs(t, 6 * MIB);
    if (path === undefined) return t.skip('mounting is not allowed');
    const disk = new Disk(t, join(path, 'cache'));
    const cache = await disk.cache();
    const body = await parts(cache);
    await fetch(body, 0, MIB);
    const filler = openSync(join(path, 'filler'), 'w');
    let code: unknown;
    try {
      for (;;) writeSync(filler, Buffer.alloc(4096));
    } catch (error) {
      code = (error as NodeJS.ErrnoException).code;
    }
    closeSync(filler);
    assert.equal(code, 'ENOSPC', 'the fault');
    const writer = body.begin({ start: MIB, end: 2 * MIB });
    const reading = Reading.of(body, { start: 0, end: 2 * MIB });
    assert.equal(await writer.write(BYTES.subarray(MIB, 2 * MIB)), false);
    assert.ok(await reading.failure());
    await isRight(body, 0, MIB);
    rmSync(join(path, 'filler'));
    body.release();
  });
});

describe('after a restart', () => {
  test('parts are there, are charged, and only what is missing has to be fetched', async (t) => {
    const disk = new Disk(t);
    const before = await disk.cache();
    const body = await parts(before);
    await fetch(body, MIB, 2 * MIB);
    body.release();
    await before.close();
    const after = await disk.cache();
    assert.ok((await after.stats()).bytes > MIB, 'charged');
    assert.equal((await after.stats()).entries, 0);
    const again = await parts(after);
    assert.deepEqual(again.missing(), [
      { start: 0, end: MIB },
      { start: 2 * MIB, end: SIZE },
    ]);
    assert.deepEqual([again.head, again.info.tags], [HEAD, ['t']]);
    await isRight(again, MIB, 2 * MIB);
    await fetch(again);
    await again.commit({});
    again.release();
    assert.ok((await stored(after, KEY))?.equals(BYTES));
    assert.deepEqual(files(disk), {});
  });

  test('parts that nobody has can be evicted', async (t) => {
    const disk = new Disk(t);
    const before = await disk.cache();
    const body = await parts(before);
    await fetch(body, 0, 2 * MIB);
    body.release();
    await before.close();
    const after = await disk.cache();
    await after.prune({ toBytes: 0 });
    assert.deepEqual(files(disk), {});
    assert.equal((await after.stats()).bytes, 0);
    assert.equal(await after.parts.open(KEY), undefined);
  });

  test('a block whose sum is damaged, or was cut off, is missing; without a sound file of sums nothing is left', async (t) => {
    for (const [position, left] of [
      [32 + 8, 1],
      [32 + 12, 1],
      [3, 0],
    ] as const) {
      const disk = new Disk(t);
      const before = await disk.cache();
      const body = await parts(before);
      await fetch(body, 0, 2 * MIB);
      body.release();
      await before.close();
      flip(files(disk)['sums'] ?? '', position);
      const after = await disk.cache();
      const again = await parts(after);
      assert.equal(again.missing()[0]?.start, left * MIB, `byte ${position} of the sums`);
      again.release();
    }
  });

  test('what a damaged claim was of is removed', async (t) => {
    const disk = new Disk(t);
    const before = await disk.cache();
    const body = await parts(before);
    await fetch(body, 0, 2 * MIB);
    body.release();
    await before.close();
    const { claim = '' } = files(disk);
    writeFileSync(claim, readFileSync(claim).subarray(0, 40));
    disk.age(claim, 60_000);
    const after = await disk.cache();
    assert.deepEqual(files(disk), {});
    assert.equal((await after.stats()).bytes, 0);
  });
});

describe('between processes', () => {
  test('parts have one owner at a time, who may be killed: what was whole is there, and right', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const child = await CacheProcess.open(t, { directory: disk.directory, logger: false });
    await child.tell('parts', KEY, SIZE);
    await child.tell('fetchParts', 0, MIB + 500, SIZE);
    const declined = await cache.parts.open(KEY, { head: HEAD, size: SIZE });
    assert.deepEqual(declined, { declined: 'busy' });
    const exited = new Promise((resolve) => child.child.once('exit', resolve));
    process.kill(child.pid ?? 0, 'SIGKILL');
    await exited;
    const body = await parts(cache);
    assert.deepEqual(body.missing(), [{ start: MIB, end: SIZE }], 'the block it was at is missing');
    await isRight(body, 0, MIB);
    await fetch(body);
    await body.commit({ digests: [{ algorithm: 'sha256', hex: hashOf('sha256', BYTES) }] });
    body.release();
    assert.ok((await stored(cache, KEY))?.equals(BYTES));
    assert.deepEqual(files(disk), {});
  });

  test('parts that another process is done with are taken over at once', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const child = await CacheProcess.open(t, { directory: disk.directory, logger: false });
    await child.tell('parts', KEY, SIZE);
    await child.tell('fetchParts', 0, 2 * MIB, SIZE);
    await child.tell('releaseParts');
    const body = await parts(cache);
    assert.deepEqual(body.missing(), [{ start: 2 * MIB, end: SIZE }]);
    await isRight(body, 0, 2 * MIB);
    body.release();
  });

  test('a purge in one process cuts off the parts of another', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const body = await parts(cache);
    await fetch(body, 0, MIB);
    const child = await CacheProcess.open(t, { directory: disk.directory, logger: false });
    await child.tell('invalidate', { tag: 't' });
    assert.equal(await cache.parts.open(KEY), undefined);
    await fetch(body);
    await assert.rejects(body.commit({}), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
    await isRight(body, 0, SIZE);
    body.release();
    assert.equal(await stored(cache, KEY), undefined);
  });

  test('parts of another process count towards the budget', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory, logger: false });
    await child.tell('parts', KEY, SIZE);
    await child.tell('fetchParts', 0, 2 * MIB, SIZE);
    const cache = await disk.cache();
    assert.ok((await cache.stats()).bytes >= 2 * MIB);
  });
});

test('the files of parts have the modes of all files, and take no more room than their blocks', async (t) => {
  const disk = new Disk(t);
  const cache = await disk.cache({ fileMode: 0o640 });
  const body = await parts(cache, 100 * MIB);
  const writer = body.begin({ start: 90 * MIB, end: 91 * MIB });
  await writer.write(bytesOf(MIB));
  writer.end();
  const { body: path = '', ...rest } = files(disk);
  assert.ok(statSync(path).blocks * 512 < 2 * MIB, 'the file has holes');
  for (const each of [path, ...Object.values(rest)]) assert.equal(statSync(each).mode & 0o777, 0o640, each);
  body.release();
});
