import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { type AuthorizeOutcome, getCacheInfo, type HookContext } from '../../lib/index.ts';
import { BODY, barrier, filtered, respond, said } from '../support/filtered.ts';

const routes = [{ path: '/files/:id', name: 'files' }];

describe('on a hit the caller is asked for before any byte', () => {
  test('metadata, then authorize, each with the request, the id and what came before; the leader is not asked', async (t) => {
    const asked: unknown[] = [];
    const { get } = await filtered(t, {
      routes,
      metadata: ({ req, id, key, route, params, signal }: HookContext) => {
        asked.push(['metadata', req.headers['x-user'], id, key, route, params, signal.aborted]);
        return { size: BODY.length, owner: 'ann' };
      },
      authorize: ({ req, resource, entry }) => {
        asked.push(['authorize', req.headers['x-user'], (resource as { owner: string }).owner, entry?.size]);
        return true;
      },
    });
    await get('/files/a', { 'X-User': 'ann' });
    assert.deepEqual(asked, []);
    assert.equal(said(await get('/files/a', { 'X-User': 'bob' })), 'hit');
    assert.deepEqual(asked, [
      ['metadata', 'bob', 'a', '/files/a', 'files', { id: 'a' }, false],
      ['authorize', 'bob', 'ann', BODY.length],
    ]);
  });

  for (const [outcome, status, after] of [
    [true, 200, 'hit'],
    ['serve', 200, 'hit'],
    [false, 403, 'kept'],
    [{ status: 451 }, 451, 'kept'],
    ['bypass', 200, 'kept'],
    ['purge', 200, 'replaced'],
  ] as const) {
    test(`authorize says ${JSON.stringify(outcome)}: ${status}, the entry is ${after}`, async (t) => {
      let answer: AuthorizeOutcome = true;
      const { get, calls, filter } = await filtered(t, { routes, authorize: () => answer });
      await get('/files/a');
      answer = outcome;
      assert.equal((await get('/files/a')).status, status);
      await filter.idle();
      answer = true;
      assert.equal(said(await get('/files/a')), 'hit');
      assert.equal(calls(), outcome === 'bypass' || outcome === 'purge' ? 2 : 1);
    });
  }

  for (const [outcome, status, expected] of [
    [undefined, 404, { calls: 1, entries: 1 }],
    ['deleted', 404, { calls: 1, entries: 0 }],
    [{ status: 'deleted' }, 404, { calls: 1, entries: 0 }],
    ['deactivated', 200, { calls: 2, entries: 1 }],
    [{ status: 'deactivated', size: 1 }, 200, { calls: 2, entries: 1 }],
    [{ size: BODY.length }, 200, { calls: 1, entries: 1 }],
    [{ size: BODY.length + 1 }, 200, { calls: 2, entries: 1 }],
    [
      { digests: [`sha256:${createHash('sha256').update(BODY).digest('hex')}`] },
      200,
      { calls: 1, entries: 1 },
    ],
    [{ digests: [`sha256:${'0'.repeat(64)}`] }, 200, { calls: 2, entries: 1 }],
  ] as const) {
    test(`metadata says ${JSON.stringify(outcome)}: ${status}, ${JSON.stringify(expected)}`, async (t) => {
      const { get, calls, filter } = await filtered(t, { routes, metadata: () => outcome as object });
      await get('/files/a');
      const answer = await get('/files/a');
      await filter.idle();
      assert.equal(answer.status, status);
      assert.equal(calls(), expected.calls);
      assert.equal((await filter.stats()).entries, expected.entries);
    });
  }

  for (const [name, hooks] of [
    ['bypass', { bypass: fail }],
    ['metadata', { metadata: fail }],
    ['authorize', { authorize: fail }],
    ['bypass with an answer that is neither yes nor no', { bypass: () => 'maybe' as unknown as boolean }],
    ['metadata with a size that is no number', { metadata: () => ({ size: '36' }) }],
    ['metadata with a word it does not have', { metadata: () => 'gone' as 'deleted' }],
    ['authorize with an answer that means nothing', { authorize: () => 'perhaps' as 'serve' }],
  ] as const) {
    test(`${name} that fails goes to the error handler, and nothing is served`, async (t) => {
      const { get, filter } = await filtered(t, { routes });
      await get('/files/a');
      const failing = await filtered(t, { routes, cache: filter.cache, ...hooks });
      const answer = await failing.get('/files/a');
      assert.equal(answer.status, 500);
      assert.equal(failing.calls(), 0);
      assert.equal(answer.body.includes(BODY), false);
    });
  }
});

function fail(): never {
  throw new Error('deliberate');
}

test('bypass steps aside: the application answers, nothing is stored', async (t) => {
  const { get, filter, calls } = await filtered(t, {
    bypass: ({ req }: HookContext) => req.headers['x-direct'] === 'yes',
  });
  assert.equal(said(await get('/', { 'X-Direct': 'yes' })), 'fwd=bypass; detail=bypass');
  assert.equal((await filter.stats()).entries, 0);
  await get();
  assert.equal(said(await get('/', { 'X-Direct': 'yes' })), 'fwd=bypass; detail=bypass');
  assert.equal(calls(), 3);
});

test('a caller who may not have it does not get it from a running fill either', async (t) => {
  const half = barrier();
  const go = barrier();
  const asked = barrier();
  const { get, calls } = await filtered(
    t,
    {
      routes,
      authorize: ({ req }) => {
        if (req.headers['x-user'] === 'ann') asked.reach();
        return req.headers['x-user'] === 'ann';
      },
    },
    async (_req, res) => {
      res.writeHead(200, { 'Content-Length': BODY.length });
      res.write(BODY.subarray(0, 10));
      half.reach();
      await go.reached;
      res.end(BODY.subarray(10));
    },
  );
  const leader = get('/files/a', { 'X-User': 'ann' });
  await half.reached;
  const stranger = await get('/files/a', { 'X-User': 'eve' });
  assert.equal(stranger.status, 403);
  const friend = get('/files/a', { 'X-User': 'ann' });
  await asked.reached;
  go.reach();
  assert.equal(said(await friend), 'fwd=uri-miss; collapsed');
  assert.ok((await leader).body.equals(BODY));
  assert.equal(calls(), 1);
});

test('with authorize, credentials are no obstacle; without, they are; for anyone they are none', async (t) => {
  const credentials = { Authorization: 'Bearer 1' };
  const open = await filtered(t, { authorize: () => true });
  await open.get('/', credentials);
  assert.equal(said(await open.get('/', credentials)), 'hit');
  const closed = await filtered(t);
  assert.equal(said(await closed.get('/', credentials)), 'fwd=uri-miss; detail=credentials');
  await closed.get();
  assert.equal(said(await closed.get('/', credentials)), 'fwd=bypass; detail=credentials');
  const anyone = await filtered(t, { authorize: 'anyone' });
  await anyone.get('/', credentials);
  assert.equal(said(await anyone.get('/', credentials)), 'hit');
});

test('getCacheInfo tells the application what happened', async (t) => {
  const infos: unknown[] = [];
  const { get } = await filtered(t, { routes }, (req, res) => {
    infos.push({ ...getCacheInfo(res) });
    respond(req, res);
    infos.push({ ...getCacheInfo(res) });
  });
  await get('/files/a');
  await get('/elsewhere');
  const common = { status: 'miss', route: 'files', id: 'a', key: '/files/a' };
  assert.deepEqual(infos, [common, common, {}, {}]);
});
