/** Two versions on one directory: what a newer one has stored is left alone. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Invalidation } from '../../lib/cache/cache.ts';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { seal } from '../../lib/cache/seal.ts';
import { bytesOf, lead, opened, put, start, stored, write } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/new', variant: '?b' };

const FUTURE = { format: 2, key: KEY, tags: ['t'], body: { pieces: ['one', 'two'] }, head: 'packed' };

/** What a newer version has stored: a record of its own format, and bodies. */
function newer(disk: Disk, record: object = FUTURE): string[] {
  const name = disk.layout.name(KEY.primary, KEY.variant);
  const bodies = ['0123456789abcdef', 'fedcba9876543210'].map((fill) => disk.layout.body(name, fill));
  mkdirSync(disk.layout.shard(name), { recursive: true });
  for (const body of bodies) writeFileSync(body, bytesOf(10_000));
  writeFileSync(disk.layout.record(name), seal(record));
  return [disk.layout.record(name), ...bodies];
}

class Lines {
  readonly lines: string[] = [];
  warn(line: string): void {
    this.lines.push(line);
  }
  error(line: string): void {
    this.lines.push(line);
  }
}

async function prepared(
  t: TestContext,
  record?: object,
): Promise<{ disk: Disk; cache: FileCache; files: string[]; logger: Lines }> {
  const disk = new Disk(t);
  const files = newer(disk, record);
  for (const file of files) disk.age(file, 10 * 86_400_000);
  const logger = new Lines();
  const cache = await disk.cache({ logger });
  return { disk, cache, files, logger };
}

describe('a record of a newer format', () => {
  test('is left alone, with its bodies, whatever is done; it is counted, and warned about once', async (t) => {
    const { cache, files, logger } = await prepared(t);
    const contents = () => files.map((file) => `${statSync(file).mtimeMs} ${readFileSync(file, 'base64')}`);
    const before = contents();
    assert.equal((await cache.stats()).unknown, 1, 'the scan has found it');

    assert.equal(await cache.open(KEY), undefined, 'a miss');
    assert.deepEqual(await cache.claim(KEY), { role: 'declined', reason: 'unknown-format' });
    assert.equal(await cache.info(KEY), undefined);
    const listed = [];
    for await (const { key } of cache.list()) listed.push(key);
    assert.deepEqual(listed, []);
    assert.equal(await cache.pin(KEY.primary, true), 0);
    assert.equal(await cache.queue.add(KEY), false);
    await cache.clean({ stalledMs: 0 });
    await cache.prune({ toBytes: 0 });
    assert.equal(await cache.invalidate({ key: '/other' }), 0);
    assert.equal(await cache.invalidate({ tag: 'other' }), 0);
    const stats = await cache.stats();
    assert.deepEqual(
      [stats.unknown, stats.entries, stats.corrupt, stats.bytes, stats.fills],
      [1, 0, 0, 0, 0],
    );
    assert.deepEqual(contents(), before);
    assert.equal(logger.lines.length, 1, logger.lines.join('\n'));
    assert.match(logger.lines[0] ?? '', /a newer version .* \[unknown-format\]$/);
  });

  test('that comes while the cache runs is found by open and by claim', async (t) => {
    for (const ask of ['open', 'claim'] as const) {
      const disk = new Disk(t);
      const logger = new Lines();
      const cache = await disk.cache({ logger });
      await put(cache, KEY, bytesOf(100));
      const files = [disk.bodyPath(KEY.primary, KEY.variant), ...newer(disk)];
      const found = await cache[ask](KEY);
      assert.deepEqual(found, ask === 'open' ? undefined : { role: 'declined', reason: 'unknown-format' });
      const { unknown, entries, corrupt } = await cache.stats();
      assert.deepEqual([unknown, entries, corrupt], [1, 0, 0]);
      assert.deepEqual(files.filter(existsSync), files);
      assert.equal(logger.lines.length, 1);
    }
  });

  test('that has taken the place of an entry of ours is not evicted in its stead', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(100));
    const files = newer(disk);
    assert.equal((await cache.prune({ toBytes: 0 })).entries, 1, 'our account of it goes');
    assert.deepEqual(files.filter(existsSync), files);
    assert.equal((await cache.stats()).bytes, 0);
  });

  test('that is stored while a fill of ours runs is not replaced by it', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const fill = await start(cache, KEY);
    await write(fill, bytesOf(10));
    const files = newer(disk);
    await assert.rejects(fill.commit({}), { code: 'ERR_CACHE_FILTER_SUPERSEDED' });
    assert.deepEqual(files.filter(existsSync), files);
    assert.deepEqual(disk.incomplete(), []);
  });

  test('that has gone again is a miss like any other', async (t) => {
    const { disk, cache, files } = await prepared(t);
    for (const file of files) renameSync(file, join(disk.directory, file.split('/').at(-1) ?? ''));
    await put(cache, KEY, bytesOf(10));
    assert.ok(await stored(cache, KEY));
    assert.equal((await cache.stats()).unknown, 0);
  });

  const PURGES: Invalidation[] = [{ key: '/new' }, { prefix: '/n' }, { tag: 't' }, { all: true }];
  for (const what of PURGES) {
    test(`is removed, with its bodies, by a purge of its ${Object.keys(what)}`, async (t) => {
      const { disk, cache } = await prepared(t);
      await put(cache, { primary: '/a' }, bytesOf(10));
      assert.equal(await cache.invalidate(what), 'all' in what ? 2 : 1);
      const name = disk.layout.name(KEY.primary, KEY.variant);
      assert.deepEqual(disk.files(dirname(disk.layout.record(name))), []);
      assert.equal((await cache.stats()).unknown, 0);
      await (await lead(cache, KEY)).abandon();
    });
  }

  test('that does not say its key and tags is removed by its name, or with all', async (t) => {
    for (const what of PURGES) {
      const { cache, files } = await prepared(t, { format: 7, key: 'packed', tags: { t: true } });
      const removed = 'key' in what || 'all' in what;
      assert.equal(await cache.invalidate(what), removed ? 1 : 0, JSON.stringify(what));
      assert.deepEqual(files.filter(existsSync), removed ? [] : files);
    }
  });

  test('is damaged where its seal is broken', async (t) => {
    const { disk, cache, files, logger } = await prepared(t);
    const [record = ''] = files;
    writeFileSync(record, readFileSync(record, 'utf8').replace('packed', 'Packed'));
    assert.equal(await cache.open(KEY), undefined);
    const { corrupt, unknown } = await cache.stats();
    assert.deepEqual([corrupt, unknown], [1, 0]);
    assert.deepEqual(disk.files(dirname(record)), [], 'and is dropped');
    assert.equal(logger.lines.length, 2, 'of a newer format, and damaged');
    assert.match(logger.lines[1] ?? '', /its record is damaged .* \[corrupt-entry\]$/);
  });

  test('of format 0, or of none, is damage: no version writes it', async (t) => {
    for (const format of [0, -1, 1.5, '2', null]) {
      const { cache } = await prepared(t, { ...FUTURE, format });
      const { corrupt, unknown } = await cache.stats();
      assert.deepEqual([corrupt, unknown], [1, 0], `format ${format}`);
    }
  });
});

describe('a directory of another format', () => {
  test('beside ours is never touched', async (t) => {
    const disk = new Disk(t);
    const others = ['v2', 'v0', 'v10', 'other'].map((name) => join(disk.directory, name, 'entries', 'ab'));
    const name = disk.layout.name('/a', undefined);
    for (const path of others) {
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, `${name}.0123456789abcdef.body`), bytesOf(10));
      writeFileSync(join(path, `${name}.json`), '{}');
    }
    const before = disk.files();
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(10));
    await cache.clean({ stalledMs: 0 });
    await cache.prune({ toBytes: 0 });
    await cache.invalidate({ all: true });
    assert.deepEqual(disk.files(), [...before, 'v1/CACHEDIR.TAG'].sort());
  });
});

describe('a record of ours', () => {
  test('with members that this version does not know is an entry all the same', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(1000), { tags: ['t'] });
    const path = disk.recordPath(KEY.primary, KEY.variant);
    const { checksum: _, ...content } = JSON.parse(readFileSync(path, 'utf8'));
    const later = {
      ...content,
      expiresAt: 1,
      head: { ...content.head, trailers: [['A', 'b']] },
      zstd: { level: 3 },
    };
    writeFileSync(path, seal(later));
    for (const each of [cache, await disk.cache()]) {
      const entry = await opened(each, KEY);
      assert.deepEqual(entry.info.tags, ['t']);
      entry.release();
      assert.ok((await stored(each, KEY))?.equals(bytesOf(1000)));
      assert.equal((await each.stats()).corrupt, 0);
    }
    assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')).zstd, { level: 3 }, 'it is not rewritten');
  });
});
