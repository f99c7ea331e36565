import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { digestOf, startRegistry } from './registry-support.ts';
import { ask } from './support.ts';

const BYTES = Buffer.alloc(200_000, 'layer ');

async function startUpload(url: string): Promise<string> {
  const { status, headers } = await ask(`${url}/v2/app/blobs/uploads/`, { method: 'POST' });
  assert.equal(status, 202);
  return String(headers.location);
}

/** A chunk of which half is sent, and the rest when told to. Resolves when the process has taken the half. */
async function halfAChunk(
  url: string,
  location: string,
): Promise<{ finish(): void; answer: Promise<number | undefined> }> {
  const req = request(`${url}${location}`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/octet-stream', 'Content-Length': BYTES.length },
    agent: false,
  });
  const answer = once(req, 'response').then(([res]: IncomingMessage[]) => {
    res?.resume();
    return res?.statusCode;
  });
  answer.catch(() => undefined);
  req.write(BYTES.subarray(0, BYTES.length / 2));
  for (;;) {
    const { headers } = await ask(`${url}${location}`);
    if (headers.range === `0-${BYTES.length / 2 - 1}`) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { finish: () => void req.end(BYTES.subarray(BYTES.length / 2)), answer };
}

async function complete(url: string, location: string): Promise<number> {
  const to = `${url}${location}?digest=${digestOf(BYTES)}`;
  return (await ask(to, { method: 'PUT' })).status;
}

test('SIGTERM lets a chunk that is being pushed end, takes no new connections, and exits with 0', async (t) => {
  const cli = await startRegistry(t);
  const location = await startUpload(cli.url);
  const chunk = await halfAChunk(cli.url, location);
  cli.kill('SIGTERM');
  await cli.printed(/SIGTERM, finishing 1 requests within 25 s/);
  const socket = connect(Number(new URL(cli.url).port), '127.0.0.1');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
  chunk.finish();
  assert.equal(await chunk.answer, 202);
  assert.deepEqual(await cli.ended, { code: 0, signal: null });

  const next = await startRegistry(t, [], cli.directory);
  assert.equal(await complete(next.url, location), 201);
});

test('what came of a chunk that is cut off after --shutdown-timeout is there for the next process', async (t) => {
  const cli = await startRegistry(t, ['--shutdown-timeout', '0.2']);
  const location = await startUpload(cli.url);
  const chunk = await halfAChunk(cli.url, location);
  cli.kill('SIGTERM');
  await assert.rejects(chunk.answer);
  assert.deepEqual(await cli.ended, { code: 0, signal: null });
  assert.match(cli.stderr(), /1 requests were cut off/);

  const next = await startRegistry(t, [], cli.directory);
  const half = BYTES.length / 2;
  assert.equal((await ask(`${next.url}${location}`)).headers.range, `0-${half - 1}`);
  const rest = await ask(`${next.url}${location}`, {
    method: 'PATCH',
    headers: { 'Content-Range': `${half}-${BYTES.length - 1}` },
    body: BYTES.subarray(half),
  });
  assert.equal(rest.status, 202);
  assert.equal(await complete(next.url, location), 201);
});

test('a second signal ends it at once', async (t) => {
  const cli = await startRegistry(t);
  const chunk = await halfAChunk(cli.url, await startUpload(cli.url));
  cli.kill('SIGTERM');
  await cli.printed(/SIGTERM, finishing/);
  cli.kill('SIGINT');
  assert.deepEqual(await cli.ended, { code: 130, signal: null });
  await assert.rejects(chunk.answer);
});
