/** A directory that can't be used is refused at once, and the message says what is wrong. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, lead, put, stored } from '../../lib/contracts/cache/steps.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { Disk } from './disk.ts';
import { mountTmpfs } from './limits.ts';

function refused(directory: string, code: string, user = userInfo().username): void {
  assert.throws(
    () => new FileCache({ directory }),
    (error: Error & { code?: string; directory?: string }) => {
      assert.equal(error.name, 'DirectoryError');
      assert.equal(error.code, 'ERR_CACHE_FILTER_DIRECTORY');
      assert.equal(error.directory, directory);
      assert.ok(error.message.includes(directory), error.message);
      assert.ok(error.message.includes(`${code} on ${directory}`), `${code}: ${error.message}`);
      assert.ok(error.message.includes(`user ${user}`), error.message);
      assert.equal((error.cause as NodeJS.ErrnoException).code, code);
      return true;
    },
  );
}

describe('the directory', () => {
  test('it is created, with all that lies above it', async (t) => {
    const disk = new Disk(t, join(temporaryDirectory(t), 'a', 'b', 'c'));
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(10));
    assert.ok(await stored(cache, { primary: '/a' }));
  });

  test('a relative path is taken from where the process was started', async (t) => {
    const directory = temporaryDirectory(t);
    const cache = new FileCache({ directory: relative(process.cwd(), directory) });
    t.after(() => cache.close());
    assert.equal(cache.directory, directory);
  });

  test('a file in its place, or above it, is refused', (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, '');
    refused(file, 'ENOTDIR');
    refused(join(file, 'below'), 'ENOTDIR');
  });

  test('a file in the place of one of its folders is refused', (t) => {
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'v1'));
    writeFileSync(join(directory, 'v1', 'entries'), '');
    refused(directory, 'EEXIST');
  });

  test('a file system that takes no files is refused', (t) => {
    if (process.platform !== 'linux') return t.skip('there is no /proc');
    refused('/proc/cache-filter', 'ENOENT');
  });

  test('a read-only file system is refused', (t) => {
    const path = mountTmpfs(t, 2 ** 20);
    if (path === undefined) return t.skip('mounting is not allowed here');
    assert.equal(spawnSync('mount', ['-o', 'remount,ro', path]).status, 0, 'the fault');
    refused(join(path, 'cache'), 'EROFS');
  });

  test('a directory of somebody else is refused, naming the user', (t) => {
    const directory = temporaryDirectory(t);
    chmodSync(directory, 0o500);
    const { seteuid } = process;
    if (process.getuid?.() !== 0 || seteuid === undefined) return refused(directory, 'EACCES');
    // Permissions don't bind root. In a container, a user may have no name.
    for (const user of ['nobody', 54_321]) {
      seteuid(user);
      try {
        refused(directory, 'EACCES', String(user));
      } finally {
        seteuid(0);
      }
    }
  });

  test('options that are no path, or no number of bytes, are refused by name', (t) => {
    const directory = temporaryDirectory(t);
    const options: [string, object][] = [
      ['directory', {}],
      ['directory', { directory: '' }],
      ['directory', { directory: 7 }],
      ['maxBytes', { directory, maxBytes: '100GB' }],
      ['maxBytes', { directory, maxBytes: -1 }],
      ['maxBytes', { directory, maxBytes: 0.5 }],
      ['maxEntryBytes', { directory, maxEntryBytes: Number.NaN }],
    ];
    for (const [option, given] of options) {
      assert.throws(
        () => new FileCache(given as never),
        { code: 'ERR_CACHE_FILTER_OPTION', option },
        JSON.stringify(given),
      );
    }
  });

  test('unless said otherwise it may hold 10 GiB, and a body half of that', async (t) => {
    const { maxBytes, maxEntryBytes } = await new Disk(t).cache();
    assert.deepEqual([maxBytes, maxEntryBytes], [10 * 2 ** 30, 5 * 2 ** 30]);
  });

  test('taken away under a running cache, it is a miss and a decline', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(10));
    rmSync(disk.directory, { recursive: true });
    assert.equal(await cache.open({ primary: '/a' }), undefined);
    assert.deepEqual(await cache.claim({ primary: '/a' }), { role: 'declined', reason: 'store-down' });
    assert.equal(await cache.invalidate({ all: true }), 0);
  });

  test('with one of its folders taken away, a purge is a purge all the same', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(10));
    rmSync(disk.layout.incomplete, { recursive: true });
    assert.equal(await cache.invalidate({ key: '/a' }), 1);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    assert.equal((await cache.stats()).entries, 0);
  });

  test('taken away between the claim and the start, the body is declined', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const leader = await lead(cache, { primary: '/a' });
    rmSync(disk.directory, { recursive: true });
    assert.deepEqual(await leader.start({ status: 200, headers: [] }), { declined: 'store-down' });
    const { bytes, fills } = await cache.stats();
    assert.deepEqual([bytes, fills], [0, 0]);
  });
});
