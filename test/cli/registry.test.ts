import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as read from '../../lib/cli/flags.ts';
import { isLoopback } from '../../lib/cli/registry/this-host.ts';
import {
  digestOf,
  errorOf,
  IMAGE,
  pushBlob,
  pushImage,
  startRegistry,
  usersFile,
} from './registry-support.ts';
import { ask, runCli, scratchDirectory } from './support.ts';

test('an image that was pushed can be pulled, by its tag and by its digest', async (t) => {
  const { url, stdout } = await startRegistry(t, ['--access-log']);
  const digest = await pushImage(url, 'v1');
  for (const reference of ['v1', digest]) {
    const pulled = await ask(`${url}/v2/app/manifests/${reference}`, { headers: { Accept: IMAGE } });
    assert.equal(pulled.status, 200);
    assert.equal(pulled.headers['docker-content-digest'], digest);
    assert.equal(digestOf(pulled.body), digest);
  }
  const layer = await ask(`${url}/v2/app/blobs/${digestOf('layer of v1')}`);
  assert.equal(layer.body.toString(), 'layer of v1');
  assert.match(stdout(), /^PUT \/v2\/app\/manifests\/v1 201 \d+ \d+ms "-"$/m);
});

test('it says where it listens, on what directory, and for whom', async (t) => {
  const local = await startRegistry(t, ['--namespace', 'mine', '--read-only']);
  assert.equal(
    local.stdout(),
    `cache-filter: listening on ${local.url}, directory ${local.directory}, namespace mine, for anyone on this host, read-only\n`,
  );
  const file = await usersFile(t, { alice: 'secret' });
  const users = await startRegistry(t, ['--htpasswd', file, '--anonymous-pull', '--host', '0.0.0.0']);
  assert.ok(users.stdout().endsWith(`namespace default, for users of ${file}, pulls for anyone\n`));
  assert.match(users.stderr(), /passwords come unencrypted/);
});

test('probes are answered; what is not below /v2/ is not there', async (t) => {
  const { url } = await startRegistry(t);
  assert.equal((await ask(`${url}/-/live`)).body.toString(), 'ok\n');
  assert.equal((await ask(`${url}/-/ready`)).body.toString(), 'ready\n');
  assert.equal((await ask(`${url}/`)).status, 404);
});

for (const host of ['0.0.0.0', '::', '192.0.2.1']) {
  test(`without users it does not listen on ${host}, with exit code 2`, async (t) => {
    const directory = await scratchDirectory(t);
    const cli = runCli(t, ['registry', '--directory', directory, '--port', '0', '--host', host]);
    assert.equal((await cli.ended).code, 2);
    assert.match(cli.stderr(), /--htpasswd FILE/);
    assert.equal(cli.stdout(), '');
  });
}

test('without users it listens on any loopback address', async (t) => {
  const { url } = await startRegistry(t, ['--host', '127.3.2.1']);
  assert.equal((await ask(`${url}/v2/`)).status, 200);
});

test('loopback is 127.0.0.0/8, ::1 and localhost', () => {
  for (const host of ['127.0.0.1', '127.255.0.3', '::1', '0:0:0:0:0:0:0:1', 'localhost', '::ffff:127.0.0.1'])
    assert.ok(isLoopback(host), host);
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '128.0.0.1',
    '::2',
    'example.org',
    'localhost.example.org',
    '',
  ])
    assert.ok(!isLoopback(host), host);
});

test('without users, a request that a proxy has passed on is refused, and told why', async (t) => {
  const { url } = await startRegistry(t);
  for (const name of ['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Proto', 'X-Real-IP', 'Via']) {
    const headers = { [name]: 'for=192.0.2.1' };
    const asked = [
      await ask(`${url}/v2/`, { headers }),
      await ask(`${url}/v2/app/tags/list`, { headers }),
      await pushBlob(url, 'bytes', { headers }),
    ];
    for (const answer of asked) {
      assert.equal(answer.status, 403, name);
      assert.equal(errorOf(answer)?.code, 'DENIED');
      assert.match(errorOf(answer)?.message ?? '', /came through a proxy \([\w-]+\).*--htpasswd/);
    }
  }
  assert.equal((await ask(`${url}/v2/app/blobs/${digestOf('bytes')}`)).status, 404);
});

test('without users, a request for another host, or from a page of one, is refused', async (t) => {
  const { url } = await startRegistry(t);
  for (const headers of [
    { Host: 'rebound.example.org' },
    { Host: '127.0.0.1.example.org:80' },
    { Origin: 'https://example.org' },
    { Origin: 'null' },
  ]) {
    const answer = await ask(`${url}/v2/`, { headers });
    assert.equal(answer.status, 403, JSON.stringify(headers));
    assert.match(errorOf(answer)?.message ?? '', /is for another one, or from its page \((host|origin)\)/);
  }
  for (const headers of [
    { Host: 'localhost:5000' },
    { Host: '[::1]:5000' },
    { Origin: 'http://127.0.0.1:1' },
  ])
    assert.equal((await ask(`${url}/v2/`, { headers })).status, 200, JSON.stringify(headers));
});

test('--read-only: what is there can be pulled, and nothing pushed', async (t) => {
  const first = await startRegistry(t);
  await pushImage(first.url, 'v1');
  const { url } = await startRegistry(t, ['--read-only'], first.directory);
  assert.equal((await ask(`${url}/v2/app/manifests/v1`)).status, 200);
  assert.equal((await pushBlob(url, 'bytes')).status, 405);
});

test('--namespace: what was pushed into one is not in another', async (t) => {
  const first = await startRegistry(t, ['--namespace', 'one']);
  await pushImage(first.url, 'v1');
  const { url } = await startRegistry(t, ['--namespace', 'two'], first.directory);
  assert.equal((await ask(`${url}/v2/app/manifests/v1`)).status, 404);
});

test('--max-blob-bytes and --max-manifest-bytes are the most that is taken', async (t) => {
  const { url } = await startRegistry(t, ['--max-blob-bytes', '1KiB', '--max-manifest-bytes', '300']);
  assert.equal((await pushBlob(url, Buffer.alloc(1024))).status, 201);
  assert.equal((await pushBlob(url, Buffer.alloc(1025))).status, 413);
  const manifest = await ask(`${url}/v2/app/manifests/v1`, {
    method: 'PUT',
    headers: { 'Content-Type': IMAGE },
    body: JSON.stringify({ schemaVersion: 2, annotations: { long: 'x'.repeat(300) } }),
  });
  assert.equal(manifest.status, 413);
});

const WRONG: [args: string[], message: RegExp][] = [
  [['--prot', '1'], /unknown option '--prot'[\s\S]*--port/],
  [['--namespace', 'A/b'], /--namespace.*'A\/b'.*lower-case/],
  [['--durability', 'some'], /--durability.*commit, none/],
  [['--max-blob-bytes', '1GB'], /--max-blob-bytes.*GiB/],
  [['--anonymous-pull'], /--anonymous-pull needs --htpasswd/],
  [['--tls-cert', 'x'], /--tls-cert needs --tls-key/],
  [['--tls-key', 'x'], /--tls-key needs --tls-cert/],
  [['prnue'], /unknown command 'prnue' \(registry has passwd and prune\)/],
  [['prune', '--keep-tags', '0'], /--keep-tags.*from 1 on/],
  [['prune', '--manifest-max-age', '3 weeks'], /--manifest-max-age.*90d/],
  [['prune', '--namespace', '..'], /--namespace.*lower-case/],
  [['prune', 'everything'], /too many arguments/],
];

for (const [args, message] of WRONG) {
  test(`refuses to start, with exit code 2: registry ${args.join(' ')}`, async (t) => {
    const directory = await scratchDirectory(t);
    const cli = runCli(t, ['registry', ...args], {
      CACHE_FILTER_DIRECTORY: directory,
      CACHE_FILTER_PORT: '0',
    });
    assert.equal((await cli.ended).code, 2, cli.stderr());
    assert.match(cli.stderr(), message);
    assert.equal(cli.stdout(), '');
  });
}

test('the directory is required; flags of the registry are none of prune', async (t) => {
  const none = runCli(t, ['registry', '--port', '0']);
  const before = runCli(t, ['registry', '--directory', '/nonexistent', 'prune'], {
    CACHE_FILTER_DIRECTORY: '/nonexistent/other',
  });
  assert.equal((await none.ended).code, 2);
  assert.match(none.stderr(), /required option '--directory <path>' not specified/);
  const alone = runCli(t, ['registry', '--directory', '/nonexistent', 'prune']);
  for (const { ended, stderr } of [before, alone]) {
    assert.equal((await ended).code, 2);
    assert.match(stderr(), /write --directory after prune/);
  }
  const missing = runCli(t, ['registry', 'prune']);
  assert.equal((await missing.ended).code, 2);
  assert.match(missing.stderr(), /required option '--directory <path>' not specified/);
});

test('every flag can be a variable', async (t) => {
  const directory = await scratchDirectory(t);
  const cli = runCli(t, ['registry'], {
    STATE_DIRECTORY: `${directory}:/nonexistent`,
    CACHE_FILTER_PORT: '0',
    CACHE_FILTER_NAMESPACE: 'mine',
    CACHE_FILTER_HTPASSWD: await usersFile(t, { alice: 'secret' }),
    CACHE_FILTER_ANONYMOUS_PULL: 'yes',
    CACHE_FILTER_READ_ONLY: '0',
    CACHE_FILTER_TLS_CERT: '',
    CACHE_FILTER_DURABILITY: 'none',
  });
  const [line] = await cli.printed(/listening on .*/);
  assert.ok(line.includes(`directory ${directory}, namespace mine, for users of `), line);
  assert.ok(line.endsWith('pulls for anyone'), line);
});

test('what can not be used ends it with exit code 1, and is named', async (t) => {
  const file = join(await scratchDirectory(t), 'file');
  await writeFile(file, '');
  const start = (...flags: string[]) => runCli(t, ['registry', '--port', '0', '--directory', ...flags]);
  const directory = start(file);
  const users = start(`${file}s`, '--htpasswd', `${file}.none`);
  const folder = start(`${file}s`, '--htpasswd', dirname(file));
  for (const cli of [directory, users, folder]) {
    assert.equal((await cli.ended).code, 1, cli.stderr());
    const named = cli === folder ? dirname(file) : file;
    assert.ok(cli.stderr().startsWith('error: ') && cli.stderr().includes(named), cli.stderr());
  }
  assert.match(
    users.stderr(),
    /can't read \S+\.none: ENOENT.*; cache-filter registry passwd \S+\.none USER makes it/,
  );
});

test('ages are seconds, or carry a unit', () => {
  assert.equal(read.age('0'), 0);
  assert.equal(read.age('90'), 90_000);
  assert.equal(read.age('2m'), 120_000);
  assert.equal(read.age('36h'), 36 * 3_600_000);
  assert.equal(read.age('400d'), 400 * 86_400_000);
  for (const wrong of ['', '-1', '1.5h', '1w', 'd', '1 d', '9007199254740992'])
    assert.throws(() => read.age(wrong), /90d/, wrong);
});
