/** What is checked of a stored body on its way out, and when. */
import assert from 'node:assert/strict';
import fs, {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { describe, type TestContext, test } from 'node:test';
import type { FileCache, FileCacheOptions } from '../../lib/cache/file-cache.ts';
import { bytesOf, opened, put, Reading, settled } from '../../lib/contracts/cache/steps.ts';
import type { ByteRange } from '../../lib/http/body.ts';
import { heard } from '../support/heard.ts';
import { Disk } from './disk.ts';

const MIB = 2 ** 20;
const KEY = { primary: '/a' };

/** What the cache reads of bodies, by what `fs.read` is told; and what it is told of files, where a test lies to it. */
const reads: { fd: number; position: number; length: number }[] = [];
let unchanged: ((stat: fs.Stats) => fs.Stats) | undefined;
let failing: ((fd: number) => boolean) | undefined;
let faults = 0;
const { read, fstatSync } = fs;
fs.read = ((fd: number, ...rest: unknown[]) => {
  const [, , length, position, callback] = rest as [unknown, unknown, number, number, (e: Error) => void];
  reads.push({ fd, position, length });
  if (failing?.(fd)) {
    faults++;
    callback(Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }));
    return;
  }
  Reflect.apply(read, fs, [fd, ...rest]);
}) as typeof read;
fs.fstatSync = ((fd: number) => {
  const stat = fstatSync(fd);
  return unchanged === undefined ? stat : unchanged(stat);
}) as typeof fstatSync;
syncBuiltinESMExports();

/** Changes one bit of a file, and nothing else about it that can be helped. */
function flip(path: string, position: number): void {
  const { atime, mtime } = statSync(path);
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, position);
  byte[0] = (byte[0] ?? 0) ^ 4;
  writeSync(file, byte, 0, 1, position);
  closeSync(file);
  utimesSync(path, atime, mtime);
}

/** Long enough that a write is sure to show in what `stat` says. */
async function quiet(path: string): Promise<void> {
  const { ctimeMs } = statSync(path);
  while (Date.now() - ctimeMs < 150) await new Promise((resolve) => setTimeout(resolve, 10));
}

interface Prepared {
  disk: Disk;
  cache: FileCache;
  bytes: Buffer;
  body: string;
}

async function prepared(
  t: TestContext,
  size: number,
  options: Omit<FileCacheOptions, 'directory'> = {},
): Promise<Prepared> {
  const disk = new Disk(t);
  const cache = await disk.cache({ memory: { maxEntryBytes: 0 }, ...options });
  const bytes = bytesOf(size);
  await put(cache, KEY, bytes);
  const body = disk.bodyPath('/a');
  await quiet(body);
  return { disk, cache, bytes, body };
}

const WAYS: [string, (cache: FileCache, range?: ByteRange) => Promise<Buffer>][] = [
  [
    'read',
    async (cache, range) => {
      const entry = await opened(cache, KEY);
      try {
        return await new Reading(entry.read(range)).whole();
      } finally {
        entry.release();
      }
    },
  ],
  [
    'poured',
    async (cache, range) => {
      const entry = await opened(cache, KEY);
      const pieces: Buffer[] = [];
      try {
        await settled(
          Promise.resolve(entry.pour?.(range, async (piece) => void pieces.push(Buffer.from(piece)))),
          'pour',
        );
        return Buffer.concat(pieces);
      } finally {
        entry.release();
      }
    },
  ],
];
const [[, whole]] = WAYS as [(typeof WAYS)[0]];

/** Bytes that were read of bodies meanwhile. */
async function costOf(reading: () => Promise<unknown>): Promise<number> {
  reads.length = 0;
  await reading();
  return reads.reduce((sum, { length }) => sum + length, 0);
}

describe('a stored body on its way out', () => {
  for (const [way, get] of WAYS) {
    test(`${way}, each block is checked once, and read once`, async (t) => {
      const { cache, bytes } = await prepared(t, 5 * MIB + 7);
      assert.equal(
        await costOf(() => get(cache, { start: 2 * MIB + 5, end: 2 * MIB + 6 })),
        MIB,
        'one block',
      );
      assert.equal(await costOf(() => get(cache, { start: 2 * MIB + 5, end: 2 * MIB + 6 })), 1, 'known');
      const cold = await costOf(async () => assert.ok((await get(cache)).equals(bytes)));
      assert.equal(cold, bytes.length, 'those that are not known yet, and the one that is');
      const warm = await costOf(async () => assert.ok((await get(cache)).equals(bytes)));
      assert.equal(warm, bytes.length);
      assert.ok(
        reads.every(({ length }) => length <= MIB / 2),
        'as if there were nothing to check',
      );
    });

    test(`${way}, any range comes out as it was stored, checked or not`, async (t) => {
      const { cache, bytes } = await prepared(t, 3 * MIB + 100);
      for (const verify of ['first', 'always'] as const) {
        const other = await new Disk(t, cache.directory).cache({ verify, memory: false });
        for (const [start, end] of [
          [MIB - 1, MIB + 1],
          [3 * MIB + 99, 3 * MIB + 100],
          [5, 2 * MIB + 600_000],
          [0, 1],
          [2 * MIB, 3 * MIB],
          [7, 7],
          [0, bytes.length],
        ] as const) {
          const came = await get(other, { start, end });
          assert.ok(came.equals(bytes.subarray(start, end)), `${verify}: ${start} to ${end}`);
        }
      }
    });

    test(`${way}, a block that is not what was stored does not leave, and the entry goes`, async (t) => {
      for (const at of [0, MIB + 5, 3 * MIB + 99]) {
        const { disk, cache, bytes, body } = await prepared(t, 3 * MIB + 100);
        const events = heard(t, 'cache-filter:corrupt');
        await get(cache);
        flip(body, at);
        const entry = await opened(cache, KEY);
        const reading = new Reading(entry.read());
        const failure = await reading.failure();
        assert.equal((failure as { code?: unknown } | undefined)?.code, 'ERR_CACHE_FILTER_STORE');
        const good = at - (at % MIB);
        assert.equal(reading.length, good, 'what comes before it');
        assert.ok(reading.bytes.equals(bytes.subarray(0, good)));
        entry.release();
        assert.equal(await cache.open(KEY), undefined);
        assert.equal((await cache.stats()).corrupt, 1);
        assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
        const [event, ...more] = events.filter(({ directory }) => directory === disk.directory);
        assert.deepEqual(event, {
          directory: disk.directory,
          key: KEY,
          why: 'its body is not what was stored',
        });
        assert.deepEqual(more, []);
      }
    });

    test(`${way}, a body of one block is checked against its SHA-256`, async (t) => {
      for (const size of [1, 4095, MIB - 1, MIB]) {
        const { cache, bytes, body } = await prepared(t, size);
        assert.ok((await get(cache)).equals(bytes));
        flip(body, size - 1);
        await assert.rejects(get(cache, { start: 0, end: 1 }), { code: 'ERR_CACHE_FILTER_STORE' });
        assert.equal(await cache.open(KEY), undefined, `${size} bytes`);
      }
    });

    test(`${way}, a disk that can not be read fails the reader, and the entry goes`, async (t) => {
      const { cache } = await prepared(t, 3 * MIB);
      await get(cache, { start: 0, end: MIB });
      const before = faults;
      failing = () => true;
      t.after(() => {
        failing = undefined;
      });
      const events = heard(t, 'cache-filter:corrupt');
      for (const range of [
        { start: 5, end: 6 },
        { start: 2 * MIB, end: 2 * MIB + 1 },
      ]) {
        failing = () => true;
        await assert.rejects(get(cache, range), { code: 'ERR_CACHE_FILTER_STORE' });
        failing = undefined;
        assert.equal(await cache.open(KEY), undefined);
        await put(cache, KEY, bytesOf(3 * MIB));
      }
      assert.equal(faults - before, 2, 'the fault');
      assert.deepEqual(
        events.map(({ why }) => why),
        Array(2).fill('its body could not be read: EIO'),
      );
    });

    test(`${way}, what was unlinked meanwhile comes to its end`, async (t) => {
      const { cache, bytes } = await prepared(t, 5 * MIB);
      const known = await opened(cache, KEY);
      const reading = new Reading(known.read());
      await reading.until(1);
      reading.stream.pause();
      const begun = await opened(cache, KEY);
      await begun.prepare?.();
      const fresh = await opened(cache, KEY);
      await cache.invalidate({ all: true });
      assert.equal(existsSync(known.path ?? ''), false);
      reading.stream.resume();
      assert.ok((await reading.whole()).equals(bytes));
      assert.ok((await new Reading(begun.read()).whole()).equals(bytes));
      assert.ok((await new Reading(fresh.read()).whole()).equals(bytes));
      for (const entry of [known, begun, fresh]) entry.release();
      assert.equal((await cache.stats()).corrupt, 0);
    });
  }

  test('what comes first is checked before anything is promised, and read once all the same', async (t) => {
    const { cache, bytes, body } = await prepared(t, 3 * MIB);
    const entry = await opened(cache, KEY);
    const cost = await costOf(async () => {
      await entry.prepare?.({ start: MIB + 5, end: 2 * MIB + 7 });
      const reading = Reading.of(entry, { start: MIB + 5, end: 2 * MIB + 7 });
      assert.ok((await reading.whole()).equals(bytes.subarray(MIB + 5, 2 * MIB + 7)));
    });
    assert.equal(cost, 2 * MIB);
    assert.equal(entry.prepare?.({ start: MIB, end: 3 * MIB }), undefined, 'nothing to wait for');
    entry.release();
    flip(body, 2 * MIB);
    const damaged = await opened(cache, KEY);
    await damaged.prepare?.({ start: 0, end: 3 * MIB });
    await assert.rejects(damaged.prepare?.({ start: 2 * MIB + 5, end: 3 * MIB }) ?? Promise.resolve(), {
      code: 'ERR_CACHE_FILTER_STORE',
    });
    assert.equal(await cache.open(KEY), undefined, 'it has gone by then');
    damaged.release();
  });

  test('what is written to under its reader does not get out, though it was known to be good', async (t) => {
    const { cache, bytes, body } = await prepared(t, 8 * MIB);
    assert.ok((await whole(cache)).equals(bytes));
    const entry = await opened(cache, KEY);
    const reading = new Reading(entry.read());
    await reading.until(1);
    reading.stream.pause();
    flip(body, 7 * MIB + 5);
    reading.stream.resume();
    assert.ok(await reading.failure());
    assert.ok(reading.length <= 7 * MIB, `${reading.length} bytes`);
    assert.ok(reading.bytes.equals(bytes.subarray(0, reading.length)));
    entry.release();
  });

  test('a body that is only touched is checked again, and served', async (t) => {
    const { cache, bytes, body } = await prepared(t, 3 * MIB);
    await whole(cache);
    utimesSync(body, new Date(), new Date(5_000));
    const checked = await costOf(async () => assert.ok((await whole(cache)).equals(bytes)));
    assert.equal(checked, bytes.length);
    assert.ok(
      reads.some(({ length }) => length === MIB),
      'in blocks',
    );
    assert.equal((await cache.stats()).corrupt, 0);
  });

  test('a change that leaves no trace is found always with `always`, with `first` after a restart, with `size` never', async (t) => {
    for (const verify of ['always', 'first', 'size'] as const) {
      const { disk, cache, bytes, body } = await prepared(t, 3 * MIB, { verify });
      assert.ok((await whole(cache)).equals(bytes));
      const { ctimeMs, mtimeMs, ino } = statSync(body);
      flip(body, 2 * MIB);
      assert.notEqual(statSync(body).ctimeMs, ctimeMs, 'what would tell');
      unchanged = (stat) => (stat.ino === ino ? Object.assign(stat, { ctimeMs, mtimeMs }) : stat);
      t.after(() => {
        unchanged = undefined;
      });
      const wrong = Buffer.from(bytes);
      wrong[2 * MIB] = (wrong[2 * MIB] ?? 0) ^ 4;
      if (verify === 'always') await assert.rejects(whole(cache), { code: 'ERR_CACHE_FILTER_STORE' });
      else assert.ok((await whole(cache)).equals(wrong), `${verify}: nobody has looked`);
      await cache.close();
      const after = await disk.cache({ verify, memory: { maxEntryBytes: 0 } });
      if (verify === 'always') assert.equal(await after.open(KEY), undefined);
      else if (verify === 'first') await assert.rejects(whole(after), { code: 'ERR_CACHE_FILTER_STORE' });
      else assert.ok((await whole(after)).equals(wrong));
      unchanged = undefined;
    }
  });

  test('with `size` nothing is read but what goes out, and a file of another size is none', async (t) => {
    const { cache, bytes, body } = await prepared(t, 3 * MIB, { verify: 'size' });
    const cost = await costOf(() => whole(cache, { start: MIB, end: MIB + 5 }));
    assert.equal(cost, 5);
    assert.ok((await whole(cache)).equals(bytes));
    appendFileSync(body, 'x');
    assert.equal(await cache.open(KEY), undefined);
    assert.equal((await cache.stats()).corrupt, 1);
  });

  test('what was checked within the same tick as a change is checked again', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ memory: { maxEntryBytes: 0 } });
    await put(cache, KEY, bytesOf(2 * MIB));
    const { ctimeMs } = statSync(disk.bodyPath('/a'));
    unchanged = (stat) => Object.assign(stat, { ctimeMs: Date.now() });
    t.after(() => {
      unchanged = undefined;
    });
    await whole(cache);
    unchanged = undefined;
    assert.ok(ctimeMs < Date.now());
    await whole(cache);
    assert.ok(
      reads.some(({ length }) => length === MIB),
      'in blocks',
    );
  });
});

describe('a body without checksums that can be relied on', () => {
  const damages: [string, (path: string, other: string) => void][] = [
    ['missing, as an earlier version has left it', (path) => rmSync(path)],
    ['empty', (path) => truncateSync(path, 0)],
    ['cut short', (path) => truncateSync(path, 33)],
    ['with a bit changed', (path) => flip(path, 40)],
    ['of another body', (path, other) => copyFileSync(other, path)],
  ];
  for (const [damage, inflict] of damages) {
    test(`${damage}: it is verified whole, once, and they are written anew`, async (t) => {
      const { disk, cache, bytes } = await prepared(t, 3 * MIB + 1, { fileMode: 0o640 });
      const path = disk.blocksPath('/a');
      const before = readFileSync(path);
      await put(cache, { primary: '/other' }, bytesOf(4 * MIB + 1));
      await cache.close();
      inflict(path, disk.blocksPath('/other'));
      const second = await disk.cache({ memory: { maxEntryBytes: 0 }, fileMode: 0o640 });
      const readings = await Promise.all(Array.from({ length: 4 }, () => whole(second)));
      for (const reading of readings) assert.ok(reading.equals(bytes));
      assert.ok(readFileSync(path).equals(before), 'written anew');
      assert.equal(statSync(path).mode & 0o777, 0o640);
      assert.equal((await second.stats()).corrupt, 0);
      assert.equal((await second.stats()).bytes, disk.used());
    });
  }

  test('where the body is not what was stored, it is not served, and the entry goes', async (t) => {
    const { disk, cache, body } = await prepared(t, 3 * MIB);
    await cache.close();
    rmSync(disk.blocksPath('/a'));
    flip(body, 3 * MIB - 1);
    const second = await disk.cache({ memory: { maxEntryBytes: 0 } });
    const entries = await Promise.all([opened(second, KEY), opened(second, KEY)]);
    await Promise.all(
      entries.map((entry) =>
        assert.rejects(entry.prepare?.({ start: 0, end: 1 }) ?? Promise.resolve(), {
          code: 'ERR_CACHE_FILTER_STORE',
        }),
      ),
    );
    for (const entry of entries) entry.release();
    assert.equal(await second.open(KEY), undefined);
    assert.equal((await second.stats()).corrupt, 1, 'counted once');
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('of one that is purged meanwhile none are left', async (t) => {
    const { disk, cache, bytes } = await prepared(t, 3 * MIB);
    writeFileSync(disk.blocksPath('/a'), 'damaged');
    const entry = await opened(cache, KEY);
    await cache.invalidate({ key: '/a' });
    assert.ok((await Reading.of(entry).whole()).equals(bytes));
    entry.release();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });
});
