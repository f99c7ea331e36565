/** The doctor on real file systems: what it finds out, and that it leaves no trace. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CHECKS, diagnose } from '../../../lib/cli/doctor/diagnose.ts';
import { bytesOf, put } from '../../../lib/contracts/cache/steps.ts';
import { CacheProcess } from '../../cache/cache-process.ts';
import { Disk } from '../../cache/disk.ts';
import { mountTmpfs } from '../../cache/limits.ts';
import { temporaryDirectory } from '../../support/directory.ts';
import { examined, found, looked, sound } from './examined.ts';

const GIB = 2 ** 30;

describe('a directory that is fit', () => {
  test('every check is made, in order', async (t) => {
    const directory = temporaryDirectory(t);
    const diagnosis = await examined(directory);
    assert.deepEqual(
      diagnosis.checks.map(({ name }) => name),
      CHECKS,
    );
    assert.deepEqual(diagnosis.skipped, []);
    assert.equal(diagnosis.directory, directory);
    assert.equal(diagnosis.user, userInfo().username);
    sound(diagnosis);
    found(diagnosis, 'writable', 'ok', new RegExp(`^by ${diagnosis.user}$`));
    found(diagnosis, 'contents', 'ok', /^empty$/);
    found(diagnosis, 'place', 'warn', /temporary/);
    const failed = diagnosis.checks.some(({ status }) => status === 'fail');
    assert.equal(diagnosis.verdict, failed ? 'unfit' : 'fit');
  });

  test('a missing one is created for the checks, with what is missing above it, and removed again', async (t) => {
    const above = temporaryDirectory(t);
    const diagnosis = await examined(join(above, 'a', 'b', 'c'), undefined, above);
    found(diagnosis, 'directory', 'ok', /missing/);
    found(diagnosis, 'writable', 'ok', /created for the checks/);
    sound(diagnosis);
    assert.deepEqual(readdirSync(above), []);
  });

  test('one that others may write to is warned of', async (t) => {
    const directory = temporaryDirectory(t);
    chmodSync(directory, 0o777);
    found(await examined(directory), 'directory', 'warn', /mode 0777/);
  });

  test('it may be a symbolic link: where it leads is what counts', async (t) => {
    const above = temporaryDirectory(t);
    const [real, link] = [join(above, 'real'), join(above, 'link')];
    mkdirSync(real);
    symlinkSync(real, link);
    const diagnosis = await examined(link, undefined, above);
    found(diagnosis, 'directory', 'ok', /really .*real/);
    sound(diagnosis);
  });
});

describe('a directory that is not fit', () => {
  test('a file in its place, or above it', async (t) => {
    const above = temporaryDirectory(t);
    const file = join(above, 'file');
    writeFileSync(file, '');
    for (const path of [file, join(file, 'below')]) {
      const diagnosis = await examined(path, undefined, above);
      assert.equal(diagnosis.verdict, 'unfit');
      found(diagnosis, 'directory', 'fail', new RegExp(`^ENOTDIR on ${file}.*, as user ${diagnosis.user}$`));
      assert.deepEqual(diagnosis.skipped, CHECKS.slice(1));
    }
  });

  test('a link that leads nowhere', async (t) => {
    const above = temporaryDirectory(t);
    const link = join(above, 'link');
    symlinkSync(join(above, 'nowhere'), link);
    const diagnosis = await diagnose({ directory: link });
    found(diagnosis, 'directory', 'fail', /^ENOENT/);
    assert.deepEqual(readdirSync(above), ['link']);
  });

  test('a file in the place of one of its folders', async (t) => {
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'v1'));
    writeFileSync(join(directory, 'v1', 'entries'), '');
    const diagnosis = await examined(directory);
    found(diagnosis, 'writable', 'fail', /ENOTDIR on .*entries/);
    assert.equal(diagnosis.verdict, 'unfit');
  });

  test('a file system that takes no files', async (t) => {
    if (process.platform !== 'linux') return t.skip('there is no /proc');
    const diagnosis = await diagnose({ directory: '/proc/cache-filter' });
    found(diagnosis, 'filesystem', 'fail', /^proc/);
    found(diagnosis, 'writable', 'fail', /ENOENT on \/proc\/cache-filter/);
    assert.equal(diagnosis.verdict, 'unfit');
  });

  test('the directory of somebody else; what needs no writing is looked at all the same', async (t) => {
    const directory = temporaryDirectory(t);
    chmodSync(directory, 0o500);
    const { seteuid } = process;
    // Permissions don't bind root.
    const root = process.getuid?.() === 0 && seteuid !== undefined;
    if (root) seteuid('nobody');
    const diagnosis = await diagnose({ directory }).finally(() => root && seteuid(0));
    found(diagnosis, 'writable', 'fail', new RegExp(`^EACCES on ${directory}.*, as user ${diagnosis.user}$`));
    assert.equal(diagnosis.user, root ? 'nobody' : userInfo().username);
    assert.equal(diagnosis.verdict, 'unfit');
    assert.ok(diagnosis.checks.some(({ name }) => name === 'space'));
    assert.deepEqual(diagnosis.skipped, CHECKS.slice(CHECKS.indexOf('exclusive-create')));
  });
});

describe('other file systems', () => {
  test('a tmpfs is memory, and fit; a budget that does not fit is told what would', async (t) => {
    const path = mountTmpfs(t, 4 * GIB);
    if (path === undefined) return t.skip('mounting is not allowed here');
    const diagnosis = await examined(path);
    found(diagnosis, 'filesystem', 'warn', new RegExp(`^tmpfs \\(tmpfs on ${path}: rw`));
    found(diagnosis, 'space', 'ok', /4\.0 GiB free of 4\.0 GiB, room for 3\.0 GiB/);
    found(await examined(path, 3 * GIB + 1), 'space', 'warn', /room for 3\.0 GiB .*--max-bytes is 3\.0 GiB/);
    sound(diagnosis);
    assert.equal(diagnosis.verdict, 'fit');
  });

  test('one mounted read-only', async (t) => {
    const path = mountTmpfs(t, 2 ** 20);
    if (path === undefined) return t.skip('mounting is not allowed here');
    assert.equal(spawnSync('mount', ['-o', 'remount,ro', path]).status, 0, 'the fault');
    const diagnosis = await examined(path);
    found(diagnosis, 'filesystem', 'fail', /\bro\b/);
    found(diagnosis, 'writable', 'fail', /EROFS/);
    assert.equal(diagnosis.verdict, 'unfit');
  });

  test('one that is full', async (t) => {
    const path = mountTmpfs(t, 2 ** 20);
    if (path === undefined) return t.skip('mounting is not allowed here');
    assert.throws(() => writeFileSync(join(path, 'filler'), Buffer.alloc(2 ** 21)), { code: 'ENOSPC' });
    const diagnosis = await examined(path);
    found(diagnosis, 'space', 'fail', /^0 bytes free of 1\.0 MiB/);
    found(diagnosis, 'writable', 'fail', /^ENOSPC/);
    assert.deepEqual(diagnosis.skipped, CHECKS.slice(CHECKS.indexOf('exclusive-create'), -1));
    found(diagnosis, 'clean-up', 'ok', /removed/);
    assert.equal(diagnosis.verdict, 'unfit');
  });

  test('one that has no more inodes', async (t) => {
    const path = mountTmpfs(t, 4 * GIB);
    if (path === undefined) return t.skip('mounting is not allowed here');
    // The root, the folder, the file that is written first, and one left.
    assert.equal(spawnSync('mount', ['-o', 'remount,nr_inodes=4', path]).status, 0, 'the fault');
    const diagnosis = await examined(path);
    found(diagnosis, 'inodes', 'fail', /^1 of 4 files free/);
    found(diagnosis, 'rename', 'fail', /^ENOSPC/);
    found(diagnosis, 'exclusive-race', 'warn', /^ENOSPC/);
    assert.equal(diagnosis.verdict, 'unfit');
  });

  test('the own layer of a container', async (t) => {
    const base = mountTmpfs(t, 4 * GIB);
    if (base === undefined) return t.skip('mounting is not allowed here');
    const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => {
      mkdirSync(join(base, name));
      return join(base, name);
    });
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    const { status } = spawnSync('mount', ['-t', 'overlay', 'overlay', '-o', layers, String(merged)]);
    if (status !== 0) return t.skip('there is no overlay here');
    try {
      const diagnosis = await examined(String(merged));
      found(diagnosis, 'filesystem', 'warn', /^overlay \(overlay on /);
      sound(diagnosis);
      assert.equal(diagnosis.verdict, 'fit');
    } finally {
      spawnSync('umount', ['--lazy', String(merged)]);
    }
  });

  test('another one mounted in the middle of the directory: nothing could be renamed', async (t) => {
    const directory = mountTmpfs(t, 4 * GIB);
    if (directory === undefined) return t.skip('mounting is not allowed here');
    const incomplete = join(directory, 'v1', 'incomplete');
    mkdirSync(incomplete, { recursive: true });
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', incomplete]).status, 0, 'the fault');
    try {
      const diagnosis = await examined(directory);
      found(diagnosis, 'one-filesystem', 'fail', new RegExp(`^${incomplete} is in another file system`));
      assert.equal(diagnosis.verdict, 'unfit');
    } finally {
      spawnSync('umount', ['--lazy', incomplete]);
    }
  });
});

describe('what is there already', () => {
  test('entries are counted as the budget counts them; damage, strangers and newer formats are named', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, { primary: '/a' }, bytesOf(5000));
    await put(cache, { primary: '/b' }, bytesOf(10));
    found(await looked(disk.directory), 'contents', 'ok', /^2 entries, 28\.0 KiB$/);
    found(await looked(disk.directory, 8192), 'contents', 'warn', /more than --max-bytes 8\.0 KiB/);

    writeFileSync(disk.recordPath('/b'), '{"format":1}');
    found(await looked(disk.directory), 'contents', 'warn', /^1 entry, .*, 1 damaged$/);

    mkdirSync(join(disk.directory, 'doctor-AbCdEf'));
    found(await looked(disk.directory), 'contents', 'warn', /killed: doctor-AbCdEf$/);

    writeFileSync(join(disk.directory, 'notes.txt'), '');
    writeFileSync(join(disk.layout.root, 'other'), '');
    found(await looked(disk.directory), 'contents', 'warn', /not ours: notes\.txt, v1\/other$/);

    writeFileSync(disk.recordPath('/b'), '{"format":2}');
    mkdirSync(join(disk.directory, 'v2'));
    found(await looked(disk.directory), 'contents', 'warn', /of a newer format: v2, v1\/entries\/.*\.json$/);
  });

  test('an entry from the future says that the clock was set back', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
    await put(cache, { primary: '/a' }, bytesOf(10));
    t.mock.timers.reset();
    found(await looked(disk.directory), 'clock', 'warn', /an entry was stored at /);
  });

  test('a fill that runs in another process is seen, with its process and host', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    found(await looked(disk.directory), 'in-use', 'ok', /^no fill is running$/);
    await child.tell('start', { primary: '/a' }, {});
    // The claim's heartbeat goes on: not a trace of ours.
    const live = await diagnose({ directory: disk.directory });
    found(live, 'in-use', 'ok', new RegExp(`1 running fill, by process ${child.pid} on ${hostname()}$`));
    found(live, 'contents', 'ok', /1 incomplete/);

    await child.kill();
    const [claim = ''] = disk.incomplete().filter((file) => file.endsWith('.claim'));
    disk.age(join(disk.layout.incomplete, claim), 60_000);
    const dead = await looked(disk.directory);
    found(dead, 'in-use', 'ok', /^no fill is running$/);
    found(dead, 'contents', 'ok', /1 claim of processes that have gone/);
  });

  test('a fill of another host is warned of', async (t) => {
    const disk = new Disk(t);
    await disk.cache();
    const claim = disk.layout.claim(disk.layout.name('/a', undefined), '0'.repeat(16));
    writeFileSync(claim, JSON.stringify({ key: { primary: '/a' }, owner: { host: 'elsewhere', pid: 7 } }));
    // However long it takes until it is looked at.
    const alive = new Date(Date.now() + 3_600_000);
    utimesSync(claim, alive, alive);
    found(await looked(disk.directory), 'in-use', 'warn', /by process 7 on elsewhere$/);
  });
});
