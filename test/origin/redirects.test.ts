import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { certificate } from '../support/certificate.ts';
import { bytesOf, get, head, originOf, rawServer, redirectTo, statusOnly } from './raw.ts';

const OURS = [
  ['Authorization', 'Bearer ours'],
  ['X-Place', 'ours'],
] as const;
const THEIRS = [
  ['Cookie', 'theirs'],
  ['X-Auth-Token', 'theirs'],
  ['PRIVATE-TOKEN', 'theirs'],
  ['Accept', 'x/y'],
  ['Range', 'bytes=0-1'],
] as const;

for (const status of [301, 302, 303, 307, 308]) {
  test(`a GET follows a ${status} on its own host with everything it has`, async (t) => {
    const server = await rawServer(t, (socket, { path }) =>
      socket.write(path === '/file' ? redirectTo('/there?x=%20', status) : `${head(2)}ok`),
    );
    const origin = originOf(t);
    const answer = await origin.fetch(get(server.target('/file', [...OURS]), { headers: [...THEIRS] }));
    assert.equal(String(await bytesOf(answer.body)), 'ok');
    assert.equal(answer.url, `${server.url}/there?x=%20`);
    const [first, second] = server.requests;
    assert.equal(second?.path, '/there?x=%20');
    assert.deepEqual(second?.fields, first?.fields);
    assert.equal(second?.fields.get('authorization'), 'Bearer ours');
    assert.equal(server.connections, 1, 'the connection of a redirect is used again');
  });
}

test('what says who asks does not go to another host, nor back again', async (t) => {
  const cdn = await rawServer(t, (socket) => socket.write(redirectTo(`${server.url}/back`)));
  const server = await rawServer(t, (socket, { path }) =>
    socket.write(path === '/file' ? redirectTo(`${cdn.url}/elsewhere`) : `${head(2)}ok`),
  );
  const answer = await originOf(t).fetch(get(server.target('/file', [...OURS]), { headers: [...THEIRS] }));
  assert.equal(String(await bytesOf(answer.body)), 'ok');
  assert.equal(server.requests[0]?.fields.get('x-auth-token'), 'theirs', 'sent where it belongs');
  for (const request of [cdn.requests[0], server.requests[1]]) {
    const names = [...(request?.fields.keys() ?? [])].sort();
    assert.deepEqual(names, ['accept', 'accept-encoding', 'connection', 'host', 'range', 'user-agent']);
  }
  assert.equal(cdn.requests[0]?.fields.get('host'), cdn.host);
});

for (const [name, location] of [
  ['to itself', '/file'],
  ['round and round', '/other'],
] as const) {
  test(`a redirect ${name} ends`, async (t) => {
    const server = await rawServer(t, (socket, { path }) =>
      socket.write(redirectTo(path === '/file' ? location : '/file')),
    );
    const origin = originOf(t, { maxRedirects: 4 });
    await assert.rejects(origin.fetch(get(server.target())), {
      reason: 'redirect',
      message: /more than 4 redirects/,
    });
    assert.equal(server.requests.length, 5);
    assert.equal(origin.load.running, 0);
  });
}

for (const [location, message] of [
  ['ftp://127.0.0.1/x', /leads to ftp:/],
  ['file:///etc/passwd', /leads to file:/],
  ['http://name:secret@127.0.0.1/', /user information/],
  ['http://[::1', /no URL/],
] as const) {
  test(`a redirect to ${location} is refused, and the next target asked`, async (t) => {
    const server = await rawServer(t, (socket) => socket.write(redirectTo(location)));
    const origin = originOf(t);
    await assert.rejects(origin.fetch(get(server.target())), (error: Error & { reason?: string }) => {
      assert.match(error.message, message);
      return error.reason === 'redirect' && !error.message.includes('secret');
    });
    const other = await rawServer(t, (socket) => socket.write(`${head(2)}ok`));
    assert.equal((await origin.fetch(get([server.target(), other.target()]))).status, 200);
  });
}

test('two places to go to are none', async (t) => {
  const server = await rawServer(t, (socket) =>
    socket.write(statusOnly(302, 'Location: /a', 'Location: /b')),
  );
  await assert.rejects(originOf(t).fetch(get(server.target())), { reason: 'redirect' });
});

test('a redirect without a place, one of a request that changes something, and 300 and 304 are answers', async (t) => {
  const server = await rawServer(t, (socket, { path }) =>
    socket.write(path === '/file' ? statusOnly(302) : redirectTo('/file', Number(path.slice(1)))),
  );
  const origin = originOf(t);
  assert.equal((await origin.fetch(get(server.target()))).status, 302);
  assert.equal((await origin.fetch(get(server.target('/307'), { method: 'POST' }))).status, 307);
  assert.equal((await origin.fetch(get(server.target('/300')))).status, 300);
  assert.equal((await origin.fetch(get(server.target('/304')))).status, 304);
});

/** An https server, and an agent that trusts it. */
async function secure(t: TestContext, location: () => string): Promise<{ url: URL; agent: Agent }> {
  const server = createServer(certificate(), (_req, res) => {
    if (location() === '') res.end('ok');
    else res.writeHead(302, { Location: location() }).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const agent = new Agent({ rejectUnauthorized: false, keepAlive: true });
  t.after(() => {
    agent.destroy();
    server.close();
    server.closeAllConnections();
  });
  return { url: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`), agent };
}

test('https: is spoken, over connections of the caller’s own making', async (t) => {
  const { url, agent } = await secure(t, () => '');
  const origin = originOf(t, { agents: { https: agent } });
  for (let i = 0; i < 2; i++) {
    assert.equal(String(await bytesOf((await origin.fetch(get({ url }))).body)), 'ok');
  }
  await assert.rejects(originOf(t, { retries: 0 }).fetch(get({ url })), {
    reason: 'unreachable',
    message: /CERT|SIGNED/,
  });
});

test('a redirect from https: to http: is refused', async (t) => {
  const plain = await rawServer(t, (socket) => socket.write(`${head(2)}ok`));
  const { url, agent } = await secure(t, () => `${plain.url}/`);
  const origin = originOf(t, { agents: { https: agent } });
  await assert.rejects(origin.fetch(get({ url })), { reason: 'redirect', message: /https: to http:/ });
  assert.equal(plain.requests.length, 0);
});
