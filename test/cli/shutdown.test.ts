import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { ask, begin, type Deferred, deferred, serve, startOrigin } from './support.ts';

/** An origin that sends half of a body, and the rest when told to. */
async function halvingOrigin(t: TestContext): Promise<{ url: string; rest: Deferred }> {
  const rest = deferred();
  const { url } = await startOrigin(t, async (_req, res) => {
    res.writeHead(200, { 'Content-Length': 10, 'Cache-Control': 'max-age=60' });
    res.write('01234');
    await rest.promise;
    res.end('56789');
  });
  return { url, rest };
}

const FLAGS = ['--routes', '/cached/:id', '--authorize', 'anyone'];

async function connected(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}

for (const path of ['/plain', '/cached/1']) {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} lets a running download end, takes no new connections, and exits with 0: ${path}`, async (t) => {
      const origin = await halvingOrigin(t);
      const cli = await serve(t, ['--origin', origin.url, ...FLAGS]);
      const download = await begin(cli.url + path);
      cli.kill(signal);
      await cli.printed(new RegExp(`${signal}, finishing 1 requests within 25 s`));
      await assert.rejects(connected(cli.url), { code: 'ECONNREFUSED' });
      origin.rest.resolve();
      assert.equal(await text(download), '0123456789');
      assert.deepEqual(await cli.ended, { code: 0, signal: null });
    });
  }
}

test('while it drains, a connection that is already there hears that it is not ready, but alive', async (t) => {
  const origin = await halvingOrigin(t);
  const cli = await serve(t, ['--origin', origin.url, ...FLAGS]);
  const [first, second] = [await connected(cli.url), await connected(cli.url)];
  // Connections are accepted in order: when this one is answered, the two have been accepted.
  const download = await begin(`${cli.url}/plain`);
  cli.kill('SIGTERM');
  await cli.printed(/SIGTERM, finishing/);
  first.end('GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n');
  second.end('GET /-/live HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(await text(first), /^HTTP\/1\.1 503 [\s\S]*Connection: close[\s\S]*draining\n$/);
  assert.match(await text(second), /^HTTP\/1\.1 200 [\s\S]*ok\n$/);
  origin.rest.resolve();
  assert.equal(await text(download), '0123456789');
  assert.equal((await cli.ended).code, 0);
});

test('connections that ask for nothing do not hold it up', async (t) => {
  const origin = await halvingOrigin(t);
  const cli = await serve(t, ['--origin', origin.url, ...FLAGS]);
  const silent = await connected(cli.url);
  silent.on('error', () => {});
  const closed = new Promise((resolve) => silent.resume().once('close', resolve));
  await ask(`${cli.url}/-/live`);
  cli.kill('SIGTERM');
  await closed;
  assert.equal((await cli.ended).code, 0);
});

test('what has not ended after --shutdown-timeout is cut off visibly, and it exits with 0', async (t) => {
  const origin = await halvingOrigin(t);
  const cli = await serve(t, ['--origin', origin.url, ...FLAGS, '--shutdown-timeout', '0.2']);
  const download = await begin(`${cli.url}/plain`);
  download.on('error', () => {});
  cli.kill('SIGTERM');
  await new Promise((resolve) => download.resume().once('close', resolve));
  assert.equal(download.complete, false);
  assert.deepEqual(await cli.ended, { code: 0, signal: null });
  assert.match(cli.stderr(), /1 requests were cut off/);
});

for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  test(`a second signal ends it at once: ${signal}, exit code ${code}`, async (t) => {
    const origin = await halvingOrigin(t);
    const cli = await serve(t, ['--origin', origin.url, ...FLAGS]);
    const download = await begin(`${cli.url}/cached/1`);
    download.on('error', () => {});
    cli.kill('SIGTERM');
    await cli.printed(/SIGTERM, finishing/);
    cli.kill(signal);
    assert.deepEqual(await cli.ended, { code, signal: null });
  });
}

test('a download that its client has left is finished before it exits, and answers the next process', async (t) => {
  const origin = await halvingOrigin(t);
  const cli = await serve(t, ['--origin', origin.url, ...FLAGS, '--access-log']);
  const { hostname, port } = new URL(cli.url);
  const req = request({ hostname, port, path: '/cached/1', agent: false }).end();
  const [res] = await once(req, 'response');
  res.on('error', () => {});
  req.destroy();
  await cli.printed(/^GET \/cached\/1 .*broken$/m);
  cli.kill('SIGTERM');
  await cli.printed(/SIGTERM, finishing 0 requests/);
  origin.rest.resolve();
  assert.equal((await cli.ended).code, 0);

  const next = await serve(t, ['--origin', 'http://127.0.0.1:1', ...FLAGS, '--directory', cli.directory]);
  assert.equal(await text(await begin(`${next.url}/cached/1`)), '0123456789');
});
