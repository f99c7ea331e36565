/** `verify()` of a cache on disk: beside everything else, and what it mends. */
import assert from 'node:assert/strict';
import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import type { Verified, VerifyOptions } from '../../lib/cache/cache.ts';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, opened, put, settled, stored } from '../../lib/contracts/cache/steps.ts';
import { filtered } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { Disk } from './disk.ts';
import { eventually, onLinux, openBodies } from './hot.ts';

const MIB = 2 ** 20;

const workers: Worker[] = [];
subscribe('worker_threads', (message) => workers.push((message as { worker: Worker }).worker));

function invert(path: string, position: number): void {
  const bytes = readFileSync(path);
  bytes[position] = ~(bytes[position] ?? 0);
  writeFileSync(path, bytes);
}

async function all(cache: FileCache, options?: VerifyOptions): Promise<Record<string, Verified>> {
  const found: Record<string, Verified> = {};
  for await (const verified of cache.verify(options)) found[verified.key.primary] = verified;
  return found;
}

async function filled(t: TestContext): Promise<{ disk: Disk; cache: FileCache }> {
  const disk = new Disk(t);
  const cache = await disk.cache();
  for (const [primary, size] of Object.entries({ '/a': 3 * MIB + 1, '/b': 2 * MIB, '/c': 1000, '/d': 0 }))
    await put(cache, { primary }, bytesOf(size));
  return { disk, cache };
}

describe('verify() of a directory', () => {
  test('whatever is wrong with a body is found, said, and dropped', async (t) => {
    for (const [why, inflict] of [
      ['its body is not what was stored', (disk: Disk) => invert(disk.bodyPath('/a'), 3 * MIB)],
      [
        `its body has ${3 * MIB} of ${3 * MIB + 1} bytes`,
        (disk: Disk) => truncateSync(disk.bodyPath('/a'), 3 * MIB),
      ],
      [
        `its body has ${3 * MIB + 2} of ${3 * MIB + 1} bytes`,
        (disk: Disk) => appendFileSync(disk.bodyPath('/a'), 'x'),
      ],
      ['its body is missing', (disk: Disk) => rmSync(disk.bodyPath('/a'))],
    ] as const) {
      const { disk, cache } = await filled(t);
      const events = heard(t, 'cache-filter:corrupt');
      inflict(disk);
      const found = await all(cache);
      assert.deepEqual(Object.keys(found).sort(), ['/a', '/b', '/c', '/d']);
      assert.deepEqual([found['/a']?.ok, found['/a']?.why], [false, why]);
      assert.ok(['/b', '/c', '/d'].every((primary) => found[primary]?.ok));
      const { entries, corrupt, bytes } = await cache.stats();
      assert.deepEqual([entries, corrupt, bytes], [3, 1, disk.used()]);
      assert.equal(events.at(-1)?.why, why);
      assert.equal(await cache.open({ primary: '/a' }), undefined);
    }
  });

  test('a record that is damaged is dropped and counted; of what it was nobody can say', async (t) => {
    const { disk, cache } = await filled(t);
    invert(disk.recordPath('/c'), 20);
    assert.deepEqual(Object.keys(await all(cache)).sort(), ['/a', '/b', '/d']);
    assert.equal((await cache.stats()).corrupt, 1);
    assert.equal(existsSync(disk.recordPath('/c')), false);
    assert.equal((await cache.stats()).bytes, disk.used());
  });

  test('checksums that are missing or wrong are written anew', async (t) => {
    const { disk, cache } = await filled(t);
    const before = ['/a', '/b'].map((primary) => readFileSync(disk.blocksPath(primary)));
    rmSync(disk.blocksPath('/a'));
    invert(disk.blocksPath('/b'), 33);
    assert.ok(Object.values(await all(cache)).every(({ ok }) => ok));
    for (const [i, primary] of ['/a', '/b'].entries())
      assert.ok(readFileSync(disk.blocksPath(primary)).equals(before[i] ?? Buffer.alloc(0)), primary);
    assert.equal(existsSync(disk.blocksPath('/c')), false);
  });

  test('an entry is held while it is looked at', onLinux, async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(3 * MIB));
    const controller = new AbortController();
    const going = cache.verify({ maxBytesPerSecond: 1, signal: controller.signal })[Symbol.asyncIterator]();
    await eventually(() => openBodies(disk).length === 0, 'the fill has closed its file');
    const next = going.next();
    await eventually(() => openBodies(disk).length === 1, 'it is looked at');
    assert.deepEqual(await cache.prune({ toBytes: 0 }), { entries: 0, bytes: 0 });
    controller.abort();
    await assert.rejects(next, { name: 'AbortError' });
    assert.equal((await cache.prune({ toBytes: 0 })).entries, 1);
    assert.deepEqual(openBodies(disk), [], 'nothing is left open');
  });

  test('what is purged while it is looked at is passed over', onLinux, async (t) => {
    const { disk, cache } = await filled(t);
    for (const primary of ['/b', '/c', '/d']) await cache.invalidate({ key: primary });
    await eventually(() => openBodies(disk).length === 0, 'the fills have closed their files');
    const going = cache.verify({ maxBytesPerSecond: 2 * MIB });
    const next = going.next();
    await eventually(() => openBodies(disk).length === 1, 'it is looked at');
    await cache.invalidate({ all: true });
    assert.deepEqual(await settled(next, 'the end'), { done: true, value: undefined });
    assert.equal((await cache.stats()).corrupt, 0);
  });

  test('what it has looked at need not be checked again', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(3 * MIB));
    await new Promise((resolve) => setTimeout(resolve, 150));
    const before = await opened(cache, { primary: '/a' });
    assert.notEqual(before.prepare?.(), undefined, 'something to check');
    before.release();
    await all(cache);
    const after = await opened(cache, { primary: '/a' });
    assert.equal(after.prepare?.({ start: MIB, end: 3 * MIB }), undefined);
    after.release();
  });

  test('with `verify: size` as well it looks at all there is', async (t) => {
    const { disk, cache } = await filled(t);
    await cache.close();
    invert(disk.bodyPath('/b'), 5);
    const second = await disk.cache({ verify: 'size' });
    assert.ok(await stored(second, { primary: '/b' }), 'served as it is');
    assert.equal((await all(second))['/b']?.ok, false);
  });

  test('the filter hands it on', async (t) => {
    const { disk, cache } = await filled(t);
    invert(disk.bodyPath('/c'), 5);
    const { filter } = await filtered(t, { cache });
    const wrong: string[] = [];
    for await (const { key, ok } of filter.verify({ maxBytesPerSecond: 2 ** 40 }))
      if (!ok) wrong.push(key.primary);
    assert.deepEqual(wrong, ['/c']);
  });

  test('it reads and hashes in the verification thread', async (t) => {
    const cache = await new Disk(t).cache();
    await put(cache, { primary: '/large' }, bytesOf(48 * MIB));
    const worker = workers[0] ?? assert.fail('the fill has started it');
    const before = worker.performance.eventLoopUtilization();
    assert.ok((await all(cache))['/large']?.ok);
    const { active } = worker.performance.eventLoopUtilization(before);
    assert.ok(active > 10, `it worked for ${active} ms`);
    assert.equal(workers.length, 1);
  });
});
