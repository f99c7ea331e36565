import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import * as read from '../../lib/cli/flags.ts';
import { COMMAND, COMMAND_ENV } from '../support/command.ts';
import { as, startRegistry, usersFile } from './registry-support.ts';
import { ask, scratchDirectory } from './support.ts';

const PASSWD = [...COMMAND, 'registry', 'passwd'];

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** `registry passwd` with what another program says on its standard input. */
async function passwd(args: readonly string[], input = ''): Promise<Ended> {
  const [node = '', ...before] = PASSWD;
  const child = spawn(node, [...before, ...args], { env: COMMAND_ENV });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  child.stdin.on('error', () => undefined).end(input);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, ...said };
}

async function freshPath(t: TestContext): Promise<string> {
  return join(await scratchDirectory(t), 'users');
}

test('a user who was added signs in, with the first line of the standard input', async (t) => {
  const file = await freshPath(t);
  const added = await passwd([file, 'alice'], 'correct horse\nsecond line\n');
  assert.deepEqual(added, { code: 0, stdout: `cache-filter: ${file}: alice added\n`, stderr: '' });
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.match(await readFile(file, 'utf8'), /^alice:\$scrypt\$N=32768,r=8,p=1\$[^$]+\$[^$]+\n$/);
  const { url } = await startRegistry(t, ['--htpasswd', file]);
  assert.equal((await ask(`${url}/v2/`, { headers: as('alice', 'correct horse') })).status, 200);
  assert.equal((await ask(`${url}/v2/`, { headers: as('alice', 'correct horse\n') })).status, 401);
});

test('another password takes the place of the one before; other lines and the rights stay', async (t) => {
  const file = await freshPath(t);
  await writeFile(file, '# who pushes\nalice:$2y$05$old\nbob:$2y$05$other\n');
  await chmod(file, 0o640);
  const { code, stdout, stderr } = await passwd([file, 'alice'], 'secret');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /alice has a new password/);
  assert.match(stderr, /the registry will not take the file as it is: line 3 of htpasswd: .*bcrypt/);
  assert.match(await readFile(file, 'utf8'), /^# who pushes\nalice:\$scrypt\$\S+\nbob:\$2y\$05\$other\n$/);
  assert.equal((await stat(file)).mode & 0o777, 0o640);
  assert.deepEqual(await readdir(join(file, '..')), ['users'], 'nothing else is left there');
});

test('--remove takes a user out, and says so where there is none', async (t) => {
  const file = await usersFile(t, { alice: 'secret', al: 'other' });
  const removed = await passwd([file, 'al', '--remove']);
  assert.deepEqual(removed, { code: 0, stdout: `cache-filter: ${file}: al removed\n`, stderr: '' });
  const left = await readFile(file, 'utf8');
  assert.match(left, /^alice:\S+\n$/);
  const again = await passwd([file, 'al', '--remove']);
  assert.equal(again.code, 1);
  assert.equal(again.stderr, `error: ${file} has no user al\n`);
  assert.equal(await readFile(file, 'utf8'), left);
});

test('a symbolic link stays one', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const link = await freshPath(t);
  await symlink(file, link);
  assert.equal((await passwd([link, 'bob'], 'other')).code, 0);
  assert.match(await readFile(file, 'utf8'), /^alice:\S+\nbob:\S+\n$/);
});

test('no password, one that is too long, another passwd at work: exit code 1, and nothing is changed', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const before = await readFile(file, 'utf8');
  const none = await passwd([file, 'alice'], '\n');
  const long = await passwd([file, 'alice'], 'x'.repeat(1025));
  await writeFile(`${file}.new`, 'another');
  const busy = await passwd([file, 'alice'], 'new');
  assert.match(none.stderr, /^error: a password of no characters is none\n$/);
  assert.match(long.stderr, /^error: a password may have 1024 bytes at most\n$/);
  assert.match(busy.stderr, /^error: \S+\.new is there: another passwd is at work/);
  const nowhere = await passwd([join(file, 'users'), 'alice'], 'new');
  assert.match(nowhere.stderr, /^error: can't write \S+users\/users: ENOTDIR/);
  const folder = await passwd([dirname(file), 'alice'], 'new');
  assert.match(folder.stderr, /^error: can't write \S+: EISDIR/);
  for (const { code } of [none, long, busy, nowhere, folder]) assert.equal(code, 1);
  assert.equal(await readFile(file, 'utf8'), before);
  assert.equal(await readFile(`${file}.new`, 'utf8'), 'another');
});

test('names are what a line of the file can hold', () => {
  for (const name of ['alice', 'ci bot', 'ä', 'a#b']) assert.equal(read.userName(name), name);
  for (const wrong of ['', '#bob', 'a:b', ' a', 'a ', 'a\nb', 'a\x7f'])
    assert.throws(() => read.userName(wrong), /without colons/, JSON.stringify(wrong));
});

const hasTerminals = spawnSync('script', ['--version']).status === 0;

/** The same on a terminal, where each answer is typed once it was asked for; what the terminal shows. */
function typed(file: string, answers: readonly string[]): Promise<{ code: number | null; shown: string }> {
  const command = [...PASSWD, file, 'alice'].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', command, '/dev/null'], { env: COMMAND_ENV });
  const waiting = [...answers];
  let shown = '';
  let from = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    if (!/(Password of alice|Once more): /.test(shown.slice(from))) return;
    from = shown.length;
    // The terminal shows what is typed until the question has been put.
    setTimeout(() => child.stdin.write(waiting.shift() ?? ''), 300);
  });
  child.stdin.on('error', () => undefined);
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, shown })));
}

test('a terminal is asked twice, and shows nothing of what is typed', { skip: !hasTerminals }, async (t) => {
  const file = await freshPath(t);
  const { code, shown } = await typed(file, ['secrex\x7ft\r', 'secret\r']);
  assert.equal(code, 0, shown);
  assert.equal(shown, `Password of alice: \r\nOnce more: \r\ncache-filter: ${file}: alice added\r\n`);
  const { url } = await startRegistry(t, ['--htpasswd', file]);
  assert.equal((await ask(`${url}/v2/`, { headers: as('alice', 'secret') })).status, 200);
});

test('two that differ, or none, are no password', { skip: !hasTerminals }, async (t) => {
  const file = await freshPath(t);
  const other = await typed(file, ['secret\r', 'secre\r']);
  const none = await typed(file, ['secret\x03']);
  assert.match(other.shown, /error: the two passwords are not the same/);
  assert.match(none.shown, /error: no password was given/);
  for (const { code } of [other, none]) assert.equal(code, 1);
  assert.deepEqual(await readdir(join(file, '..')), []);
});
