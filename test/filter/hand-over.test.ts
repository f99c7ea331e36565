import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';
import { describe, test } from 'node:test';
import { ask } from '../support/client.ts';
import { barrier, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { type Handler, KINDS, type Kind } from '../support/servers.ts';
import { body, type Call, HALF, half, halfThenWhole, isWhole, LIMIT, scene, whole } from './hand-over.ts';

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
