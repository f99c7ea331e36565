/** Bodies that came out wrong are kept for a while, so that somebody can find out why. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { FillOptions, Proof } from '../../lib/cache/cache.ts';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import {
  bytesOf,
  HEAD,
  hashOf,
  lead,
  put,
  Reading,
  start,
  stored,
  write,
} from '../../lib/contracts/cache/steps.ts';
import { IncompleteError, IntegrityError, StoreError } from '../../lib/errors.ts';
import { Disk } from './disk.ts';
import { mountTmpfs } from './limits.ts';

const KEY = { primary: '/a', variant: '?b' };
const DAY_MS = 86_400_000;

/** What one body of 10,000 bytes takes here, with its note. */
const ONE = 4 * 4096;

/** A fill whose bytes are not what `proof` says. */
async function refused(
  cache: FileCache,
  primary: string,
  bytes: Uint8Array,
  proof: Proof = { length: bytes.byteLength + 1 },
  options: FillOptions = {},
): Promise<void> {
  const fill = await start(cache, { primary }, options);
  await write(fill, bytes);
  await assert.rejects(fill.commit(proof), { code: 'ERR_CACHE_FILTER_INTEGRITY' });
}

/** The only body that is kept, and its note. */
function kept(disk: Disk): { body: Buffer; note: Record<string, unknown> } {
  const [body = '', note = '', ...more] = disk.invalid();
  assert.deepEqual(more, [], 'one body and its note');
  const read = (file: string) => readFileSync(join(disk.layout.invalid, file));
  const { checksum, ...content } = JSON.parse(String(read(note)));
  assert.equal(
    checksum,
    createHash('sha256').update(JSON.stringify(content)).digest('hex'),
    'sealed as records are',
  );
  return { body: read(body), note: content };
}

async function charged(disk: Disk, cache: FileCache, files: number): Promise<void> {
  const { bytes, invalid } = await cache.stats();
  assert.equal(invalid.files, files);
  assert.equal(disk.invalid().length, 2 * files, 'as many bodies, as many notes');
  assert.equal(bytes, disk.used(), 'what the budget counts is what lies on disk');
}

describe('a body that came out wrong', () => {
  test('with another digest, it is kept with a note of what was expected and what was found', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const bytes = bytesOf(10_000);
    const fill = await start(cache, KEY, { size: 10_000, tags: ['t'] });
    const reader = fill.reader();
    const reading = Reading.of(reader);
    await write(fill, bytes);
    const wrong = { algorithm: 'sha256', hex: hashOf('sha256', bytesOf(1)) } as const;
    const before = Date.now();
    await assert.rejects(fill.commit({ length: 10_000, digests: [wrong] }), {
      code: 'ERR_CACHE_FILTER_INTEGRITY',
    });
    assert.ok((await reading.failure()) instanceof IntegrityError, 'its reader fails all the same');
    reader.release();

    const { body, note } = kept(disk);
    assert.ok(body.equals(bytes));
    const { failedAt, why, ...rest } = note as { failedAt: number; why: { message: string; code: string } };
    assert.deepEqual(rest, {
      format: 1,
      key: KEY,
      head: HEAD,
      size: 10_000,
      digests: [{ algorithm: 'sha256', hex: hashOf('sha256', bytes) }],
      expected: { size: 10_000, digests: [wrong] },
    });
    assert.equal(why.code, 'ERR_CACHE_FILTER_INTEGRITY');
    assert.match(why.message, /the body's sha256 is \w+ where \w+ was declared/);
    assert.ok(failedAt >= before && failedAt <= Date.now());
    assert.equal(await stored(cache, KEY), undefined, 'it is no entry');
    assert.deepEqual(disk.incomplete(), []);
    await charged(disk, cache, 1);
    const name = disk.layout.name(KEY.primary, KEY.variant);
    assert.ok(disk.invalid().every((file) => file.startsWith(`${name}.`)));
  });

  test('with another length, it is kept', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await refused(cache, '/a', bytesOf(10_000), { length: 10_001 }, { size: 10_001 });
    const { body, note } = kept(disk);
    assert.equal(body.byteLength, 10_000);
    assert.deepEqual([note['size'], note['expected']], [10_000, { size: 10_001, digests: [] }]);
    await charged(disk, cache, 1);
  });

  test('that the application did not finish, it is kept as far as it came', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const fill = await start(cache, KEY, { size: 3 * 2 ** 20 });
    await write(fill, bytesOf(2 ** 20), bytesOf(2 ** 19, 2));
    const reader = fill.reader();
    const reading = Reading.of(reader);
    await reading.until(2 ** 20 + 2 ** 19);
    await fill.abort(new IncompleteError('the application did not finish its response'));
    assert.ok((await reading.failure()) instanceof IncompleteError);
    reader.release();
    const { body, note } = kept(disk);
    assert.ok(
      Buffer.concat([bytesOf(2 ** 20), bytesOf(2 ** 19, 2)])
        .subarray(0, body.byteLength)
        .equals(body),
    );
    assert.deepEqual([note['size'], note['expected']], [body.byteLength, { size: 3 * 2 ** 20, digests: [] }]);
    assert.deepEqual(note['why'], {
      message: 'ERR_CACHE_FILTER_INCOMPLETE: the application did not finish its response',
      code: 'ERR_CACHE_FILTER_INCOMPLETE',
    });
    await charged(disk, cache, 1);
  });

  test('a reader that is behind fails like the others, and nobody is served what is kept', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await refused(cache, '/a', bytesOf(10_000));
    assert.equal(await cache.open({ primary: '/a' }), undefined);
    await put(cache, { primary: '/a' }, bytesOf(10_000));
    assert.ok((await stored(cache, { primary: '/a' }))?.equals(bytesOf(10_000)));
    await charged(disk, cache, 1);
  });

  const ENDS: [string, (cache: FileCache) => Promise<void>][] = [
    [
      'it was purged meanwhile',
      async (cache) => {
        for (const wrong of [true, false]) {
          const fill = await start(cache, KEY);
          await write(fill, bytesOf(10_000));
          await cache.invalidate({ key: '/a' });
          if (wrong) await assert.rejects(fill.commit({ length: 1 }), { code: 'ERR_CACHE_FILTER_INTEGRITY' });
          else await fill.abort(new IncompleteError('stopped'));
        }
      },
    ],
    ['nothing had come', (cache) => refused(cache, '/a', Buffer.alloc(0))],
    [
      'it was given up for another reason',
      async (cache) => {
        const fill = await start(cache, KEY);
        await write(fill, bytesOf(10_000));
        await fill.abort(new StoreError('enough'));
      },
    ],
    [
      'the budget had no room for it',
      async (cache) => {
        const fill = await start(cache, KEY);
        await write(fill, bytesOf(3 * 2 ** 20));
        await assert.rejects(fill.commit({ length: 1 }), { code: 'ERR_CACHE_FILTER_INTEGRITY' });
      },
    ],
    ['it is larger than what may be kept', (cache) => refused(cache, '/a', bytesOf(2 ** 19))],
  ];
  for (const [when, ends] of ENDS) {
    test(`it is not kept where ${when}`, async (t) => {
      const disk = new Disk(t);
      const cache = await disk.cache({ maxBytes: 2 ** 21 });
      await ends(cache);
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
      const { bytes, invalid } = await cache.stats();
      assert.deepEqual([bytes, invalid], [0, { files: 0, bytes: 0 }]);
    });
  }

  test('maxInvalidBytes: 0 keeps none', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ maxInvalidBytes: 0 });
    await refused(cache, '/a', bytesOf(10_000));
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('on a disk that is full, it makes room', async (t) => {
    const path = mountTmpfs(t, 8 * 2 ** 20);
    if (path === undefined) return t.skip('mounting is not allowed here');
    const { blocks, bsize } = statfsSync(path);
    assert.ok(blocks * bsize < 16 * 2 ** 20, 'the fault: the body does not fit');
    const disk = new Disk(t, join(path, 'cache'));
    const cache = await disk.cache();
    const fill = await start(cache, KEY);
    const reader = fill.reader();
    const reading = Reading.of(reader);
    await write(fill, bytesOf(16 * 2 ** 20));
    const error: unknown = await fill.commit({ length: 1 }).catch((reason: unknown) => reason);
    assert.equal((error as { code?: string }).code, 'ERR_CACHE_FILTER_INTEGRITY');
    await reading.failure();
    reader.release();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });
});

describe('the room for invalid bodies', () => {
  test('the oldest go first when there would be more than maxInvalidBytes', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ maxInvalidBytes: 2 * ONE });
    for (const primary of ['/a', '/b', '/c']) await refused(cache, primary, bytesOf(10_000));
    const names = ['/b', '/c'].map((primary) => disk.layout.name(primary, undefined));
    assert.ok(
      disk.invalid().every((file) => names.some((name) => file.startsWith(name))),
      'the last two are left',
    );
    await charged(disk, cache, 2);
  });

  test('unless said otherwise it is 256 MiB, or an eighth of a small maxBytes', async (t) => {
    const small = await new Disk(t).cache({ maxBytes: 16 * ONE });
    for (const primary of ['/a', '/b', '/c']) await refused(small, primary, bytesOf(10_000));
    assert.deepEqual((await small.stats()).invalid, { files: 2, bytes: 2 * ONE });
  });

  test('is that of entries: they take it, oldest first, before any entry has to go', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ maxBytes: 2 ** 20, maxInvalidBytes: 2 ** 18 });
    const quarter = 2 ** 18 - 4096;
    for (const primary of ['/a', '/b', '/c']) await put(cache, { primary }, bytesOf(quarter));
    for (let i = 0; i < 8; i++) await refused(cache, `/wrong/${i}`, bytesOf(10_000, i));
    await charged(disk, cache, 8);
    await put(cache, { primary: '/d' }, bytesOf(quarter / 2));
    const { entries, evictions, invalid } = await cache.stats();
    assert.deepEqual([entries, evictions], [4, 0]);
    assert.ok(invalid.files > 0 && invalid.files < 8, `${invalid.files} are left`);
    await charged(disk, cache, invalid.files);
    await put(cache, { primary: '/e' }, bytesOf(quarter));
    await charged(disk, cache, 0);
    assert.ok((await cache.stats()).evictions > 0, 'then entries');
  });

  test('prune takes it first, and counts it', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(10_000));
    await refused(cache, '/b', bytesOf(10_000));
    const { bytes } = await cache.stats();
    assert.deepEqual(await cache.prune({ toBytes: bytes - 1 }), { entries: 0, bytes: ONE });
    await charged(disk, cache, 0);
    assert.ok(await stored(cache, { primary: '/a' }));
  });

  test('after a restart it is known', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    for (const primary of ['/a', '/b', '/c']) await refused(first, primary, bytesOf(10_000));
    await first.close();
    await charged(disk, await disk.cache(), 3);
    await charged(disk, await disk.cache({ maxInvalidBytes: ONE }), 1);
    await charged(disk, await disk.cache({ maxInvalidBytes: 0 }), 0);
  });

  for (const half of ['body', 'json']) {
    test(`after a kill that left the ${half} alone, it goes; not while somebody is moving it in`, async (t) => {
      const disk = new Disk(t);
      const first = await disk.cache();
      for (const primary of ['/a', '/b']) await refused(first, primary, bytesOf(10_000));
      await first.close();
      const gone = disk.invalid().find((file) => !file.endsWith(half)) ?? '';
      rmSync(join(disk.layout.invalid, gone));
      const claim = join(disk.layout.incomplete, gone.replace(/json$/, 'claim'));
      if (half === 'body') {
        writeFileSync(claim, '{}');
        await disk.cache();
        assert.equal(disk.invalid().length, 3, 'its claim is alive');
        disk.age(claim, 60_000);
      }
      await charged(disk, await disk.cache(), 1);
    });
  }

  test('what is more than a day old goes, by itself', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() });
    const disk = new Disk(t);
    const cache = await disk.cache();
    await refused(cache, '/b', bytesOf(10_000));
    for (const file of disk.invalid()) disk.age(join(disk.layout.invalid, file), 2 * DAY_MS);
    await refused(cache, '/c', bytesOf(10_000));
    for (const file of disk.invalid().filter((each) => each.startsWith(disk.layout.name('/c', undefined))))
      disk.age(join(disk.layout.invalid, file), 1000);
    t.mock.timers.tick(600_000);
    while (disk.invalid().length > 2) await new Promise((resolve) => setImmediate(resolve));
    await charged(disk, cache, 1);
    assert.ok(disk.invalid()[0]?.startsWith(disk.layout.name('/c', undefined)));
  });

  test('what another process takes away is no trouble', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ maxInvalidBytes: 2 * ONE });
    for (const primary of ['/a', '/b']) await refused(cache, primary, bytesOf(10_000));
    rmSync(disk.layout.invalid, { recursive: true });
    for (const primary of ['/c', '/d']) await refused(cache, primary, bytesOf(10_000));
    await charged(disk, cache, 2);
    rmSync(disk.layout.invalid, { recursive: true });
    assert.deepEqual(await cache.clean(), { entries: 0, bytes: 0 });
    await charged(disk, cache, 0);
    await refused(cache, '/e', bytesOf(10_000));
    await charged(disk, cache, 1);
  });

  test('with a file in its way, nothing is kept and nothing is left behind', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    writeFileSync(disk.layout.invalid, 'in the way');
    await refused(cache, '/a', bytesOf(10_000));
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG', 'v1/invalid']);
    assert.equal((await cache.stats()).bytes, 0);
    await (await lead(cache, { primary: '/a' })).abandon();
  });

  test('files of others in it are left alone', async (t: TestContext) => {
    const disk = new Disk(t);
    mkdirSync(disk.layout.invalid, { recursive: true });
    writeFileSync(join(disk.layout.invalid, 'notes.txt'), 'not ours');
    const cache = await disk.cache({ maxInvalidBytes: 0 });
    await cache.clean({ stalledMs: 0 });
    assert.deepEqual(readdirSync(disk.layout.invalid), ['notes.txt']);
  });
});
