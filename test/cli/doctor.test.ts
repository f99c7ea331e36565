/** The doctor on real file systems: what it says, how it ends, and that it leaves no trace. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { conclusionOf, doctor, linesOf } from '../../lib/cli/commands/doctor.ts';
import type { Status } from '../../lib/cli/doctor/check.ts';
import { CHECKS, type Diagnosis, diagnose } from '../../lib/cli/doctor/diagnose.ts';
import { bytesOf, put } from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from '../cache/cache-process.ts';
import { Disk } from '../cache/disk.ts';
import { mountTmpfs } from '../cache/limits.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { runCli } from './support.ts';

const GIB = 2 ** 30;

/** Checks that depend on nothing but the file system, and hold on every one that a test can have. */
const SOUND = CHECKS.slice(CHECKS.indexOf('exclusive-create')).filter(
  // Limits of the machine, and how busy it is.
  (name) => !['watch', 'fsync-file', 'large-files'].includes(name),
);

/** Every name below a directory, with what tells whether it was touched. */
function trace(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { ino, size, mode, mtimeMs } = statSync(path);
      return `${relative(directory, path)} ${ino} ${mode} ${entry.isFile() ? `${size} ${mtimeMs}` : ''}`;
    })
    .sort();
}

/** A diagnosis that leaves everything as it was. */
async function examined(directory: string, maxBytes?: number, above = directory): Promise<Diagnosis> {
  const before = trace(above);
  const diagnosis = await diagnose({ directory, maxBytes });
  assert.deepEqual(trace(above), before, 'it leaves no trace');
  return diagnosis;
}

/** The same, without the probes. */
async function looked(directory: string, maxBytes?: number): Promise<Diagnosis> {
  const enough = new AbortController();
  const before = trace(directory);
  const diagnosis = await diagnose({
    directory,
    maxBytes,
    signal: enough.signal,
    onResult: ({ name }) => name === 'descriptors' && enough.abort(),
  });
  assert.equal(diagnosis.verdict, 'interrupted');
  assert.deepEqual(trace(directory), before, 'it leaves no trace');
  return diagnosis;
}

function found({ checks }: Diagnosis, name: string, status: Status, fact: RegExp): void {
  const result = checks.find((check) => check.name === name);
  assert.ok(result, `${name} was not checked`);
  assert.equal(result.status, status, `${name}: ${result.fact}`);
  assert.match(result.fact, fact);
  assert.equal(Boolean(result.meaning && result.advice), status !== 'ok', `${name}: what to do`);
}

function sound({ checks }: Diagnosis): void {
  for (const name of SOUND) {
    const { status, fact } = checks.find((check) => check.name === name) ?? {};
    assert.equal(status, 'ok', `${name}: ${fact}`);
  }
}

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
    found(diagnosis, 'rename', 'fail', /ENOSPC/);
    found(diagnosis, 'clean-up', 'ok', /removed/);
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
    found(await looked(disk.directory), 'contents', 'ok', /^2 entries, 20\.0 KiB$/);
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

describe('the command', () => {
  test('--json prints one object, and nothing else', async (t) => {
    const directory = temporaryDirectory(t);
    const cli = runCli(t, ['doctor', '--directory', directory, '--max-bytes', '3GiB', '--json']);
    const { code } = await cli.ended;
    const diagnosis = JSON.parse(cli.stdout()) as Diagnosis;
    assert.deepEqual(Object.keys(diagnosis), ['directory', 'user', 'verdict', 'checks', 'skipped']);
    assert.equal(code, diagnosis.verdict === 'fit' ? 0 : 1);
    sound(diagnosis);
    for (const check of diagnosis.checks) {
      const { name, status, fact, meaning, advice, measured = {}, ...others } = check;
      assert.deepEqual(others, {}, name);
      assert.ok(['ok', 'warn', 'fail'].includes(status));
      assert.equal(typeof fact, 'string');
      assert.deepEqual(
        [typeof meaning, typeof advice],
        Array(2).fill(status === 'ok' ? 'undefined' : 'string'),
      );
      for (const value of Object.values(measured))
        assert.ok(['string', 'number', 'boolean'].includes(typeof value));
    }
    assert.deepEqual(readdirSync(directory), []);
  });

  test('a line for each check, one more for each problem, and the verdict; exit code 0 in spite of warnings', async (t) => {
    const path = mountTmpfs(t, 4 * GIB);
    if (path === undefined) return t.skip('mounting is not allowed here');
    const cli = runCli(t, ['doctor'], { CACHE_FILTER_DIRECTORY: path, CACHE_FILTER_MAX_BYTES: '2GiB' });
    assert.equal((await cli.ended).code, 0, cli.stdout() + cli.stderr());
    const lines = cli.stdout().trimEnd().split('\n');
    const made = lines.flatMap((line) => /^(?:ok|warn|fail) +([\w-]+) {2,}\S/.exec(line)?.[1] ?? []);
    assert.deepEqual(made, CHECKS);
    const at = lines.findIndex((line) => /^warn {2}filesystem +tmpfs /.test(line));
    assert.match(lines[at + 1] ?? '', /^ +\S.* counts as memory.*\. Use a disk/);
    assert.match(
      lines.at(-1) ?? '',
      new RegExp(`^fit: ${path} can hold a cache of user \\S+, \\d+ warnings?$`),
    );
    assert.ok(!cli.stdout().includes('\x1b'), 'colours are for terminals');
  });

  test('unfit is exit code 1', async (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, '');
    const cli = runCli(t, ['doctor', '--directory', file]);
    assert.equal((await cli.ended).code, 1);
    assert.match(cli.stdout(), /^fail +directory +ENOTDIR on .*file/);
    assert.match(cli.stdout(), /\nunfit: .*, 1 failure, no warnings; \d+ checks could not be made\n$/);
  });

  for (const [args, message] of [
    [[], /--directory <path>' not specified/],
    [['--directory', 'x', '--max-bytes', '20GB'], /--max-bytes.*'20GB'.*GiB/],
    [['--directory', 'x', '--jsn'], /unknown option '--jsn'[\s\S]*--json[\s\S]*cache-filter doctor --help/],
  ] as [string[], RegExp][]) {
    test(`wrong usage is exit code 2: ${args.join(' ') || 'no directory'}`, async (t) => {
      const cli = runCli(t, ['doctor', ...args], { CACHE_DIRECTORY: '', CACHE_FILTER_DIRECTORY: '' });
      assert.equal((await cli.ended).code, 2, cli.stderr());
      assert.match(cli.stderr(), message);
      assert.equal(cli.stdout(), '');
    });
  }

  test('--help shows examples', async (t) => {
    const cli = runCli(t, ['doctor', '--help']);
    assert.equal((await cli.ended).code, 0);
    assert.match(
      cli.stdout(),
      /\$ cache-filter doctor --directory \/var\/cache\/cache-filter --max-bytes 100GiB/,
    );
  });

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    test(`${signal} in the middle leaves no trace: exit code ${code}`, async (t) => {
      const above = temporaryDirectory(t);
      // In the middle: while the first rename runs.
      const fault = `
        import fs from 'node:fs';
        import { syncBuiltinESMExports } from 'node:module';
        const { rename } = fs.promises;
        fs.promises.rename = (...args) => {
          fs.promises.rename = rename;
          syncBuiltinESMExports();
          console.error(fs.readdirSync(${JSON.stringify(join(above, 'a', 'b'))}).join());
          process.kill(process.pid, '${signal}');
          return rename(...args);
        };
        syncBuiltinESMExports();`;
      const preload = `--import=data:text/javascript,${encodeURIComponent(fault)}`;
      const cli = runCli(t, ['doctor', '--directory', join(above, 'a', 'b')], {
        NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} ${preload}`,
      });
      assert.deepEqual(await cli.ended, { code, signal: null }, cli.stderr());
      assert.match(cli.stderr(), /^doctor-\w+\n$/, 'the fault');
      assert.match(cli.stdout(), /\nok +clean-up +everything.*\n\ninterrupted: \d+ checks were not made\n$/);
      assert.deepEqual(readdirSync(above), []);
    });
  }

  test('limits of the process are seen: descriptors, sizes of files, umask', (t) => {
    if (process.platform !== 'linux') return t.skip('there is no /proc');
    const directory = temporaryDirectory(t);
    const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
    const command = [process.execPath, '--import', 'tsx', main, 'doctor', '--json', '--directory', directory];
    const limits = 'ulimit -n 256 && ulimit -f 8192 && umask 0222 && exec "$@"';
    const { stdout, status } = spawnSync('sh', ['-c', limits, 'sh', ...command], { encoding: 'utf8' });
    const diagnosis = JSON.parse(stdout) as Diagnosis;
    assert.equal(status, 1);
    found(diagnosis, 'descriptors', 'warn', /^256 open files$/);
    found(diagnosis, 'large-files', 'warn', /^EFBIG/);
    found(diagnosis, 'modes', 'fail', /umask 0222; a new file has 0400/);
    assert.deepEqual(readdirSync(directory), []);
  });

  test('colours are put where they are wanted', async (t) => {
    const printed: string[] = [];
    const directory = temporaryDirectory(t);
    await doctor({ directory, json: false, colour: true, print: (line) => printed.push(line) });
    assert.ok(printed[0]?.startsWith('\x1b[32mok  \x1b[39m  directory  '), printed[0]);
    assert.ok(printed.some((line) => line.startsWith('\x1b[33mwarn\x1b[39m  place  ')));
  });

  test('a line and a conclusion without colours', () => {
    const result = {
      name: 'space',
      status: 'fail',
      fact: 'full',
      meaning: 'so it is',
      advice: 'Do.',
    } as const;
    assert.deepEqual(
      linesOf(result).map((line) => line.replaceAll(/ +/g, ' ')),
      ['fail space full', ' so it is. Do.'],
    );
    const diagnosis = {
      directory: '/d',
      user: 'u',
      verdict: 'unfit',
      checks: [result],
      skipped: ['watch'],
    } as const;
    assert.equal(
      conclusionOf({ ...diagnosis, checks: [result], skipped: ['watch'] }),
      'unfit: /d can not hold a cache of user u, 1 failure, no warnings; 1 check could not be made',
    );
  });
});
