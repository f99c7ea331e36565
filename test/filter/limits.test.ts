import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { Patience, type TooSlowError } from '../../lib/filter/patience.ts';
import { MemoryCache } from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, barrier, filtered, respond, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { KINDS } from '../support/servers.ts';

const LIMIT = { timeout: 60_000 };

describe('maxFills', () => {
  test('what comes beyond is answered by the application, or joins', LIMIT, async (t) => {
    const held = barrier<ServerResponse>();
    const { get, calls } = await filtered(t, { ...onDisk(t), maxFills: 1 }, (req, res) => {
      if (req.url === '/a') held.reach(res);
      else respond(req, res);
    });
    const leader = get('/a');
    const res = await held.reached;
    assert.equal(said(await get('/b')), 'fwd=uri-miss; detail=fills-full');
    res.setHeader('Content-Length', BODY.length);
    res.write(BODY.subarray(0, 10));
    const follower = get('/a');
    assert.equal(said(await get('/b')), 'fwd=uri-miss; detail=fills-full');
    res.end(BODY.subarray(10));
    assert.equal(said(await leader), 'fwd=uri-miss; stored');
    assert.equal(said(await follower), 'fwd=uri-miss; collapsed');
    assert.equal(said(await get('/b')), 'fwd=uri-miss; stored');
    assert.equal(calls(), 4);
  });

  test('a crowd that asks for one thing takes one place', LIMIT, async (t) => {
    const { get, calls, filter } = await filtered(t, { ...onDisk(t), maxFills: 2 });
    const crowd = [
      ...Array.from({ length: 20 }, () => get('/a')),
      ...Array.from({ length: 20 }, () => get('/b')),
    ];
    for (const answer of await Promise.all(crowd)) assert.ok(answer.body.equals(BODY));
    assert.equal((await filter.stats()).reasons['fills-full'], undefined);
    assert.equal(calls(), 2);
  });

  for (const [what, app] of [
    ['is declined', (_req: IncomingMessage, res: ServerResponse) => void res.writeHead(404).end('no')],
    ['fails before its head', (_req: IncomingMessage, res: ServerResponse) => void res.destroy()],
    [
      'fails half-way',
      (_req: IncomingMessage, res: ServerResponse) => {
        res.writeHead(200, { 'Content-Length': 10 });
        res.write('half');
        setImmediate(() => res.destroy());
      },
    ],
    ['is empty', (_req: IncomingMessage, res: ServerResponse) => void res.end()],
  ] as const) {
    test(`the place of a fill that ${what} is free again`, LIMIT, async (t) => {
      const { get, filter } = await filtered(t, { maxFills: 1 }, app);
      for (let i = 0; i < 3; i++) {
        await get(`/${i}`);
        await filter.idle();
      }
      assert.equal((await filter.stats()).reasons['fills-full'], undefined);
    });
  }

  test('a client that still reads takes no place', LIMIT, async (t) => {
    const size = 32 * 2 ** 20;
    const ended = barrier();
    const { get, server, filter } = await filtered(
      t,
      { ...onDisk(t), maxFills: 1, closeTimeoutMs: 50 },
      (_req, res) => {
        res.setHeader('Content-Length', size);
        res.once('close', () => ended.reach());
        res.end(Buffer.alloc(size));
      },
    );
    const { request } = await import('node:http');
    const slow = request({ port: server.port, host: '127.0.0.1', path: '/slow', agent: false }).end();
    t.after(() => slow.destroy());
    const [reading] = (await once(slow, 'response')) as [IncomingMessage];
    reading.pause();
    await ended.reached;
    while ((await filter.stats()).responses.stored === 0)
      await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await filter.stats()).requests.running, 1, 'it still reads');
    assert.equal(said(await get('/b')), 'fwd=uri-miss; stored');
  });
});

for (const kind of KINDS) {
  describe(`${kind}: a handler that says nothing for stallTimeoutMs`, () => {
    test(
      'gives up its claim: another leads, and what it says after all is for its own client',
      LIMIT,
      async (t) => {
        const rejected = heard(t, 'cache-filter:reject');
        const held = barrier<ServerResponse>();
        const judged = barrier();
        const { get, calls } = await filtered(
          t,
          {
            ...onDisk(t),
            stallTimeoutMs: 100,
            authorize: () => {
              judged.reach();
              return true;
            },
          },
          (req, res) => (calls() === 1 ? held.reach(res) : respond(req, res)),
          kind,
        );
        const first = get('/a', { Range: 'bytes=0-3' });
        const res = await held.reached;
        const second = get('/a');
        await judged.reached;
        assert.equal(said(await second), 'fwd=uri-miss; stored');
        assert.deepEqual(
          rejected.map(({ reason }) => reason),
          ['stalled'],
          'the fault fired',
        );
        assert.equal(res.headersSent, false);
        res.writeHead(200, { 'Content-Length': BODY.length });
        res.end(BODY);
        const late = await first;
        assert.deepEqual(
          [late.status, late.body.toString(), said(late), calls()],
          [206, BODY.toString('latin1', 0, 4), 'fwd=uri-miss; detail=stalled', 2],
        );
        assert.equal(said(await get('/a')), 'hit');
      },
    );

    test('is told when its client leaves, once it has given up its claim', LIMIT, async (t) => {
      const rejected = heard(t, 'cache-filter:reject');
      const held = barrier<ServerResponse>();
      const { server, filter } = await filtered(
        t,
        { stallTimeoutMs: 30 },
        (_req, res) => held.reach(res),
        kind,
      );
      const client = new AbortController();
      const answer = ask(server, { path: '/a', signal: client.signal });
      const res = await held.reached;
      while (rejected.length === 0) await new Promise((resolve) => setImmediate(resolve));
      const closed = once(res, 'close');
      client.abort();
      await closed;
      await answer;
      await filter.idle();
    });
  });
}

test(
  'a handler that takes longer than maxFillMs, though it goes on and on: its clients see it, and nobody is asked in its place',
  LIMIT,
  async (t) => {
    const rejected = heard(t, 'cache-filter:reject');
    const began = barrier();
    const { get, calls, filter } = await filtered(t, { maxFillMs: 300, integrity: 'end' }, (_req, res) => {
      const dribble = setInterval(() => res.write('.'), 5);
      res.once('close', () => clearInterval(dribble));
      began.reach();
    });
    const first = get();
    await began.reached;
    const second = get();
    assert.deepEqual([(await first).complete, (await second).complete], [false, false]);
    await filter.idle();
    assert.deepEqual(
      [rejected.map(({ reason }) => reason), String(rejected[0]?.error).includes('maxFillMs'), calls()],
      [['stalled'], true, 1],
    );
  },
);

describe('patience', () => {
  const limits = { stallTimeoutMs: 30, maxFillMs: undefined, storeTimeoutMs: 0, sendTimeoutMs: 10 };
  const pass = () => new Promise((resolve) => setTimeout(resolve, 150));

  test('does not count time in which the handler was asked to wait', async () => {
    const over: Error[] = [];
    const { reached, reach } = barrier();
    const patience = new Patience(limits, (error) => {
      over.push(error);
      reach();
    });
    patience.pause();
    await pass();
    patience.progress();
    await pass();
    assert.equal(over.length, 0);
    patience.resume();
    // The watch is unref'd.
    const alive = setInterval(() => undefined, 1000);
    await reached;
    clearInterval(alive);
    assert.deepEqual(
      over.map((error) => [(error as TooSlowError).stalled, error.message]),
      [[true, 'ERR_CACHE_FILTER_INCOMPLETE: the application made no progress for 30 ms (stallTimeoutMs)']],
    );
  });

  test('has no end where it is 0, nor after stop()', async () => {
    const over: Error[] = [];
    const short = { stallTimeoutMs: 20, maxFillMs: 20, storeTimeoutMs: 10, sendTimeoutMs: 10 };
    new Patience({ ...limits, stallTimeoutMs: 0 }, (error) => over.push(error)).resume();
    const stopped = new Patience(short, (error) => over.push(error));
    stopped.stop();
    stopped.pause();
    await pass();
    assert.deepEqual(over, []);
  });
});

test('a handler that is asked to wait for the disk has not stalled', LIMIT, async (t) => {
  const cache = new MemoryCache();
  const claim = cache.claim.bind(cache);
  const room = barrier();
  let full = 0;
  cache.claim = async (...args) => {
    const claimed = await claim(...args);
    if (claimed?.role !== 'leader') return claimed;
    return {
      ...claimed,
      start: async (...given) => {
        const fill = await claimed.start(...given);
        if ('declined' in fill) return fill;
        const { write } = fill;
        fill.write = (chunk) => {
          write.call(fill, chunk);
          full++;
          return false;
        };
        fill.drained = () => room.reached;
        return fill;
      },
    };
  };
  const { get } = await filtered(t, { cache, stallTimeoutMs: 30 }, async (_req, res) => {
    res.setHeader('Content-Length', BODY.length);
    if (!res.write(BODY.subarray(0, 10))) await once(res, 'drain');
    res.end(BODY.subarray(10));
  });
  const answer = get();
  setTimeout(() => room.reach(), 200);
  assert.equal(said(await answer), 'fwd=uri-miss; stored');
  assert.ok((await answer).body.equals(BODY));
  assert.ok(full > 0, 'the fault fired');
});
