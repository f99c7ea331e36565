import assert from 'node:assert/strict';
import { appendFile, rename, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  as,
  digestOf,
  errorOf,
  pushBlob,
  pushImage,
  startRegistry,
  usersFile,
  usersText,
} from './registry-support.ts';
import { ask, runCli, scratchDirectory } from './support.ts';

const ALICE = as('alice', 'secret');

test('--htpasswd: users push and pull, others are asked for a password', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const { url } = await startRegistry(t, ['--htpasswd', file]);
  await pushImage(url, 'v1', { headers: ALICE });
  assert.equal((await ask(`${url}/v2/app/manifests/v1`, { headers: ALICE })).status, 200);
  for (const headers of [{}, as('alice', 'wrong'), as('bob', 'secret'), as('', '')]) {
    for (const path of ['', 'app/manifests/v1', `app/blobs/${digestOf('{}')}`, 'app/tags/list']) {
      const answer = await ask(`${url}/v2/${path}`, { headers });
      assert.equal(answer.status, 401, path);
      assert.equal(answer.headers['www-authenticate'], 'Basic realm="cache-filter"');
      assert.equal(errorOf(answer)?.code, 'UNAUTHORIZED');
    }
    assert.equal((await pushBlob(url, 'bytes', { headers })).status, 401);
  }
});

test('with users, what a proxy has passed on is served', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const { url } = await startRegistry(t, ['--htpasswd', file]);
  const headers = { ...ALICE, 'X-Forwarded-For': '192.0.2.1' };
  assert.equal((await ask(`${url}/v2/`, { headers })).status, 200);
});

test('--anonymous-pull: everybody pulls, users push', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const { url } = await startRegistry(t, ['--htpasswd', file, '--anonymous-pull']);
  await pushImage(url, 'v1', { headers: ALICE });
  // Those of containers/image send an empty name and password where they have none.
  for (const headers of [{}, as('', ''), { 'X-Forwarded-For': '192.0.2.1' }]) {
    for (const path of ['', 'app/manifests/v1', `app/blobs/${digestOf('{}')}`, 'app/tags/list'])
      assert.equal((await ask(`${url}/v2/${path}`, { headers })).status, 200, path);
    const refused = [
      await pushBlob(url, 'bytes', { headers }),
      await ask(`${url}/v2/app/manifests/v1`, { method: 'DELETE', headers }),
      await ask(`${url}/v2/_catalog`, { headers }),
    ];
    for (const answer of refused) {
      assert.equal(answer.status, 401);
      assert.equal(answer.headers['www-authenticate'], 'Basic realm="cache-filter"');
    }
  }
  assert.equal((await ask(`${url}/v2/`, { headers: as('alice', 'wrong') })).status, 401);
});

test('--anonymous-pull: those who have a password are told where to give it before they push', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const { url } = await startRegistry(t, ['--htpasswd', file, '--anonymous-pull']);
  const ping = await ask(`${url}/v2/`);
  assert.equal(ping.status, 200);
  assert.equal(ping.headers['www-authenticate'], 'Basic realm="cache-filter"');
});

test('the file is read again when it changes; a broken one is told of, and the users stay', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const cli = await startRegistry(t, ['--htpasswd', file]);
  const statusOf = async (user: string, password: string) =>
    (await ask(`${cli.url}/v2/`, { headers: as(user, password) })).status;
  assert.equal(await statusOf('alice', 'secret'), 200);
  assert.equal(await statusOf('bob', 'other'), 401);

  await writeFile(`${file}.next`, await usersText({ bob: 'other' }));
  await rename(`${file}.next`, file);
  await cli.printed(/read again: .*users: 1 user$/m);
  assert.equal(await statusOf('bob', 'other'), 200);
  assert.equal(await statusOf('alice', 'secret'), 401);

  await appendFile(file, 'carol:$2y$05$abcdefghijklmnopqrstuv\n');
  while (!/stays in use: \/.*line 2 of htpasswd: .*bcrypt/.test(cli.stderr())) await pause(50);
  assert.equal(await statusOf('bob', 'other'), 200);

  await writeFile(file, await usersText({ bob: 'other', dave: 'third' }));
  await cli.printed(/read again: .*users: 2 users$/m);
  assert.equal(await statusOf('dave', 'third'), 200);
});

test('SIGHUP: the file is read again at once, and the process goes on', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  const cli = await startRegistry(t, ['--htpasswd', file]);
  cli.kill('SIGHUP');
  await cli.printed(/read again: .*users: 1 user$/m);
  assert.equal((await ask(`${cli.url}/v2/`, { headers: ALICE })).status, 200);
});

test('a file without users is told of: nobody can sign in', async (t) => {
  const cli = await startRegistry(t, ['--htpasswd', await usersFile(t, {})]);
  assert.match(cli.stderr(), /users has no users: nobody can sign in$/m);
});

test('a broken file at the start ends it with exit code 2, and the line is named', async (t) => {
  const file = await usersFile(t, { alice: 'secret' });
  await appendFile(file, 'bob\n');
  const directory = await scratchDirectory(t);
  const cli = runCli(t, ['registry', '--directory', directory, '--port', '0', '--htpasswd', file]);
  assert.equal((await cli.ended).code, 2);
  assert.match(cli.stderr(), /^error: \S+users: line 2 of htpasswd must be name:hash/);
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
