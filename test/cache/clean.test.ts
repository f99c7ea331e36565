/** What only takes room is removed; what somebody still writes is not. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, lead, put, start, stored, write } from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/a' };
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const FILLS = ['0123456789abcdef', 'fedcba9876543210'];

async function refused(cache: FileCache, primary: string): Promise<void> {
  const fill = await start(cache, { primary });
  await write(fill, bytesOf(10_000));
  await assert.rejects(fill.commit({ length: 1 }), { code: 'ERR_CACHE_FILTER_INTEGRITY' });
}

/** What a process that was killed left behind, so long ago: a claim and a body of 10,000 bytes. */
function leave(disk: Disk, fill: string, ms: number): string[] {
  const name = disk.layout.name('/left', undefined);
  const paths = [disk.layout.claim(name, fill), disk.layout.incompleteBody(name, fill)];
  for (const path of paths) {
    writeFileSync(path, path.endsWith('.claim') ? '{}' : bytesOf(10_000));
    disk.age(path, ms);
  }
  return paths;
}

/** A body of 10,000 bytes and its claim, on disk. */
const LEFT = { entries: 1, bytes: 4 * 4096 };

describe('clean', () => {
  test('removes what is in invalid/, and says how much that was', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10_000));
    await refused(cache, '/b');
    await refused(cache, '/c');
    const before = disk.used();
    const removed = await cache.clean();
    assert.deepEqual(removed, { entries: 2, bytes: before - disk.used() });
    assert.deepEqual(disk.invalid(), []);
    assert.ok(await stored(cache, KEY));
    const { bytes, invalid } = await cache.stats();
    assert.deepEqual([bytes, invalid], [disk.used(), { files: 0, bytes: 0 }]);
    assert.deepEqual(await cache.clean(), { entries: 0, bytes: 0 });
  });

  for (const [say, options, old, young] of [
    ['a day, unless said otherwise', undefined, 2 * DAY_MS, HOUR_MS],
    ['stalledMs', { stalledMs: HOUR_MS }, DAY_MS, HOUR_MS / 2],
  ] as const) {
    test(`removes what nobody has written to for ${say}, and spares what is younger`, async (t) => {
      const disk = new Disk(t);
      const cache = await disk.cache();
      const gone = leave(disk, FILLS[0] ?? '', old);
      const kept = leave(disk, FILLS[1] ?? '', young);
      assert.deepEqual(await cache.clean(options), LEFT);
      assert.deepEqual(gone.filter(existsSync), []);
      assert.deepEqual(kept.filter(existsSync), kept);
      assert.deepEqual(await cache.clean({ stalledMs: 0 }), LEFT, '0: whatever has no living owner');
      assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    });
  }

  test('goes by the youngest file of a fill', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const [, body = ''] = leave(disk, FILLS[0] ?? '', 2 * DAY_MS);
    disk.age(body, HOUR_MS);
    assert.deepEqual(await cache.clean(), { entries: 0, bytes: 0 });
    assert.equal(disk.incomplete().length, 2);
  });

  test('removes a body without its claim, and a claim without its body', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const name = disk.layout.name('/left', undefined);
    writeFileSync(disk.layout.incompleteBody(name, FILLS[0] ?? ''), bytesOf(10_000));
    writeFileSync(disk.layout.claim(name, FILLS[1] ?? ''), '{}');
    writeFileSync(disk.layout.gone(name, FILLS[1] ?? ''), '{}');
    for (const file of disk.incomplete()) disk.age(join(disk.layout.incomplete, file), 2 * DAY_MS);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * DAY_MS });
    assert.deepEqual(await cache.clean(), { entries: 1, bytes: 5 * 4096 });
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('never removes the files of a fill of its own, however old they look', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const fill = await start(cache, KEY);
    await write(fill, bytesOf(10_000));
    const doomed = await start(cache, { primary: '/doomed' });
    await cache.invalidate({ key: '/doomed' });
    const leader = await lead(cache, { primary: '/not yet begun' });
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10 * DAY_MS });
    const files = disk.incomplete();
    assert.equal(files.length, 4, 'two claims, two bodies');
    assert.deepEqual(await cache.clean({ stalledMs: 0 }), { entries: 0, bytes: 0 });
    assert.deepEqual(disk.incomplete(), files);
    await fill.commit({ length: 10_000 });
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(10_000)));
    await doomed.abort(new Error('enough'));
    await leader.abandon();
  });

  test('never removes the files of a slow but live download of another process', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache();
    await child.tell('start', KEY, {});
    await child.tell('write', 2 ** 20, 7);
    const [body = '', claim = ''] = disk.incomplete().map((file) => join(disk.layout.incomplete, file));
    while (statSync(body).size < 2 ** 20) await new Promise((resolve) => setImmediate(resolve));
    // Nothing has come for two days; the claim says that its owner lives.
    disk.age(body, 2 * DAY_MS);
    disk.age(claim, 2 * DAY_MS);
    const aged = statSync(claim).mtimeMs;
    while (statSync(claim).mtimeMs === aged) await new Promise((resolve) => setImmediate(resolve));
    for (const options of [{}, { stalledMs: 0 }])
      assert.deepEqual(await cache.clean(options), { entries: 0, bytes: 0 });
    assert.equal(disk.incomplete().length, 2);
    assert.equal(await child.tell('commit'), 'committed');
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(2 ** 20, 7)));
  });

  test('several at once, with prunes, in two caches: each file is counted once', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache(), await disk.cache()];
    for (let i = 0; i < 20; i++) {
      await put(one, { primary: `/${i}` }, bytesOf(10_000));
      await refused(i % 2 === 0 ? one : two, `/wrong/${i}`);
    }
    leave(disk, FILLS[0] ?? '', 2 * DAY_MS);
    const before = disk.used();
    const all = await Promise.all([
      one.clean(),
      two.clean(),
      one.clean({ stalledMs: 0 }),
      two.clean({ stalledMs: 0 }),
      two.prune({ toBytes: 2 ** 30 }),
    ]);
    assert.equal(
      all.reduce((sum, { entries }) => sum + entries, 0),
      21,
    );
    assert.equal(
      all.reduce((sum, { bytes }) => sum + bytes, 0),
      before - disk.used(),
    );
    await Promise.all([one.clean(), one.prune({ toBytes: 0 }), two.clean(), two.prune({ toBytes: 0 })]);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    for (const cache of [one, two]) {
      // What the other one was just writing is known for a second.
      for (let i = 0; i < 300 && (await cache.stats()).bytes > 0; i++)
        await new Promise((resolve) => setTimeout(resolve, 10));
      const { bytes, entries, invalid } = await cache.stats();
      assert.deepEqual([bytes, entries, invalid], [0, 0, { files: 0, bytes: 0 }]);
    }
  });

  test('leaves files with other names alone, and folders', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await refused(cache, '/a');
    for (const below of [disk.layout.incomplete, disk.layout.invalid]) {
      writeFileSync(join(below, 'notes.txt'), 'not ours');
      disk.age(join(below, 'notes.txt'), 10 * DAY_MS);
    }
    await cache.clean({ stalledMs: 0 });
    assert.deepEqual(readdirSync(disk.layout.incomplete), ['notes.txt']);
    assert.deepEqual(readdirSync(disk.layout.invalid), ['notes.txt']);
  });

  test('what is no time is refused by name, and nothing is removed', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    leave(disk, FILLS[0] ?? '', 2 * DAY_MS);
    for (const stalledMs of [-1, Number.NaN, '1d', null]) {
      await assert.rejects(cache.clean({ stalledMs: stalledMs as number }), {
        code: 'ERR_CACHE_FILTER_OPTION',
        option: 'stalledMs',
      });
    }
    assert.equal(disk.incomplete().length, 2);
  });
});
