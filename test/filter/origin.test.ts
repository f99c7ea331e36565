/** With an origin the filter fetches what it does not have itself. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { describe, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import {
  type CacheFilter,
  type CacheFilterOptions,
  cacheFilter,
  getCacheInfo,
  MemoryCache,
  type OriginFetch,
  type Route,
} from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { deferred } from '../support/deferred.ts';
import { BODY, filtered, said } from '../support/filtered.ts';
import { giving, originOf } from '../support/origin.ts';
import { KINDS, type Kind } from '../support/servers.ts';

const notAsked = () => assert.fail('the application was asked');

describe('a filter with an origin', () => {
  for (const kind of KINDS) {
    test(`fetches once, and answers from what it has kept (${kind})`, async (t) => {
      const origin = await originOf(t, giving(BODY, { 'Content-Type': 'text/plain' }));
      const { get, calls } = await filtered(t, { origin: origin.url }, notAsked, kind as Kind);
      const first = await get('/files/1?a=b');
      assert.equal(first.status, 200);
      assert.deepEqual(first.body, BODY);
      assert.equal(first.headers['content-type'], 'text/plain');
      assert.equal(said(first), 'fwd=uri-miss; stored');
      const second = await get('/files/1?a=b');
      assert.deepEqual(second.body, BODY);
      assert.match(said(second), /^hit/);
      assert.deepEqual(
        origin.asked.map(({ method, url }) => `${method} ${url}`),
        ['GET /files/1?a=b'],
      );
      assert.equal(calls(), 0);
    });
  }

  test('asks below the path of the URL, with its own headers and with what the client may say', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const place = { url: `${origin.url}/store/`, headers: { Authorization: 'Bearer ours' } };
    const { get } = await filtered(t, { origin: place, authorize: 'anyone' }, notAsked);
    const headers = { Authorization: 'Bearer mine', Cookie: 'a=b', Accept: 'text/plain', 'X-Else': '1' };
    assert.equal((await get('/a%20b//c?x=%2F', headers)).status, 200);
    const [request] = origin.asked;
    assert.equal(request?.url, '/store/a%20b//c?x=%2F');
    assert.equal(request?.headers.authorization, 'Bearer ours');
    assert.equal(request?.headers.accept, 'text/plain');
    assert.equal(request?.headers.cookie, undefined);
    assert.equal(request?.headers['x-else'], undefined);
    assert.equal(request?.headers['accept-encoding'], 'identity');
  });

  test('asks the policy before the origin, whoever comes first', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const { get } = await filtered(
      t,
      {
        origin: { url: origin.url, headers: { Authorization: 'Bearer ours' } },
        metadata: ({ id }) => (id === '/gone' ? undefined : { id }),
        authorize: ({ req }) => (req as IncomingMessage).headers['x-user'] === 'alice',
      },
      notAsked,
    );
    assert.equal((await get('/private')).status, 403);
    assert.equal((await get('/gone', { 'x-user': 'alice' })).status, 404);
    assert.equal((await get('/private', { range: 'bytes=0-3' })).status, 403);
    assert.equal((await ask((await filtered(t)).server, {})).status, 200);
    assert.equal(origin.asked.length, 0);
    assert.deepEqual((await get('/private', { 'x-user': 'alice' })).body, BODY);
    assert.equal((await get('/private')).status, 403);
    assert.equal((await get('/private', {}, { method: 'HEAD' })).status, 403);
    assert.equal(origin.asked.length, 1);
  });

  test('fetches once for all who ask at the same time', async (t) => {
    const arrived = deferred();
    const origin = await originOf(t, async (req, res) => {
      await arrived.promise;
      giving(BODY)(req, res);
    });
    const { get, filter } = await filtered(t, { origin: origin.url }, notAsked);
    const answers = Array.from({ length: 5 }, () => get('/one'));
    while ((await filter.stats()).requests.running < 5) await new Promise((resolve) => setImmediate(resolve));
    arrived.resolve();
    for (const { body, complete } of await Promise.all(answers)) {
      assert.deepEqual(body, BODY);
      assert.equal(complete, true);
    }
    assert.equal(origin.asked.length, 1);
  });

  test('hands on what is not to be kept, and keeps none of it', async (t) => {
    const origin = await originOf(t, (_req, res) => {
      res.writeHead(200, { 'Cache-Control': 'no-store', 'X-Own': 'yes', 'Content-Length': BODY.length });
      res.end(BODY);
    });
    const { get, filter } = await filtered(t, { origin: origin.url }, notAsked);
    for (const _ of [1, 2]) {
      const answer = await get('/one');
      assert.deepEqual(answer.body, BODY);
      assert.equal(answer.headers['x-own'], 'yes');
      assert.equal(said(answer), 'fwd=uri-miss; detail=no-store');
    }
    const part = await get('/one', { range: 'bytes=10-19' });
    assert.equal(part.status, 206);
    assert.deepEqual(part.body, BODY.subarray(10, 20));
    assert.equal((await filter.stats()).entries, 0);
    assert.equal((await filter.stats()).servedBytes.origin, 2 * BODY.length + 10);
  });

  test('hands on a 404, with its body', async (t) => {
    const origin = await originOf(t, (_req, res) =>
      res.writeHead(404, { 'X-Why': 'gone' }).end('nothing here'),
    );
    const { get } = await filtered(t, { origin: origin.url }, notAsked);
    const answer = await get('/one');
    assert.equal(answer.status, 404);
    assert.equal(answer.headers['x-why'], 'gone');
    assert.equal(String(answer.body), 'nothing here');
    assert.equal(said(answer), 'fwd=uri-miss; detail=not-200');
  });

  test('hands on HEAD and conditional requests for what is not stored', async (t) => {
    const origin = await originOf(t, (req, res) => {
      if (req.headers['if-none-match'] === '"one"') res.writeHead(304, { ETag: '"one"' }).end();
      else giving(BODY)(req, res);
    });
    const { get, filter } = await filtered(t, { origin: origin.url }, notAsked);
    const head = await get('/one', {}, { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-length'], String(BODY.length));
    assert.equal(head.body.length, 0);
    const same = await get('/one', { 'if-none-match': '"one"' });
    assert.equal(same.status, 304);
    assert.equal(said(same), 'fwd=uri-miss; detail=conditional');
    assert.equal((await filter.stats()).entries, 0);
    assert.deepEqual(
      origin.asked.map(({ method }) => method),
      ['HEAD', 'GET'],
    );
  });

  test('goes on when its client leaves, unless clientAbort says otherwise', async (t) => {
    for (const clientAbort of ['finish', 'discard'] as const) {
      const gone = deferred();
      const begun = deferred();
      const origin = await originOf(t, async (_req, res) => {
        res.writeHead(200, { 'Content-Length': BODY.length });
        res.write(BODY.subarray(0, 10));
        begun.resolve();
        await gone.promise;
        res.end(BODY.subarray(10));
      });
      const { get, filter } = await filtered(t, { origin: origin.url, clientAbort }, notAsked);
      const leaving = new AbortController();
      const left = get('/one', {}, { signal: leaving.signal });
      await begun.promise;
      leaving.abort();
      assert.equal((await left).complete, false);
      if (clientAbort === 'finish') {
        gone.resolve();
        await filter.idle();
        assert.match(said(await get('/one')), /^hit/);
      } else {
        await origin.asked[0]?.closed;
        gone.resolve();
        await filter.idle();
        assert.equal((await filter.stats()).entries, 0);
        assert.equal((await filter.stats()).reasons.discarded, 1);
      }
    }
  });

  test('tells all who waited when there is no answer, and asks no more than it has to', async (t) => {
    const asked = deferred();
    const all = deferred();
    const origin = await originOf(t, async (req, res, n) => {
      if (n === 1) asked.resolve();
      await all.promise;
      (res.socket as NonNullable<typeof res.socket>).resetAndDestroy();
      req.destroy();
    });
    const upstream = { retries: 0 };
    const { get, filter } = await filtered(t, { origin: origin.url, upstream }, notAsked);
    const answers = Array.from({ length: 4 }, () => get('/one'));
    await asked.promise;
    while ((await filter.stats()).requests.running < 4) await new Promise((resolve) => setImmediate(resolve));
    all.resolve();
    for (const { status } of await Promise.all(answers)) assert.equal(status, 502);
    assert.ok(origin.asked.length <= 2, `${origin.asked.length} requests`);
    assert.equal((await filter.stats()).entries, 0);
  });

  test('goes on where the origin breaks, and nobody notices', async (t) => {
    const bytes = Buffer.alloc(300_000, 'abcdefg');
    const origin = await originOf(t, (req, res, n) => {
      if (n > 1) return giving(bytes)(req, res);
      res.writeHead(200, { ETag: '"one"', 'Content-Length': bytes.length });
      res.write(bytes.subarray(0, 100_000), () => res.destroy());
    });
    const { get } = await filtered(t, { origin: origin.url }, notAsked);
    const answer = await get('/one');
    assert.equal(answer.complete, true);
    assert.ok(answer.body.equals(bytes));
    assert.equal(origin.asked.length, 2);
    assert.match(String(origin.asked[1]?.headers.range), /^bytes=\d+-/);
    assert.match(said(await get('/one')), /^hit/);
  });

  test('does not ask itself for what it does not have', async (t) => {
    const filters: CacheFilter[] = [];
    const loop = await originOf(t, (req, res) => {
      const [filter] = filters as [CacheFilter];
      filter(req, res, (error) => res.writeHead((error as { status: number }).status).end());
    });
    const upstream = { retries: 0 };
    const filter = cacheFilter({
      cache: new MemoryCache(),
      origin: loop.url,
      upstream,
      freshness: 'immutable',
    });
    filters.push(filter);
    t.after(() => filter.close());
    assert.equal(
      (await ask({ kind: 'http', port: loop.port, close: async () => {} }, { path: '/one' })).status,
      508,
    );
    assert.equal(loop.asked.length, 2);
  });

  test('passes on no dot segments', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const { get } = await filtered(t, { origin: origin.url }, notAsked);
    for (const path of ['/a/%2e%2e/b', '/a/../b', '/a\\b']) assert.equal((await get(path)).status, 400, path);
    assert.equal(origin.asked.length, 0);
  });

  test('leaves what matches no route to the application', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const { get, calls } = await filtered(t, { origin: origin.url, routes: [{ path: '/files/:id' }] });
    assert.equal((await get('/else')).status, 200);
    assert.equal(calls(), 1);
    assert.equal(origin.asked.length, 0);
  });

  test('lets a function say where it is, or that it is not there, or what it is', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const seen: unknown[] = [];
    const { get, calls } = await filtered(t, {
      routes: [{ path: '/:id' }],
      origin: ({ id, method, path, headers }) => {
        seen.push([method, path, headers['accept']]);
        if (id === 'there') return `${origin.url}/elsewhere`;
        return id === 'made' ? { status: 200, headers: { 'X-Made': 'yes' }, body: 'made' } : undefined;
      },
    });
    assert.deepEqual((await get('/there?x=1', { accept: 'text/plain' })).body, BODY);
    assert.equal(origin.asked[0]?.url, '/elsewhere');
    const made = await get('/made');
    assert.equal(String(made.body), 'made');
    assert.equal(made.headers['x-made'], 'yes');
    assert.equal(calls(), 0);
    assert.equal((await get('/not')).status, 200);
    assert.equal(calls(), 1);
    assert.deepEqual(seen[0], ['GET', '/there?x=1', 'text/plain']);
  });

  test('sends a DELETE on where it is told to, and purges; the policy has the first word', async (t) => {
    const origin = await originOf(t, (req, res) =>
      req.method === 'DELETE' ? res.writeHead(204).end() : giving(BODY)(req, res),
    );
    const { get, filter } = await filtered(
      t,
      {
        origin: origin.url,
        forwardMethods: ['DELETE'],
        authorize: ({ req }) =>
          (req as IncomingMessage).headers['x-user'] === 'alice' || req.method === 'GET',
      },
      notAsked,
    );
    await get('/one');
    assert.equal((await get('/one', {}, { method: 'DELETE' })).status, 403);
    assert.equal(origin.asked.length, 1);
    assert.equal((await filter.stats()).entries, 1);
    assert.equal((await get('/one', { 'x-user': 'alice' }, { method: 'DELETE' })).status, 204);
    assert.equal(origin.asked[1]?.method, 'DELETE');
    assert.equal((await filter.stats()).entries, 0);
  });

  test('never shares what credentials that it forwards may have made', async (t) => {
    const origin = await originOf(t, (req, res) => res.end(String(req.headers.authorization)));
    const { get } = await filtered(
      t,
      { origin: origin.url, forwardHeaders: ['Authorization'], integrity: 'end' },
      notAsked,
    );
    assert.equal(String((await get('/one')).body), 'undefined');
    assert.equal(String((await get('/one', { authorization: 'a' })).body), 'a');
    assert.equal(String((await get('/two', { authorization: 'a' })).body), 'a');
    assert.equal(String((await get('/two', { authorization: 'b' })).body), 'b');
    assert.equal(String((await get('/two')).body), 'undefined');
  });

  test('ends what it fetches when it is closed', async (t) => {
    const begun = deferred();
    const origin = await originOf(t, (_req, res) => {
      res.writeHead(200, { 'Content-Length': 100 });
      res.write('begun');
      begun.resolve();
    });
    const { get, filter } = await filtered(t, { origin: origin.url, closeTimeoutMs: 0 }, notAsked);
    const answer = get('/one');
    await begun.promise;
    await filter.close();
    assert.equal((await answer).complete, false);
    await origin.asked[0]?.closed;
  });

  test('says what it did', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const filter = cacheFilter({ cache: new MemoryCache(), origin: origin.url, freshness: 'immutable' });
    t.after(() => filter.close());
    let info: unknown;
    const { get } = await filtered(t, {}, (req, res) => {
      filter(req, res, () => res.end());
      res.once('close', () => {
        info = getCacheInfo(res);
      });
    });
    await get('/one');
    assert.deepEqual(info, { status: 'miss', route: 'all', id: '/one', key: '/one', stored: true });
  });
});

describe('a route of a filter with an origin', () => {
  const DOCUMENT = Buffer.from(JSON.stringify({ url: 'http://upstream.example/file' }));
  const rewrite: Route['rewrite'] = ({ id }, body) =>
    id === 'plain' ? undefined : Buffer.from(String(body).replaceAll('upstream', 'mirror'));
  const REWRITTEN = String(DOCUMENT).replaceAll('upstream', 'mirror');

  for (const [encoding, bytes] of [
    ['identity', DOCUMENT],
    ['gzip', gzipSync(DOCUMENT)],
    ['br', brotliCompressSync(DOCUMENT)],
  ] as const) {
    test(`rewrites documents before they are kept (${encoding})`, async (t) => {
      const headers = encoding === 'identity' ? {} : { 'Content-Encoding': encoding };
      const digest = `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
      const origin = await originOf(t, giving(bytes, { ...headers, 'Repr-Digest': digest }));
      const { get } = await filtered(
        t,
        { origin: origin.url, routes: [{ path: '/:id', rewrite }] },
        notAsked,
      );
      for (const way of ['fwd=uri-miss; stored', 'hit']) {
        const answer = await get('/document');
        assert.equal(said(answer), way);
        assert.equal(String(answer.body), REWRITTEN);
        assert.equal(answer.headers['etag'], 'W/"one"');
        assert.equal(answer.headers['content-encoding'], undefined);
        assert.equal(answer.complete, true);
      }
      const part = await get('/document', { range: 'bytes=0-4' });
      assert.equal(String(part.body), REWRITTEN.slice(0, 5));
      assert.equal(origin.asked.length, 1);
    });
  }

  test('rewrites what is handed on as well, and leaves alone what need not be', async (t) => {
    const origin = await originOf(t, giving(DOCUMENT, { 'Cache-Control': 'no-store' }));
    const { get } = await filtered(t, { origin: origin.url, routes: [{ path: '/:id', rewrite }] }, notAsked);
    for (const headers of [{}, { 'if-none-match': '"other"' }])
      assert.equal(String((await get('/document', headers)).body), REWRITTEN);
    assert.equal(String((await get('/document', { range: 'bytes=-5' })).body), REWRITTEN.slice(-5));
    assert.deepEqual((await get('/plain')).body, DOCUMENT);
  });

  test('keeps what it leaves alone, though the origin did not say how long it is', async (t) => {
    const origin = await originOf(t, (_req, res) => {
      res.write(DOCUMENT.subarray(0, 5));
      res.end(DOCUMENT.subarray(5));
    });
    const { get } = await filtered(t, { origin: origin.url, routes: [{ path: '/:id', rewrite }] }, notAsked);
    assert.equal(said(await get('/plain')), 'fwd=uri-miss; stored');
    const again = await get('/plain');
    assert.deepEqual(again.body, DOCUMENT);
    assert.equal(again.headers['content-length'], String(DOCUMENT.length));
  });

  test('does not rewrite what is not what its digest declares', async (t) => {
    const digest = `sha-256=:${createHash('sha256').update('else').digest('base64')}:`;
    const origin = await originOf(t, giving(DOCUMENT, { 'Repr-Digest': digest }));
    const { get, filter } = await filtered(
      t,
      { origin: origin.url, routes: [{ path: '/:id', rewrite }] },
      notAsked,
    );
    assert.equal((await get('/document')).status, 502);
    assert.equal((await filter.stats()).entries, 0);
  });

  test('keeps nothing of what it is told not to keep', async (t) => {
    const origin = await originOf(t, giving(BODY));
    const { get } = await filtered(
      t,
      { origin: origin.url, routes: [{ path: '/:id', store: false }] },
      notAsked,
    );
    for (const _ of [1, 2]) assert.equal(said(await get('/one')), 'fwd=uri-miss; detail=route');
    assert.equal(origin.asked.length, 2);
  });

  test('goes on with what a hook asks the origin, whoever leaves', async (t) => {
    const asked = deferred();
    const left = deferred();
    const origin = await originOf(t, async (req, res) => {
      if (req.url !== '/one.sha256') return giving(BODY)(req, res);
      asked.resolve();
      await left.promise;
      res.end(createHash('sha256').update(BODY).digest('hex'));
    });
    const digest = async ({
      id,
      fetch,
      signal,
    }: {
      id: string;
      fetch?: OriginFetch;
      signal: AbortSignal;
    }) => {
      signal.addEventListener('abort', () => left.resolve());
      return `sha256:${String((await (fetch as OriginFetch)(`${id}.sha256`)).body)}`;
    };
    const { get, filter } = await filtered(t, { origin: origin.url, digest }, notAsked);
    const leaving = new AbortController();
    const first = get('/one', {}, { signal: leaving.signal });
    await asked.promise;
    leaving.abort();
    await first;
    await left.promise;
    await filter.idle();
    assert.equal((await filter.stats()).entries, 1);
  });

  test('lets hooks ask the origin for what they need, and for no more than they say', async (t) => {
    const digest = createHash('sha256').update(BODY).digest('hex');
    const origin = await originOf(t, (req, res) => {
      if (req.url === '/one.sha256') res.end(`${digest}\n`);
      else if (req.url === '/two.sha256') res.end(`${digest.replace(/^./, 'x')}\n`);
      else if (req.url === '/three.sha256') res.end(Buffer.alloc(1001, 'a'));
      else giving(BODY)(req, res);
    });
    const { get, filter } = await filtered(
      t,
      {
        origin: { url: origin.url, headers: { 'X-Ours': 'yes' } },
        authorize: 'anyone',
        digest: async ({ id, fetch }) => {
          const { body } = await (fetch as OriginFetch)(`${id}.sha256`, { maxBytes: 1000 });
          return `sha256:${String(body).trim()}`;
        },
      },
      notAsked,
    );
    assert.equal(said(await get('/one')), 'fwd=uri-miss; stored');
    assert.equal(origin.asked[1]?.headers['x-ours'], 'yes');
    assert.equal(said(await get('/two')), 'fwd=uri-miss; detail=hook-error');
    assert.equal(said(await get('/three')), 'fwd=uri-miss; detail=hook-error');
    assert.equal((await filter.stats()).entries, 1);
  });
});

describe('the options of an origin', () => {
  const cases: [what: string, options: Partial<CacheFilterOptions>, message: RegExp][] = [
    ['no URL', { origin: 'files' }, /origin must be a URL such as/],
    ['another scheme', { origin: 'ftp://files.example' }, /http: or https: URL, got "ftp:"/],
    ['a user in it', { origin: 'http://a:b@files.example' }, /origin has a user in its URL/],
    ['nothing', { origin: [] }, /empty array/],
    [
      'an unknown member',
      { origin: { url: 'http://files.example', header: {} } as never },
      /unknown member "header"/,
    ],
    [
      'headers that are none',
      { origin: { url: 'http://files.example', headers: { 'a b': 'c' } } },
      /object of strings/,
    ],
    [
      'credentials for whoever comes',
      { origin: { url: 'http://files.example', headers: { A: 'b' } } },
      /authorize: 'anyone'/,
    ],
    ['limits without it', { upstream: {} }, /there is none: give origin/],
    [
      'methods that are none',
      { origin: 'http://files.example', forwardMethods: ['delete'] },
      /methods in capitals/,
    ],
  ];
  for (const [what, options, message] of cases) {
    test(`${what}: refused with what would be right`, () => {
      assert.throws(
        () => cacheFilter({ cache: new MemoryCache(), ...options } as CacheFilterOptions),
        message,
      );
    });
  }
});
