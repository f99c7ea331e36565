import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../support/deferred.ts';
import { get, head, originOf, rawServer, statusOnly, until } from './raw.ts';

test('a host that fails several times in a row is left alone, then asked once, and then again by everybody', async (t) => {
  let well = false;
  const probed = deferred();
  const server = await rawServer(t, async (socket, { path }) => {
    if (!well) return socket.destroy();
    if (path === '/probe') await probed.promise;
    return socket.write(statusOnly(200));
  });
  const origin = originOf(t, { retries: 0, breaker: { failures: 3, openMs: 200 } });
  for (let i = 0; i < 3; i++) {
    await assert.rejects(origin.fetch(get(server.target())), { reason: 'unreachable' });
  }
  const open = { reason: 'circuit-open', status: 503, headers: { 'Retry-After': '1' } };
  await assert.rejects(origin.fetch(get(server.target())), open);
  assert.equal(server.requests.length, 3);
  await sleep(220);
  // One that fails opens it anew.
  await assert.rejects(origin.fetch(get(server.target())), { reason: 'unreachable' });
  await assert.rejects(origin.fetch(get(server.target())), open);
  assert.equal(server.requests.length, 4);
  well = true;
  await sleep(220);
  const probe = origin.fetch(get(server.target('/probe')));
  await until(() => server.requests.length === 5);
  await assert.rejects(origin.fetch(get(server.target())), open);
  probed.resolve();
  assert.equal((await probe).status, 200);
  assert.equal((await origin.fetch(get(server.target()))).status, 200);
});

test('a probe that is ended by us lets the next one through', async (t) => {
  let well = false;
  const server = await rawServer(t, (socket, { path }) => {
    if (!well) socket.destroy();
    else if (path !== '/hangs') socket.write(statusOnly(200));
  });
  const origin = originOf(t, { retries: 0, breaker: { failures: 1, openMs: 50 } });
  await assert.rejects(origin.fetch(get(server.target())), { reason: 'unreachable' });
  well = true;
  await sleep(60);
  const leaving = new AbortController();
  const probe = origin.fetch(get(server.target('/hangs'), { signal: leaving.signal }));
  await until(() => server.requests.length === 2);
  leaving.abort(new Error('left'));
  await assert.rejects(probe, /left/);
  assert.equal((await origin.fetch(get(server.target()))).status, 200);
});

test('a gateway that fails counts, an answer of another status does not', async (t) => {
  const server = await rawServer(t, (socket, { path }) => socket.write(statusOnly(Number(path.slice(1)))));
  const origin = originOf(t, { retries: 0, breaker: { failures: 2, openMs: 60_000 } });
  for (const status of [404, 500, 429, 503, 401, 502, 200, 503]) {
    assert.equal((await origin.fetch(get(server.target(`/${status}`)))).status, status);
  }
  assert.equal((await origin.fetch(get(server.target('/504')))).status, 504);
  await assert.rejects(origin.fetch(get(server.target('/200'))), { reason: 'circuit-open' });
});

test('a host that is left alone is passed over, and the retries stop when it comes to that', async (t) => {
  const bad = await rawServer(t, (socket) => socket.destroy());
  const good = await rawServer(t, (socket) => socket.write(`${head(0)}`));
  const origin = originOf(t, { retries: 5, breaker: { failures: 2, openMs: 60_000 } });
  const both = [bad.target(), good.target()];
  assert.equal((await origin.fetch(get(both))).status, 200);
  assert.equal(bad.requests.length, 2);
  assert.equal((await origin.fetch(get(both))).status, 200);
  assert.equal((await origin.fetch(get(both, { method: 'DELETE' }))).status, 200);
  assert.equal(bad.requests.length, 2);
  // The failure of the last attempt says more than that no further one is made.
  const other = originOf(t, { retries: 5, breaker: { failures: 2, openMs: 60_000 } });
  await assert.rejects(other.fetch(get(bad.target())), { reason: 'unreachable' });
  await assert.rejects(other.fetch(get([bad.target('/a'), bad.target('/b')])), { reason: 'circuit-open' });
});
