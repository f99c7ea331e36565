/** What lies on disk, where, and who may read it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { bytesOf, lead, opened, put, start, stored, write } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';

const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

describe('a cache directory', () => {
  test('a new one holds a tag for backup programs, and empty folders', async (t) => {
    const disk = new Disk(t);
    await disk.cache();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    assert.match(readFileSync(disk.layout.tag, 'utf8'), /^Signature: 8a477f597d28d172789f06886806bc55\n/);
    assert.deepEqual(readdirSync(join(disk.directory, 'v1')).sort(), [
      'CACHEDIR.TAG',
      'entries',
      'incomplete',
    ]);
  });

  test('an entry is a record, and a body that begins at offset 0', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const bytes = bytesOf(10_000);
    const info = await put(cache, { primary: '/a', variant: '?b' }, bytes, { tags: ['t'], storedAt: 5 });
    const name = `${sha256('/a')}-${sha256('?b').slice(0, 16)}`;
    const shard = `v1/entries/${name.slice(0, 2)}`;
    assert.deepEqual(disk.files(), [
      'v1/CACHEDIR.TAG',
      `${shard}/${name}.<fill>.body`,
      `${shard}/${name}.json`,
    ]);
    assert.ok(readFileSync(disk.bodyPath('/a', '?b')).equals(bytes));
    const { head, fill, ...rest } = disk.record('/a', '?b');
    assert.deepEqual(rest, info);
    assert.equal(head.status, 200);
    assert.match(fill, /^[0-9a-f]{16}$/);
    const { checksum, ...content } = JSON.parse(readFileSync(disk.recordPath('/a', '?b'), 'utf8'));
    assert.equal(checksum, sha256(JSON.stringify(content)), 'as documented');
    assert.equal(content.format, 1);
    const entry = await opened(cache, { primary: '/a', variant: '?b' });
    assert.equal(entry.path, disk.bodyPath('/a', '?b'));
    entry.release();
  });

  test('a running fill is a claim from the beginning, and a body once it has begun', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const leader = await lead(cache, { primary: '/a' });
    const name = sha256('/a');
    assert.deepEqual(disk.files(disk.layout.incomplete), [`v1/incomplete/${name}.<fill>.claim`]);
    const claim = () =>
      JSON.parse(readFileSync(join(disk.layout.incomplete, disk.incomplete().at(-1) ?? ''), 'utf8'));
    assert.deepEqual(claim().key, { primary: '/a' });
    assert.equal(claim().owner.pid, process.pid);
    assert.equal(claim().leads, true, 'others follow it');
    assert.equal(claim().begun, undefined, 'not known yet');
    const fill = await leader.start({ status: 200, headers: [] }, { tags: ['t'] });
    if ('declined' in fill) throw new Error(fill.declined);
    assert.deepEqual(disk.files(disk.layout.incomplete), [
      `v1/incomplete/${name}.<fill>.body`,
      `v1/incomplete/${name}.<fill>.claim`,
    ]);
    assert.deepEqual([claim().begun.tags, claim().begun.head.status], [['t'], 200]);
    await fill.commit({});
    assert.deepEqual(disk.incomplete(), []);
  });

  test('whatever ends a fill, nothing of it stays behind', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ maxBytes: 2 ** 20 });
    const key = { primary: '/a' };
    await (await lead(cache, key)).abandon();
    await (await lead(cache, key)).start({ status: 200, headers: [] }, { size: 2 ** 30 });
    await (await start(cache, key)).abort(new Error('enough'));
    const short = await start(cache, key, { size: 10 });
    await assert.rejects(short.commit({ length: 10 }));
    const doomed = await start(cache, key);
    await cache.invalidate({ key: '/a' });
    await assert.rejects(doomed.commit({}));
    const large = await start(cache, key);
    await write(large, bytesOf(2 ** 20));
    await assert.rejects(large.commit({}));
    await await cache.claim(key).then(async (claim) => claim?.role === 'leader' && claim.abandon());
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    assert.equal((await cache.stats()).bytes, 0);
  });

  test('an entry that is removed or replaced leaves nothing behind', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(10), { storedAt: 1 });
    const before = disk.files();
    await put(cache, { primary: '/a' }, bytesOf(20), { storedAt: 2, claim: { newerThan: 1 } });
    assert.deepEqual(disk.files(), before, 'one record, one body');
    await cache.invalidate({ key: '/a' });
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    await put(cache, { primary: '/a' }, bytesOf(10));
    await cache.prune({ toBytes: 0 });
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('only its owner may read it, unless the modes say otherwise', async (t) => {
    for (const modes of [{}, { fileMode: 0o640, directoryMode: 0o750 }]) {
      const disk = new Disk(t);
      const cache = await disk.cache(modes);
      await put(cache, { primary: '/a' }, bytesOf(10));
      const fill = await start(cache, { primary: '/b' });
      const { fileMode = 0o600, directoryMode = 0o700 } = modes;
      const found = readdirSync(disk.directory, { recursive: true, withFileTypes: true });
      assert.ok(found.length >= 8, 'folders, tag, record, claim, two bodies');
      for (const entry of found) {
        const expected = entry.isDirectory() ? directoryMode : fileMode;
        const { mode } = statSync(join(entry.parentPath, entry.name));
        assert.equal((mode & 0o777).toString(8), (expected & ~process.umask()).toString(8), entry.name);
      }
      await fill.abort(new Error('enough'));
    }
  });

  test('nothing is written outside of it, whatever the keys are', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    for (const [i, key] of ['../../out', '/etc/out', '..', '\0', 'C:\\out', '.'].entries()) {
      await put(cache, { primary: key, variant: key }, bytesOf(10, i));
    }
    assert.deepEqual(readdirSync(dirname(disk.directory)), ['cache']);
    assert.deepEqual(readdirSync(disk.directory), ['v1']);
    assert.equal(
      readdirSync(disk.layout.entries, { recursive: true }).filter((path) => /out|\.\./.test(String(path)))
        .length,
      0,
    );
  });

  test('what the budget counts is what lies on disk', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ maxBytes: 2 ** 20 });
    for (let i = 0; i < 30; i++) {
      const primary = `/${i}/${'k'.repeat((i * 977) % 9000)}`;
      await put(cache, { primary }, bytesOf((i * 37_813) % 2 ** 18));
      const { bytes } = await cache.stats();
      assert.equal(bytes, disk.used(), `after ${i + 1} commits`);
    }
    assert.ok(disk.used() <= 2 ** 20);
  });

  test('an entry can be read by its open file though its path has gone', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(3 * 2 ** 20));
    const entry = await opened(cache, { primary: '/a' });
    await cache.invalidate({ all: true });
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    const chunks: Buffer[] = [];
    for await (const chunk of entry.read()) chunks.push(chunk as Buffer);
    entry.release();
    assert.ok(Buffer.concat(chunks).equals(bytesOf(3 * 2 ** 20)));
    assert.equal(await stored(cache, { primary: '/a' }), undefined);
  });
});
