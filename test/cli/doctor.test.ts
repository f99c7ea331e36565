/** The command: what it prints, how it ends, and that a signal leaves no trace. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { conclusionOf, doctor, linesOf } from '../../lib/cli/commands/doctor.ts';
import { CHECKS, type Diagnosis } from '../../lib/cli/doctor/diagnose.ts';
import { mountTmpfs } from '../cache/limits.ts';
import { COMMAND, COMMAND_ENV } from '../support/command.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { found, sound } from './doctor/examined.ts';
import { runCli } from './support.ts';

const GIB = 2 ** 30;

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
      NODE_OPTIONS: `${COMMAND_ENV['NODE_OPTIONS'] ?? ''} ${preload}`,
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
  const command = [...COMMAND, 'doctor', '--json', '--directory', directory];
  const limits = 'ulimit -n 256 && ulimit -f 8192 && umask 0222 && exec "$@"';
  const { stdout, status } = spawnSync('sh', ['-c', limits, 'sh', ...command], {
    encoding: 'utf8',
    env: COMMAND_ENV,
  });
  const diagnosis = JSON.parse(stdout) as Diagnosis;
  assert.equal(status, 0);
  found(diagnosis, 'descriptors', 'warn', /^256 open files$/);
  found(diagnosis, 'large-files', 'warn', /^EFBIG/);
  found(diagnosis, 'modes', 'ok', /0600 is 0600, 0700 is 0700, umask 0222/);
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
