import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { type CacheFilter, type CacheFilterOptions, cacheFilter, MemoryCache } from '../../lib/index.ts';
import { type Answer, type Ask, ask } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { barrier, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { type Handler, KINDS, type Kind, serve, type TestServer } from '../support/servers.ts';

const SIZE = 1_000_000;
const HALF = 400_000;
const body = randomBytes(SIZE);
const LIMIT = { timeout: 60_000 };

/** One call of the application, held where the test wants it. */
interface Call {
  req: IncomingMessage;
  res: ServerResponse;
  next: (error?: unknown) => void;
}

interface Scene {
  filter: CacheFilter;
  server: TestServer;
  calls: Call[];
  /** Resolves when the application has been asked for the n-th time, from 1 on. */
  called(n: number): Promise<Call>;
  /** Resolves when so many requests follow. */
  following(n: number): Promise<void>;
}

type Answering = (call: Call, n: number) => unknown;

/** An application whose calls the test answers; by default the whole body from the second call on. */
async function scene(
  t: TestContext,
  answer: Answering,
  {
    kind = 'http',
    outer = [],
    ...options
  }: Partial<CacheFilterOptions> & { kind?: Kind; outer?: Handler[] } = {},
): Promise<Scene> {
  const calls: Call[] = [];
  const waiting: [n: number, reach: (call: Call) => void][] = [];
  const filter = cacheFilter({
    freshness: 'immutable',
    closeTimeoutMs: 5_000,
    ...(options.cache === undefined ? onDisk(t) : {}),
    ...options,
  } as CacheFilterOptions);
  const server = await serve(kind, [
    ...outer,
    filter as Handler,
    (req, res, next) => {
      const call = { req, res, next };
      calls.push(call);
      for (const [n, reach] of waiting) if (n === calls.length) reach(call);
      return answer(call, calls.length);
    },
  ]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  const followed = heard(t, 'cache-filter:miss');
  return {
    filter,
    server,
    calls,
    called: async (n) => {
      const { reached, reach } = barrier<Call>();
      const call = calls[n - 1];
      if (call !== undefined) return call;
      waiting.push([n, reach]);
      return reached;
    },
    // The leader is one of them.
    following: async (n) => {
      while (followed.length < n + 1) await new Promise((resolve) => setTimeout(resolve, 2));
    },
  };
}

function half({ res }: Call): void {
  res.setHeader('Content-Type', 'application/octet-stream');
  res.setHeader('Content-Length', SIZE);
  res.setHeader('ETag', '"one"');
  res.write(body.subarray(0, HALF));
}

function whole({ res }: Call): void {
  res.setHeader('Content-Type', 'application/octet-stream');
  res.setHeader('Content-Length', SIZE);
  res.setHeader('ETag', '"one"');
  for (let at = 0; at < SIZE; at += 70_000) res.write(body.subarray(at, at + 70_000));
  res.end();
}

const halfThenWhole: Answering = (call, n) => (n === 1 ? half(call) : whole(call));

function isWhole(answer: Answer, who: string): void {
  assert.ok(answer.complete, `${who}: ${answer.body.length} bytes, cut off`);
  assert.ok(answer.body.equals(body), `${who}: other bytes`);
}

/** Asks, and tells when the first bytes of the body have come. */
function begun(server: TestServer, headers: Record<string, string> = {}) {
  const { reached, reach } = barrier();
  const answer = new Promise<Buffer>((resolve, reject) => {
    const req = request({ port: server.port, host: '127.0.0.1', path: '/', headers, agent: false });
    req.on('error', reject);
    req.on('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        reach();
      });
      res.on('error', () => undefined);
      res.on('close', () => resolve(Buffer.concat(chunks)));
    });
    req.end();
  });
  return { begun: reached, answer };
}

/** Ways in which a handler stops half-way. */
const STOPS: { name: string; kinds?: readonly Kind[]; stop(call: Call): void }[] = [
  { name: 'destroys its response', stop: ({ res }) => res.destroy() },
  { name: 'destroys its socket', stop: ({ req }) => req.socket.destroy() },
  {
    name: 'destroys the socket of its response',
    kinds: ['express5', 'express4', 'connect', 'http'],
    stop: ({ res }) => res.socket?.destroy(),
  },
  { name: 'calls next(error)', stop: ({ next }) => next(new Error('deliberate')) },
];

for (const kind of KINDS) {
  describe(`${kind}: where a handler stops, another client's goes on`, () => {
    for (const { name, kinds = KINDS, stop } of STOPS) {
      if (!kinds.includes(kind)) continue;
      test(name, LIMIT, async (t) => {
        const over = heard(t, 'cache-filter:hand-over');
        const rejected = heard(t, 'cache-filter:reject');
        const { filter, server, calls, called, following } = await scene(t, halfThenWhole, { kind });
        const first = ask(server);
        const leader = await called(1);
        const second = ask(server);
        const third = ask(server);
        await following(2);
        stop(leader);
        isWhole(await first, 'the client of the one that stopped');
        isWhole(await second, 'the one that took over');
        isWhole(await third, 'another');
        await filter.idle();
        assert.equal(calls.length, 2);
        assert.deepEqual(
          [over.map(({ bytes }) => bytes), rejected.map(({ reason }) => reason)],
          [[HALF], ['unfinished']],
          'the fault fired',
        );
        const hit = await ask(server);
        assert.equal(said(hit), 'hit');
        isWhole(hit, 'a hit');
        const { entries, fills, requests } = await filter.stats();
        assert.deepEqual([entries, fills, requests.running], [1, 0, 0]);
      });
    }

    test('throws, after half of the body', LIMIT, async (t) => {
      const go = barrier();
      const { server, called, following } = await scene(
        t,
        async (call, n) => {
          if (n > 1) return whole(call);
          half(call);
          await go.reached;
          throw new Error('deliberate');
        },
        // Express 4 leaves it unhandled.
        { kind: kind === 'express4' ? 'express5' : kind === 'connect' ? 'http' : kind },
      );
      const first = ask(server);
      await called(1);
      const second = ask(server);
      await following(1);
      go.reach();
      isWhole(await first, 'first');
      isWhole(await second, 'second');
    });

    test('says nothing for stallTimeoutMs, and writes on when it is too late', LIMIT, async (t) => {
      const rejected = heard(t, 'cache-filter:reject');
      const { filter, server, calls, called, following } = await scene(
        t,
        (call, n) => (n === 1 ? half(call) : n === 2 ? undefined : whole(call)),
        { kind, stallTimeoutMs: 300 },
      );
      const first = ask(server);
      const leader = await called(1);
      const second = ask(server);
      await following(1);
      const heir = await called(2);
      assert.equal(leader.res.destroyed, true, 'it is cut off');
      assert.equal(leader.res.write('junk'), false);
      leader.res.end('more junk');
      whole(heir);
      leader.res.write('and more');
      isWhole(await first, 'first');
      isWhole(await second, 'second');
      await filter.idle();
      assert.equal(calls.length, 2);
      assert.deepEqual(
        rejected.map(({ reason }) => reason),
        ['stalled'],
        'the fault fired',
      );
      assert.equal(said(await ask(server)), 'hit');
    });

    test('the one that takes over sees a response as it was before anybody answered', LIMIT, async (t) => {
      const seen: unknown[] = [];
      const outer: Handler = (_req, res, next) => {
        res.setHeader('X-Outer', 'outer');
        next();
      };
      const { server, called, following } = await scene(
        t,
        (call, n) => {
          if (n === 1) return half(call);
          const { req, res } = call;
          seen.push({
            names: res.getHeaderNames(),
            outer: res.getHeader('x-outer'),
            status: res.statusCode,
            sent: res.headersSent,
            ended: [res.writableEnded, res.writableFinished, res.finished, res.destroyed === true],
            range: [req.headers.range, req.headers['if-range'], req.headers['if-none-match']],
            raw: req.rawHeaders.filter((name) => /range|if-none/i.test(name)),
            listeners: [res.listenerCount('close'), res.listenerCount('drain')],
          });
          res.statusCode = 200;
          res.setHeader('X-Outer', 'changed');
          return whole(call);
        },
        { kind, outer: [outer] },
      );
      const first = ask(server);
      const leader = await called(1);
      const headers = { Range: `bytes=${HALF - 10}-${HALF + 9}`, 'If-None-Match': '"other"' };
      const second = ask(server, { headers });
      await following(1);
      leader.res.destroy();
      isWhole(await first, 'first');
      const part = await second;
      assert.deepEqual(
        [part.status, part.complete, part.headers['x-outer'], said(part)],
        [206, true, 'outer', 'fwd=uri-miss; collapsed; detail=unverified'],
      );
      assert.ok(part.body.equals(body.subarray(HALF - 10, HALF + 10)));
      const [{ names, ...rest }] = seen as [{ names: string[] }];
      assert.deepEqual(
        names.filter((name) => name !== 'x-powered-by'),
        ['x-outer'],
      );
      assert.deepEqual(rest, {
        outer: 'outer',
        status: 200,
        sent: false,
        ended: [false, false, false, false],
        range: [undefined, undefined, undefined],
        raw: [],
        listeners: [0, 0],
      });
      assert.equal(said(await ask(server)), 'hit');
    });

    test('1xx of the one that takes over do not end up in its answer', LIMIT, async (t) => {
      const { server, called, following } = await scene(
        t,
        (call, n) => {
          if (n === 1) return half(call);
          call.res.writeContinue();
          call.res.writeEarlyHints({ link: '</a>; rel=preload' });
          return whole(call);
        },
        { kind },
      );
      const first = ask(server);
      const leader = await called(1);
      const second = ask(server);
      await following(1);
      leader.res.destroy();
      isWhole(await first, 'first');
      isWhole(await second, 'second');
    });

    test('hooks and handlers run in the context of their own request', LIMIT, async (t) => {
      const storage = new AsyncLocalStorage<string>();
      const seen: string[] = [];
      const note = (what: string, name: string) => seen.push(`${what} of ${name} in ${storage.getStore()}`);
      const nameOf = (req: IncomingMessage) => String(req.headers['x-name']);
      const { filter, server, called, following } = await scene(
        t,
        (call, n) => {
          note('handler', nameOf(call.req));
          call.res.once('finish', () => note('finish', nameOf(call.req)));
          if (n === 1) half(call);
          else whole(call);
        },
        {
          kind,
          outer: [(req, _res, next) => storage.run(nameOf(req), () => next())],
          authorize: async ({ req }) => {
            await Promise.resolve();
            note('authorize', nameOf(req));
            return true;
          },
          shouldStore: ({ req }) => {
            note('shouldStore', nameOf(req));
            return true;
          },
          digest: async ({ req }) => {
            note('digest', nameOf(req));
            return undefined;
          },
          onServed: ({ req }) => void note('onServed', nameOf(req)),
        },
      );
      const first = ask(server, { headers: { 'X-Name': 'a' } });
      const leader = await called(1);
      const second = ask(server, { headers: { 'X-Name': 'b' } });
      await following(1);
      // In the context of neither.
      leader.res.destroy();
      isWhole(await first, 'first');
      isWhole(await second, 'second');
      await filter.idle();
      const expected = ['handler', 'shouldStore', 'digest', 'onServed'].flatMap((what) => [
        `${what} of a in a`,
        `${what} of b in b`,
      ]);
      assert.deepEqual(seen.sort(), [...expected, 'authorize of b in b', 'finish of b in b'].sort());
    });
  });
}

describe('what the one that takes over says', () => {
  const OTHERS: { name: string; reason: string; answer(call: Call): void }[] = [
    {
      name: 'another ETag',
      reason: 'changed',
      answer: ({ res }) => {
        res.setHeader('Content-Type', 'application/octet-stream');
        res.setHeader('Content-Length', SIZE);
        res.setHeader('ETag', '"two"');
        res.end(body);
      },
    },
    {
      name: 'another length',
      reason: 'changed',
      answer: ({ res }) => {
        res.setHeader('Content-Type', 'application/octet-stream');
        res.setHeader('Content-Length', SIZE - 1);
        res.setHeader('ETag', '"one"');
        res.end(body.subarray(1));
      },
    },
  ];
  for (const { name, reason, answer } of OTHERS) {
    for (const where of ['disk', 'memory']) {
      test(`${where}: ${name}: everybody fails, visibly`, LIMIT, async (t) => {
        const rejected = heard(t, 'cache-filter:reject');
        const { filter, server, calls, called, following } = await scene(
          t,
          (call, n) => (n === 1 ? half(call) : n === 2 ? answer(call) : whole(call)),
          where === 'memory' ? { cache: new MemoryCache() } : {},
        );
        const asking = [ask(server)];
        const leader = await called(1);
        asking.push(ask(server), ask(server));
        await following(2);
        leader.res.destroy();
        for (const { complete, body: got } of await Promise.all(asking)) {
          assert.equal(complete, false);
          assert.ok(body.subarray(0, HALF).equals(got.subarray(0, HALF)) && got.length <= HALF);
        }
        await filter.idle();
        assert.deepEqual(
          rejected.map((event) => event.reason),
          ['unfinished', reason],
          'the fault fired',
        );
        assert.equal(calls.length, 2);
        const { entries, fills } = await filter.stats();
        assert.deepEqual([entries, fills], [0, 0]);
        isWhole(await ask(server), 'a plain request afterwards');
      });
    }
  }

  test('other bytes than have gone out already: everybody fails, and it is cut off', LIMIT, async (t) => {
    const rejected = heard(t, 'cache-filter:reject');
    const { filter, server, called, following } = await scene(t, (call, n) => {
      if (n === 1) return half(call);
      if (n > 2) return whole(call);
      call.res.setHeader('Content-Type', 'application/octet-stream');
      call.res.setHeader('Content-Length', SIZE);
      call.res.setHeader('ETag', '"one"');
      const other = Buffer.from(body.subarray(0, HALF));
      other[HALF - 1] = (other[HALF - 1] as number) ^ 1;
      return call.res.write(other);
    });
    const asking = [ask(server)];
    const leader = await called(1);
    asking.push(ask(server), ask(server));
    await following(2);
    leader.res.destroy();
    const heir = await called(2);
    for (const { complete, body: got } of await Promise.all(asking)) {
      assert.equal(complete, false);
      assert.ok(body.subarray(0, got.length).equals(got));
    }
    await filter.idle();
    assert.equal(heir.res.destroyed, true, 'it never ended, and was cut off');
    assert.deepEqual(
      rejected.map(({ reason }) => reason),
      ['unfinished', 'unproven'],
      'the fault fired',
    );
    isWhole(await ask(server), 'a plain request afterwards');
  });

  for (const [what, answer] of [
    ['500', ({ res }: Call) => void res.writeHead(500).end('no')],
    [
      'a response that may not be kept',
      ({ res }: Call) => void res.writeHead(200, { 'Cache-Control': 'no-store' }).end(body),
    ],
    ['nothing: it gives up at once', ({ res }: Call) => void res.destroy()],
  ] as const) {
    test(`${what}: the next one is asked`, LIMIT, async (t) => {
      const over = heard(t, 'cache-filter:hand-over');
      const { filter, server, calls, called, following } = await scene(t, (call, n) =>
        n === 1 ? half(call) : n === 2 ? answer(call) : whole(call),
      );
      const asking = [ask(server)];
      const leader = await called(1);
      asking.push(ask(server), ask(server));
      await following(2);
      leader.res.destroy();
      for (const answered of await Promise.all(asking)) isWhole(answered, 'each');
      await filter.idle();
      assert.deepEqual([calls.length, over.length], [3, 2], 'the fault fired');
      assert.equal(said(await ask(server)), 'hit');
    });
  }

  test('a source that always fails is asked four times at most, and everybody sees it', LIMIT, async (t) => {
    const { filter, server, calls, called, following } = await scene(t, (call, n) => {
      half(call);
      if (n > 1) setImmediate(() => call.res.destroy());
    });
    const asking = [ask(server)];
    const leader = await called(1);
    for (let i = 0; i < 8; i++) asking.push(ask(server));
    await following(8);
    leader.res.destroy();
    for (const { complete } of await Promise.all(asking)) assert.equal(complete, false);
    await filter.idle();
    assert.equal(calls.length, 4);
    assert.deepEqual([(await filter.stats()).fills, (await filter.stats()).entries], [0, 0]);
  });
});

describe('who is not asked to take over', () => {
  for (const [what, more] of [
    ['HEAD', { method: 'HEAD' }],
    ['a request that says no-store', { headers: { 'Cache-Control': 'no-store' } }],
  ] as [string, Ask][]) {
    test(what, LIMIT, async (t) => {
      const { filter, server, calls, called, following } = await scene(t, halfThenWhole);
      const first = ask(server);
      const leader = await called(1);
      const second = ask(server, more);
      await following(1);
      if (more.method === 'HEAD') assert.equal((await second).status, 200);
      leader.res.destroy();
      assert.equal((await first).complete, false);
      if (more.method !== 'HEAD') assert.equal((await second).complete, false);
      await filter.idle();
      assert.equal(calls.length, 1);
    });
  }

  test('a client that has left', LIMIT, async (t) => {
    const { filter, server, calls, called, following } = await scene(t, halfThenWhole);
    const first = ask(server);
    const leader = await called(1);
    const client = new AbortController();
    const second = ask(server, { signal: client.signal });
    await following(1);
    client.abort();
    await second;
    while ((await filter.stats()).requests.running > 1)
      await new Promise((resolve) => setTimeout(resolve, 2));
    leader.res.destroy();
    assert.equal((await first).complete, false);
    await filter.idle();
    assert.equal(calls.length, 1);
  });

  test('anybody, when the filter closes', LIMIT, async (t) => {
    const { filter, server, calls, called, following } = await scene(t, halfThenWhole, {
      closeTimeoutMs: 10,
    });
    const first = ask(server);
    await called(1);
    const second = ask(server);
    await following(1);
    await filter.close();
    assert.deepEqual([(await first).complete, (await second).complete], [false, false]);
    assert.equal(calls.length, 1);
  });
});

describe('when it has been handed over', () => {
  for (const who of ['the former client', 'the one whose handler it is now'] as const) {
    test(`${who} may still wait for its turn on its connection`, LIMIT, async (t) => {
      const slow = barrier();
      const { server, calls, called, following } = await scene(t, halfThenWhole, {
        outer: [
          (req, res, next) => {
            if (req.url !== '/slow') return next();
            return void slow.reached.then(() => res.end('slow'));
          },
        ],
      });
      const queued = () => {
        const socket = connect(server.port, '127.0.0.1');
        const chunks: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => chunks.push(chunk));
        const rest = 'Host: x\r\nConnection: close\r\n\r\n';
        socket.write(`GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n${rest}`);
        return once(socket, 'close').then(() => Buffer.concat(chunks));
      };
      const isFirst = who === 'the former client';
      const waiting = isFirst ? queued() : undefined;
      const first = isFirst ? undefined : ask(server);
      const leader = await called(1);
      const late = isFirst ? undefined : queued();
      const second = isFirst ? ask(server) : undefined;
      await following(1);
      leader.res.destroy();
      isWhole((await (first ?? second)) as Answer, 'the other');
      assert.equal(calls.length, 2);
      slow.reach();
      const answers = (await (waiting ?? late)) as Buffer;
      assert.match(answers.toString('latin1', 0, 300), /^HTTP\/1.1 200 OK/);
      assert.ok(answers.subarray(-SIZE).equals(body), `${answers.length} bytes`);
    });
  }

  test(
    'the former client reads on at its own speed, and its handler, which never ends, is not waited for',
    LIMIT,
    async (t) => {
      const { filter, server, calls, called, following } = await scene(t, halfThenWhole);
      const first = begun(server);
      const leader = await called(1);
      await first.begun;
      const second = ask(server);
      await following(1);
      leader.res.destroy();
      isWhole(await second, 'second');
      assert.ok((await first.answer).equals(body));
      await filter.idle();
      assert.equal(calls.length, 2);
    },
  );

  test('the former client may leave, and so may the one whose handler it is now', LIMIT, async (t) => {
    const { filter, server, called, following } = await scene(t, (call, n) =>
      n === 1 ? half(call) : undefined,
    );
    const [a, b] = [new AbortController(), new AbortController()];
    const first = ask(server, { signal: a.signal });
    const leader = await called(1);
    const second = ask(server, { signal: b.signal });
    await following(1);
    leader.res.destroy();
    const heir = await called(2);
    a.abort();
    b.abort();
    assert.deepEqual([(await first).complete, (await second).complete], [false, false]);
    while ((await filter.stats()).servedBytes.fill === 0)
      await new Promise((resolve) => setTimeout(resolve, 2));
    assert.equal(heir.res.destroyed, false, 'it is not told');
    whole(heir);
    await filter.idle();
    assert.equal(said(await ask(server)), 'hit');
  });

  test('what is purged meanwhile is read to its end, and not kept', LIMIT, async (t) => {
    const { filter, server, called, following } = await scene(t, (call, n) =>
      n === 1 ? half(call) : n === 2 ? undefined : whole(call),
    );
    const first = ask(server);
    const leader = await called(1);
    const second = ask(server);
    await following(1);
    leader.res.destroy();
    const heir = await called(2);
    await filter.purge({ all: true });
    whole(heir);
    isWhole(await first, 'first');
    isWhole(await second, 'second');
    await filter.idle();
    assert.equal((await filter.stats()).entries, 0);
  });
});
