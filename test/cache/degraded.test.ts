/** A cache that starts without its directory, and comes up when it can. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, lead, put, stored } from '../../lib/contracts/cache/steps.ts';
import type { CacheFilterEvents } from '../../lib/events.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { Disk } from './disk.ts';
import { mountTmpfs } from './limits.ts';

const KEY = { primary: '/a' };

type Health = CacheFilterEvents['cache-filter:health'];

interface Degraded {
  disk: Disk;
  cache: FileCache;
  lines: string[];
  health: Health[];
  /** How often it has been said when to try next. */
  planned: () => number;
}

/** In a directory in whose place there is a file. */
function degraded(
  t: TestContext,
  disk = new Disk(t, join(temporaryDirectory(t), 'above', 'cache')),
): Degraded {
  const health: Health[] = [];
  const listen = (event: unknown) => void health.push(event as Health);
  subscribe('cache-filter:health', listen);
  t.after(() => unsubscribe('cache-filter:health', listen));
  const planned = mockLong(t);
  // What the cache waits for keeps no process alive.
  const alive = setInterval(() => undefined, 1_000);
  t.after(() => clearInterval(alive));
  const lines: string[] = [];
  const logger = { warn: (line: string) => lines.push(line), error: (line: string) => lines.push(line) };
  const above = join(disk.directory, '..');
  if (!existsSync(above)) writeFileSync(above, 'in the way');
  const cache = disk.unscanned({ startDegraded: true, logger });
  return { disk, cache, lines, health, planned };
}

/** Only what waits for long waits for the test: who gives way to others for a millisecond does so. Returns how many have waited for long. */
function mockLong(t: TestContext): () => number {
  const real = globalThis.setTimeout;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const mocked = globalThis.setTimeout;
  let count = 0;
  globalThis.setTimeout = ((act: () => void, ms = 0) => {
    if (ms < 100) return real(act, ms);
    count++;
    return mocked(act, ms);
  }) as typeof setTimeout;
  t.after(() => {
    globalThis.setTimeout = real;
  });
  return () => count;
}

function clear({ disk }: Degraded): void {
  rmSync(join(disk.directory, '..'));
}

/** After so many milliseconds, with none of which an attempt is made. */
async function after(t: TestContext, ms: number): Promise<void> {
  t.mock.timers.tick(ms);
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** After so many milliseconds the next attempt is made, and has failed. */
async function tried(t: TestContext, ms: number, { planned }: Degraded): Promise<void> {
  const before = planned();
  t.mock.timers.tick(ms);
  while (planned() === before) await new Promise((resolve) => setImmediate(resolve));
}

async function up(each: Degraded): Promise<void> {
  while (each.health.at(-1)?.state !== 'up') await new Promise((resolve) => setImmediate(resolve));
}

describe('startDegraded', () => {
  test('without it, the constructor throws, and nothing stays behind', (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, '');
    for (const options of [{}, { startDegraded: false }])
      assert.throws(() => new Disk(t, join(file, 'cache')).unscanned(options), {
        code: 'ERR_CACHE_FILTER_DIRECTORY',
      });
    assert.throws(() => new Disk(t).unscanned({ startDegraded: 'yes' as never }), {
      option: 'startDegraded',
    });
  });

  test('a directory that can not be used declines everything, and says so', async (t) => {
    const each = degraded(t);
    const { cache, lines, health } = each;
    assert.equal(await cache.open(KEY), undefined);
    assert.deepEqual(await cache.claim(KEY), { role: 'declined', reason: 'store-down' });
    assert.equal(await cache.claim(KEY, { join: true }), undefined);
    assert.equal(await cache.invalidate({ all: true }), 0);
    assert.equal(await cache.info(KEY), undefined);
    for await (const entry of cache.list()) assert.fail(`${entry.key.primary} is listed`);
    assert.equal(await cache.pin('/a', true), 0);
    assert.equal(await cache.queue.add(KEY), false);
    for await (const { key } of cache.queue.list()) assert.fail(`${key.primary} is queued`);
    assert.equal(await cache.queue.remove({ all: true }), 0);
    assert.deepEqual(await cache.prune(), { entries: 0, bytes: 0 });
    assert.deepEqual(await cache.clean({ stalledMs: 0 }), { entries: 0, bytes: 0 });
    const { entries, bytes, fills } = await cache.stats();
    assert.deepEqual([entries, bytes, fills], [0, 0, 0]);
    assert.equal(health.length, 1);
    const [{ directory, state, error } = {} as Health] = health;
    assert.deepEqual([directory, state], [cache.directory, 'down']);
    assert.equal((error as { code?: string }).code, 'ERR_CACHE_FILTER_DIRECTORY', 'the fault');
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /ENOTDIR .* \[store-down\]$/);
  });

  test('it works as soon as it can be used', async (t) => {
    const each = degraded(t);
    const { cache, lines, disk } = each;
    clear(each);
    assert.equal(await cache.open(KEY), undefined);
    assert.equal(existsSync(disk.directory), false, 'it is not tried before its time');
    t.mock.timers.tick(1000);
    await up(each);
    await put(cache, KEY, bytesOf(1000));
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(1000)));
    assert.deepEqual(
      each.health.map(({ state }) => state),
      ['down', 'up'],
    );
    assert.match(lines[1] ?? '', /can be used now \[store-up\]$/);
    assert.equal(lines.length, 2);
    await after(t, 60_000);
    assert.equal(each.health.length, 2, 'and that is that');
  });

  test('it is tried less and less often, every 30 seconds in the end', async (t) => {
    const each = degraded(t);
    const path = join(each.disk.directory, '..');
    let waited = 0;
    // After 1, 2, 4, 8, 16, 30 and again 30 seconds.
    for (const at of [1, 3, 7, 15, 31, 61, 91]) {
      await after(t, (at - waited) * 1000 - 1);
      rmSync(path);
      assert.equal(await each.cache.open(KEY), undefined);
      writeFileSync(path, 'in the way');
      assert.equal(each.health.length, 1, `before ${at} s`);
      if (at < 91) await tried(t, 1, each);
      waited = at;
    }
    clear(each);
    t.mock.timers.tick(1);
    await up(each);
  });

  test('what is there is taken over: entries are found, and accounted for', async (t) => {
    const disk = new Disk(t, join(temporaryDirectory(t), 'above', 'cache'));
    const first = await disk.cache();
    await put(first, KEY, bytesOf(1000));
    await first.close();
    const above = join(disk.directory, '..');
    renameSync(above, `${above}-aside`);
    writeFileSync(above, 'in the way');
    const each = degraded(t, disk);
    assert.equal(await each.cache.open(KEY), undefined);
    clear(each);
    renameSync(`${above}-aside`, above);
    t.mock.timers.tick(1000);
    await up(each);
    assert.ok((await stored(each.cache, KEY))?.equals(bytesOf(1000)));
    const { entries, bytes } = await each.cache.stats();
    assert.deepEqual([entries, bytes], [1, disk.used()]);
  });

  test('what was purged meanwhile is not found afterwards', async (t) => {
    const disk = new Disk(t, join(temporaryDirectory(t), 'above', 'cache'));
    const first = await disk.cache();
    const keys = ['/key', '/prefix/a', '/tagged', '/left'];
    for (const primary of keys) await put(first, { primary }, bytesOf(10), { tags: [`tag of ${primary}`] });
    for (const primary of ['/prefix/b', '/queued']) assert.ok(await first.queue.add({ primary }));
    await first.close();
    const above = join(disk.directory, '..');
    renameSync(above, `${above}-aside`);
    writeFileSync(above, 'in the way');
    const each = degraded(t, disk);
    for (const what of [{ key: '/key' }, { prefix: '/prefix' }, { tag: 'tag of /tagged' }])
      assert.equal(await each.cache.invalidate(what), 0);
    clear(each);
    renameSync(`${above}-aside`, above);
    t.mock.timers.tick(1000);
    await up(each);
    const found = [];
    for await (const { key } of each.cache.list()) found.push(key.primary);
    assert.deepEqual(found, ['/left']);
    const queued = [];
    for await (const { key } of each.cache.queue.list()) queued.push(key.primary);
    assert.deepEqual(queued, ['/queued']);
    assert.equal(await each.cache.pin('/left', true), 1);
    assert.equal(await each.cache.queue.add({ primary: '/new' }), true);
  });

  test('of very many purges, all is purged', async (t) => {
    const disk = new Disk(t, join(temporaryDirectory(t), 'above', 'cache'));
    const first = await disk.cache();
    await put(first, KEY, bytesOf(10));
    await first.close();
    const above = join(disk.directory, '..');
    renameSync(above, `${above}-aside`);
    writeFileSync(above, 'in the way');
    const each = degraded(t, disk);
    for (let i = 0; i <= 1000; i++) await each.cache.invalidate({ key: `/${i}` });
    clear(each);
    renameSync(`${above}-aside`, above);
    t.mock.timers.tick(1000);
    await up(each);
    assert.equal(await each.cache.open(KEY), undefined);
  });

  test('closed, it tries no more', async (t) => {
    const each = degraded(t);
    await each.cache.close();
    clear(each);
    await after(t, 120_000);
    assert.equal(existsSync(each.disk.directory), false);
    assert.equal(each.health.length, 1);
    assert.deepEqual(await each.cache.claim(KEY), { role: 'declined', reason: 'closed' });
  });

  test('a directory that can be used is used at once, and nothing is said', async (t) => {
    const lines: string[] = [];
    const logger = { warn: (line: string) => lines.push(line), error: (line: string) => lines.push(line) };
    const cache = await new Disk(t).cache({ startDegraded: true, logger });
    await put(cache, KEY, bytesOf(10));
    assert.ok(await stored(cache, KEY));
    assert.deepEqual(lines, []);
  });

  test('a file system that is read-only at first is used once it is not', async (t) => {
    const path = mountTmpfs(t, 2 ** 22);
    if (path === undefined) return t.skip('mounting is not allowed here');
    assert.equal(spawnSync('mount', ['-o', 'remount,ro', path]).status, 0, 'the fault');
    const each = degraded(t, new Disk(t, join(path, 'cache')));
    assert.match(each.lines[0] ?? '', /EROFS/, 'the fault');
    assert.deepEqual(await each.cache.claim(KEY), { role: 'declined', reason: 'store-down' });
    assert.equal(spawnSync('mount', ['-o', 'remount,rw', path]).status, 0);
    t.mock.timers.tick(1000);
    await up(each);
    await (await lead(each.cache, KEY)).abandon();
    assert.deepEqual(readdirSync(join(path, 'cache')), ['v1']);
    assert.ok(readFileSync(each.disk.layout.tag).byteLength > 0);
    mkdirSync(join(path, 'writable'));
  });
});
