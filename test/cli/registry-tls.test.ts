import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { digestOf, openssl, pushImage, startRegistry } from './registry-support.ts';
import { type Answer, type Asking, ask, runCli, scratchDirectory } from './support.ts';

interface Pair {
  cert: string;
  key: string;
}

/** A certificate that this name is in, and its key. */
async function makePair(t: TestContext, name: string): Promise<Pair> {
  const directory = await scratchDirectory(t);
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert);
  return { cert, key };
}

interface Tls {
  agent: Agent;
  ask(url: string, asking?: Asking): Promise<Answer & { certificate: string }>;
}

/** A client that trusts these certificates. */
async function client(t: TestContext, pairs: readonly Pair[], keepAlive = false): Promise<Tls> {
  const ca = await Promise.all(pairs.map(({ cert }) => readFile(cert)));
  const agent = new Agent({ ca, keepAlive, maxSockets: 1, maxCachedSessions: 0 });
  t.after(() => agent.destroy());
  return {
    agent,
    async ask(url, { method = 'GET', headers = {}, body } = {}) {
      const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
      const req = request(url, { method, headers: { ...headers, ...length }, agent }).end(body);
      const [res] = (await once(req, 'response')) as [IncomingMessage];
      const certificate = String((res.socket as TLSSocket).getPeerCertificate().subject.CN);
      const { statusCode = 0, rawHeaders } = res;
      const bytes = await buffer(res);
      return { status: statusCode, headers: res.headers, rawHeaders, body: bytes, whole: true, certificate };
    },
  };
}

const flagsOf = ({ cert, key }: Pair) => ['--tls-cert', cert, '--tls-key', key];

test('--tls-cert and --tls-key: it is pushed to and pulled from over https://', async (t) => {
  const pair = await makePair(t, 'first');
  const cli = await startRegistry(t, flagsOf(pair));
  assert.match(cli.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  const tls = await client(t, [pair]);
  const digest = await pushImage(cli.url, 'v1', { with: tls.ask });
  const pulled = await tls.ask(`${cli.url}/v2/app/manifests/v1`);
  assert.equal(digestOf(pulled.body), digest);
  await assert.rejects(ask(cli.url.replace('https', 'http')), { code: 'ECONNRESET' });
});

test('another certificate is for new connections; those that are there go on', async (t) => {
  const [first, second] = [await makePair(t, 'first'), await makePair(t, 'second')];
  const cli = await startRegistry(t, flagsOf(first));
  const old = { cert: `${first.cert}.old`, key: first.key };
  await copyFile(first.cert, old.cert);
  const kept = await client(t, [old], true);
  assert.equal((await kept.ask(`${cli.url}/v2/`)).certificate, 'first');
  for (const file of ['cert', 'key'] as const) {
    await copyFile(second[file], `${first[file]}.next`);
    await rename(`${first[file]}.next`, first[file]);
  }
  await cli.printed(/read again: .*cert\.pem, .*key\.pem: valid until 20\d\d-/);
  const fresh = await client(t, [second]);
  assert.equal((await fresh.ask(`${cli.url}/v2/`)).certificate, 'second');
  assert.equal((await kept.ask(`${cli.url}/v2/`)).certificate, 'first');
});

test('files that are broken, or do not belong together, are told of, and the certificate stays', async (t) => {
  const [first, second] = [await makePair(t, 'first'), await makePair(t, 'second')];
  const cli = await startRegistry(t, flagsOf(first));
  const tls = await client(t, [{ ...first, cert: await copied(first.cert) }, second]);
  const told = async (count: number) => {
    while ([...cli.stderr().matchAll(/what was read before stays in use/g)].length < count)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await tls.ask(`${cli.url}/v2/`)).certificate, 'first');
  };
  await copyFile(second.cert, first.cert);
  await told(1);
  await writeFile(first.cert, 'no certificate');
  cli.kill('SIGHUP');
  await told(2);
  await copyFile(second.cert, first.cert);
  await copyFile(second.key, first.key);
  await cli.printed(/read again: .*valid until/);
  assert.equal((await tls.ask(`${cli.url}/v2/`)).certificate, 'second');
});

test('at the start they end it with exit code 2', async (t) => {
  const [first, second] = [await makePair(t, 'first'), await makePair(t, 'second')];
  const directory = await scratchDirectory(t);
  const start = async (pair: { cert: string; key: string }) => {
    const cli = runCli(t, ['registry', '--directory', directory, '--port', '0', ...flagsOf(pair)]);
    assert.equal((await cli.ended).code, 2);
    return cli.stderr();
  };
  assert.match(
    await start({ cert: first.cert, key: second.key }),
    /^error: the key in \S+key\.pem is not that of the certificate in \S+cert\.pem$/m,
  );
  assert.match(
    await start({ cert: first.key, key: first.key }),
    /^error: \S+key\.pem is no certificate in PEM/,
  );
  assert.match(
    await start({ cert: first.cert, key: first.cert }),
    /^error: \S+cert\.pem is no key in PEM without a passphrase/,
  );
});

test('over TLS too, SIGTERM ends it with 0 while a connection is kept', async (t) => {
  const pair = await makePair(t, 'first');
  const cli = await startRegistry(t, flagsOf(pair));
  const tls = await client(t, [pair], true);
  assert.equal((await tls.ask(`${cli.url}/v2/`)).status, 200);
  cli.kill('SIGTERM');
  assert.deepEqual(await cli.ended, { code: 0, signal: null });
});

async function copied(path: string): Promise<string> {
  await copyFile(path, `${path}.copy`);
  return `${path}.copy`;
}
