import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryCache } from '../../lib/index.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, barrier, filtered, respond, said } from '../support/filtered.ts';
import { KINDS } from '../support/servers.ts';

const routes = [{ path: '/files/:id', name: 'files' }];

for (const kind of KINDS) {
  describe(`${kind}: a matched DELETE`, () => {
    test('that succeeds purges the entry, with all its variants and spellings', async (t) => {
      const { get, filter, calls } = await filtered(t, { routes, ...onDisk(t) }, undefined, kind);
      for (const path of ['/files/a', '/files/a?x=1', '/files/b']) await get(path);
      assert.equal((await filter.stats()).entries, 3);
      const answer = await get('/files/%61/', {}, { method: 'DELETE' });
      assert.equal(answer.status, 204);
      assert.equal((await filter.stats()).entries, 1);
      assert.equal(said(await get('/files/a')), 'fwd=uri-miss; stored');
      assert.equal(said(await get('/files/b')), 'hit');
      assert.equal(calls(), 5);
    });

    test('is answered only when the purge has happened', async (t) => {
      const cache = new MemoryCache();
      const purging = barrier();
      const go = barrier();
      const invalidate = cache.invalidate.bind(cache);
      cache.invalidate = async (what) => {
        purging.reach();
        await go.reached;
        return invalidate(what);
      };
      const { get } = await filtered(t, { routes, cache }, undefined, kind);
      await get('/files/a');
      let answered = false;
      const deleted = get('/files/a', {}, { method: 'DELETE' }).then((answer) => {
        answered = true;
        return answer;
      });
      await purging.reached;
      // While it is held, the entry is already out of reach.
      assert.notEqual(said(await get('/files/a')), 'hit');
      assert.equal(answered, false);
      go.reach();
      assert.equal((await deleted).status, 204);
    });

    for (const status of [206, 302, 403, 404, 409, 500]) {
      test(`that is answered ${status} changes nothing`, async (t) => {
        const { get } = await filtered(
          t,
          { routes },
          (req, res) => {
            if (req.method !== 'DELETE') return respond(req, res);
            res.writeHead(status, { 'X-Own': 'yes' });
            res.end('text');
          },
          kind,
        );
        await get('/files/a');
        const answer = await get('/files/a', {}, { method: 'DELETE' });
        assert.deepEqual(
          [answer.status, answer.headers['x-own'], answer.body.toString()],
          [status, 'yes', 'text'],
        );
        assert.equal(said(await get('/files/a')), 'hit');
      });
    }

    test('during a fill: those who read it get it to the end, and it is not kept', async (t) => {
      const half = barrier();
      const go = barrier();
      const { get, filter, calls } = await filtered(
        t,
        { routes, ...onDisk(t) },
        async (req, res) => {
          if (req.method === 'DELETE') return respond(req, res);
          res.writeHead(200, { 'Content-Length': BODY.length });
          res.write(BODY.subarray(0, 10));
          half.reach();
          await go.reached;
          res.end(BODY.subarray(10));
        },
        kind,
      );
      const reading = get('/files/a');
      await half.reached;
      assert.equal((await get('/files/a', {}, { method: 'DELETE' })).status, 204);
      go.reach();
      const answer = await reading;
      assert.ok(answer.complete && answer.body.equals(BODY));
      await filter.idle();
      assert.equal((await filter.stats()).entries, 0);
      await get('/files/a');
      assert.equal(calls(), 3);
    });
  });
}

describe('filter.purge', () => {
  test('by id, by key, by URL below any mount point, and all', async (t) => {
    const { get, filter } = await filtered(t, { routes, ...onDisk(t) });
    for (const id of ['a', 'b', 'c', 'd', 'e']) await get(`/files/${id}?v=1`);
    assert.equal(await filter.purge({ id: 'a' }), 1);
    assert.equal(await filter.purge({ id: 'b', route: 'files' }), 1);
    await assert.rejects(
      filter.purge({ id: 'b', route: 'other' }),
      /no route named "other"; there are files/,
    );
    for (const target of [{}, undefined, null, 'a', { id: 7 }])
      await assert.rejects(filter.purge(target as never), {
        option: 'purge',
        message: /purge takes { id }, { key }, { url } or { all: true }/,
      });
    await assert.rejects(filter.purge({ url: 'http://[' }), {
      option: 'purge',
      message: /a path or a whole URL, such as '\/files\/42'; got "http:\/\/\["/,
    });
    assert.equal(await filter.purge({ key: '/files/c' }), 1);
    assert.equal(await filter.purge({ url: 'http://anywhere/files/d' }), 1);
    assert.equal(said(await get('/files/e?v=1')), 'hit');
    assert.equal(await filter.purge({ all: true }), 1);
    assert.equal(said(await get('/files/e?v=1')), 'fwd=uri-miss; stored');
  });

  test('a disk that refuses leaves the entry unreachable all the same', async (t) => {
    const cache = new MemoryCache();
    const { get } = await filtered(t, { routes, cache });
    await get('/files/a');
    let refused = 0;
    const invalidate = cache.invalidate.bind(cache);
    cache.invalidate = async () => {
      refused++;
      throw new Error('deliberate');
    };
    assert.equal((await get('/files/a', {}, { method: 'DELETE' })).status, 204);
    assert.equal(refused, 1, 'the fault fired');
    assert.notEqual(said(await get('/files/a')), 'hit');
    cache.invalidate = invalidate;
  });

  for (const target of [
    { id: 'a' },
    { id: 'a', route: 'files' },
    { key: '/files/a' },
    { url: '/files/a' },
    { all: true },
  ] as const) {
    test(`a purge by ${JSON.stringify(target)} that the cache refuses is told, and holds`, async (t) => {
      const cache = new MemoryCache();
      const { get, filter } = await filtered(t, { routes, cache });
      await get('/files/a');
      assert.equal(said(await get('/files/a')), 'hit');
      const invalidate = cache.invalidate.bind(cache);
      let refused = 0;
      cache.invalidate = async () => {
        refused++;
        throw new Error('deliberate');
      };
      await assert.rejects(filter.purge(target), /deliberate/);
      assert.equal(refused, 1, 'the fault fired');
      // What was stored in the very millisecond of the purge counts as purged.
      for (const at = Date.now(); Date.now() === at; ) await new Promise((resolve) => setImmediate(resolve));
      cache.invalidate = invalidate;
      assert.equal(
        said(await get('/files/a')),
        'fwd=stale; stored',
        'what was to go is not served, but replaced',
      );
      assert.equal(said(await get('/files/a')), 'hit', 'and what was stored since is');
    });
  }
});
