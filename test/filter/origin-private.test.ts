/** What our credentials could fetch is for nobody who may not have it, however it is asked for. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deferred } from '../support/deferred.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, filtered } from '../support/filtered.ts';
import { giving, originOf } from '../support/origin.ts';

const notAsked = () => assert.fail('the application was asked');
const ALICE = { 'x-user': 'alice' };
const SECRET = { Authorization: 'Bearer ours' };

/** Alice may have everything, nobody else anything. */
const authorize = ({ req }: { req?: { headers: Record<string, unknown> } }) =>
  req?.headers['x-user'] === 'alice';

describe('whoever may not have it is refused, and the origin is not asked', () => {
  for (const [what, method, headers] of [
    ['a miss', 'GET', {}],
    ['a part of what is not stored', 'GET', { range: 'bytes=1-2' }],
    ['several parts', 'GET', { range: 'bytes=0-0,-1' }],
    ['HEAD', 'HEAD', {}],
    ['a conditional request', 'GET', { 'if-none-match': '"one"' }],
    ['one with credentials of its own', 'GET', { authorization: 'Bearer theirs' }],
    ['one that names another user twice', 'GET', { 'x-user': 'alice, mallory' }],
    ['a DELETE that is forwarded', 'DELETE', {}],
  ] as const) {
    test(what, async (t) => {
      const origin = await originOf(t, giving(BODY));
      const { get, filter } = await filtered(
        t,
        {
          ...onDisk(t),
          origin: { url: origin.url, headers: SECRET },
          forwardMethods: ['DELETE'],
          routes: [{ path: '/files/:id', purge: ['DELETE'] }],
          authorize: authorize as never,
        },
        notAsked,
      );
      const refused = await get('/files/a', headers, { method });
      assert.equal(refused.status, 403);
      assert.ok(!refused.body.includes(BODY.subarray(0, 5)));
      assert.equal(refused.headers['etag'], undefined);
      await filter.idle();
      assert.equal(origin.asked.length, 0);
    });
  }

  test('one who comes while it is fetched', async (t) => {
    const [begun, go] = [deferred(), deferred()];
    const origin = await originOf(t, async (req, res) => {
      begun.resolve();
      await go.promise;
      giving(BODY)(req, res);
    });
    const { get } = await filtered(
      t,
      { ...onDisk(t), origin: { url: origin.url, headers: SECRET }, authorize: authorize as never },
      notAsked,
    );
    const hers = get('/a', ALICE);
    await begun.promise;
    const his = await Promise.all(
      [{}, { range: 'bytes=0-3' }, { 'if-none-match': '"one"' }].map((each) =>
        get('/a', each as Record<string, string>),
      ),
    );
    assert.deepEqual(
      his.map(({ status }) => status),
      [403, 403, 403],
    );
    go.resolve();
    assert.deepEqual((await hers).body, BODY);
    assert.equal(origin.asked.length, 1);
  });

  test('one who joins a prefetch', async (t) => {
    const [begun, go] = [deferred(), deferred()];
    const origin = await originOf(t, async (_req, res) => {
      res.writeHead(200, { 'Content-Length': BODY.length });
      res.write(BODY.subarray(0, 5));
      begun.resolve();
      await go.promise;
      res.end(BODY.subarray(5));
    });
    const { get, filter } = await filtered(
      t,
      {
        ...onDisk(t),
        routes: [{ path: '/files/:id' }],
        origin: { url: origin.url, headers: SECRET },
        authorize: authorize as never,
      },
      notAsked,
    );
    const fetched = filter.prefetch('a');
    await begun.promise;
    assert.equal((await get('/files/a')).status, 403);
    go.resolve();
    await fetched;
    assert.equal((await get('/files/a')).status, 403);
    assert.equal((await get('/files/a', ALICE)).status, 200);
    assert.equal(origin.asked.length, 1);
  });

  test('what is stale, and what is known not to be there', async (t) => {
    const origin = await originOf(t, (req, res) => {
      if (req.url === '/none') res.writeHead(404).end('nothing');
      else giving(BODY)(req, res);
    });
    const { get, filter } = await filtered(
      t,
      {
        ...onDisk(t),
        freshness: { ttlMs: 1, staleWhileRevalidateMs: 60_000, staleIfErrorMs: 60_000 },
        negativeTtlMs: 60_000,
        origin: { url: origin.url, headers: SECRET },
        authorize: authorize as never,
      },
      notAsked,
    );
    await get('/a', ALICE);
    await get('/none', ALICE);
    await filter.idle();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const before = origin.asked.length;
    const answers = await Promise.all(
      ['/a', '/none'].flatMap((path) => [
        get(path),
        get(path, { range: 'bytes=0-1' }),
        get(path, {}, { method: 'HEAD' }),
      ]),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [403, 403, 403, 403, 403, 403],
    );
    await filter.idle();
    assert.equal(origin.asked.length, before, 'the origin was not asked on their behalf');
  });
});
