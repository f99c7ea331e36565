import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import { type CacheFilter, type CacheFilterOptions, cacheFilter } from '../../lib/index.ts';
import { Disk } from '../cache/disk.ts';
import { ask } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { barrier, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { type Handler, KINDS, type Kind, serve, type TestServer } from '../support/servers.ts';

const SIZE = 1_000_000;
const HALF = SIZE / 2;
const body = Buffer.alloc(SIZE, 'abandoned');
const LIMIT = { timeout: 60_000 };

interface Call {
  req: IncomingMessage;
  res: ServerResponse;
  /** What its listeners have heard. */
  heard: string[];
  /** Resolves when its response has closed. */
  closed: Promise<void>;
}

interface Scene {
  filter: CacheFilter | undefined;
  server: TestServer;
  calls: Call[];
  called(n: number): Promise<Call>;
  following(n: number): Promise<void>;
  /** Resolves when so many clients have left, or been answered. */
  gone(n: number): Promise<void>;
  directory: string;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** @param filtered false: no filter, for comparison */
async function scene(
  t: TestContext,
  answer: (call: Call, n: number) => unknown,
  options: Partial<CacheFilterOptions> = {},
  { kind = 'http', filtered = true }: { kind?: Kind; filtered?: boolean } = {},
): Promise<Scene> {
  const { directory, minFreeBytes } = onDisk(t);
  const filter = filtered
    ? cacheFilter({ directory, minFreeBytes, freshness: 'immutable', closeTimeoutMs: 5_000, ...options })
    : undefined;
  const calls: Call[] = [];
  let closed = 0;
  const watch: Handler = (_req, res, next) => {
    res.once('close', () => closed++);
    next();
  };
  const server = await serve(kind, [
    watch,
    ...(filter === undefined ? [] : [filter as Handler]),
    (req, res) => {
      const over = barrier();
      const call: Call = { req, res, heard: [], closed: over.reached };
      for (const event of ['aborted', 'close']) req.on(event, () => call.heard.push(`req ${event}`));
      for (const event of ['finish', 'close']) res.on(event, () => call.heard.push(`res ${event}`));
      res.on('close', () => over.reach());
      calls.push(call);
      return answer(call, calls.length);
    },
  ]);
  t.after(async () => {
    await filter?.close();
    await server.close();
  });
  const missed = heard(t, 'cache-filter:miss');
  return {
    filter,
    server,
    calls,
    directory,
    called: async (n) => {
      await until(() => calls.length >= n);
      return calls[n - 1] as Call;
    },
    following: (n) => until(() => missed.length > n),
    gone: (n) => until(() => closed >= n),
  };
}

function part({ res }: Call, bytes: number): void {
  res.setHeader('Content-Length', SIZE);
  res.write(body.subarray(0, bytes));
}

function client(server: TestServer, more: Parameters<typeof ask>[1] = {}) {
  const leaving = new AbortController();
  return { answer: ask(server, { ...more, signal: leaving.signal }), leave: () => leaving.abort() };
}

for (const kind of KINDS) {
  describe(`${kind}: 'discard'`, () => {
    for (const at of ['before the head', 'half-way'] as const) {
      test(
        `the last client leaves ${at}: the handler sees what it would see without the filter`,
        LIMIT,
        async (t) => {
          const answer = (call: Call) => (at === 'half-way' ? part(call, HALF) : undefined);
          const seen: unknown[] = [];
          const rejected = heard(t, 'cache-filter:reject');
          for (const filtered of [false, true]) {
            const { filter, server, called, gone, directory } = await scene(
              t,
              answer,
              { clientAbort: 'discard' },
              { kind, filtered },
            );
            const { answer: answered, leave } = client(server);
            const call = await called(1);
            if (at === 'half-way') await until(() => call.res.headersSent);
            leave();
            await gone(1);
            assert.equal((await answered).complete, false);
            await call.closed;
            await filter?.idle();
            const { req, res } = call;
            seen.push([
              call.heard.sort(),
              res.destroyed === true,
              req.destroyed,
              // Of the stream on HTTP/2, which may have had nothing to write at that moment.
              kind !== 'http2' && res.writableFinished,
              res.write('late'),
            ]);
            if (filter === undefined) continue;
            assert.deepEqual(new Disk(t, directory).files(), ['v1/CACHEDIR.TAG']);
            const { entries, fills, bytes, requests } = await filter.stats();
            assert.deepEqual([entries, fills, bytes, requests.running], [0, 0, 0, 0]);
          }
          assert.deepEqual(seen[1], seen[0]);
          assert.deepEqual(
            rejected.map(({ reason }) => reason),
            ['discarded'],
            'the fault fired',
          );
        },
      );
    }

    test('one that follows keeps it alive, until it leaves as well', LIMIT, async (t) => {
      const served = heard(t, 'cache-filter:served');
      const { filter, server, calls, called, following, gone } = await scene(
        t,
        (call) => part(call, HALF),
        { clientAbort: 'discard' },
        { kind },
      );
      const first = client(server);
      const call = await called(1);
      const second = client(server);
      await following(1);
      first.leave();
      await gone(1);
      // It has been told that its own client has gone.
      await until(() => served.length === 1);
      call.res.write(body.subarray(HALF, HALF + 10));
      assert.equal(call.res.destroyed, false);
      second.leave();
      await gone(2);
      await call.closed;
      assert.deepEqual([(await first.answer).complete, (await second.answer).complete], [false, false]);
      await filter?.idle();
      assert.deepEqual([calls.length, (await filter?.stats())?.fills], [1, 0]);
    });
  });
}

describe("'discard'", () => {
  /** A first client has left before there is a head, and a second one waits for it. */
  async function oneWaits(t: TestContext) {
    const judged = barrier();
    const all = await scene(t, () => undefined, {
      clientAbort: 'discard',
      authorize: () => {
        judged.reach();
        return true;
      },
    });
    const first = client(all.server);
    const call = await all.called(1);
    const second = client(all.server);
    await judged.reached;
    first.leave();
    await all.gone(1);
    return { ...all, first, second, call };
  }

  test('before the head, one that waits keeps it alive, until it leaves as well', LIMIT, async (t) => {
    const { filter, calls, gone, first, second, call } = await oneWaits(t);
    assert.equal(call.res.destroyed, false);
    second.leave();
    await gone(2);
    await call.closed;
    await filter?.idle();
    assert.equal(calls.length, 1);
    assert.deepEqual([(await first.answer).complete, (await second.answer).complete], [false, false]);
  });

  test('one that waited gets the whole body, though the first has left before the head', LIMIT, async (t) => {
    const { filter, server, calls, second, call } = await oneWaits(t);
    part(call, HALF);
    call.res.end(body.subarray(HALF));
    assert.ok((await second.answer).body.equals(body));
    await filter?.idle();
    assert.equal(calls.length, 1);
    assert.equal(said(await ask(server)), 'hit');
  });

  test('a client that got the range that it asked for has not left', LIMIT, async (t) => {
    const { filter, server, called } = await scene(t, (call) => part(call, HALF), { clientAbort: 'discard' });
    const range = ask(server, { headers: { Range: 'bytes=0-99' } });
    const call = await called(1);
    assert.deepEqual([(await range).status, (await range).complete], [206, true]);
    await new Promise((resolve) => setImmediate(resolve));
    call.res.end(body.subarray(HALF));
    await filter?.idle();
    assert.equal(said(await ask(server)), 'hit');
  });

  test('what the handler has ended is kept', LIMIT, async (t) => {
    const { filter, server, called, gone } = await scene(
      t,
      ({ res }) => {
        res.setHeader('Content-Length', SIZE);
        res.end(body);
      },
      { clientAbort: 'discard' },
    );
    const { leave, answer } = client(server);
    await called(1);
    leave();
    await gone(1);
    await answer;
    await filter?.idle();
    assert.equal(said(await ask(server)), 'hit');
  });

  test('a fill that was handed over is given up by its new handler', LIMIT, async (t) => {
    const { filter, server, called, following, gone } = await scene(t, (call) => part(call, HALF), {
      clientAbort: 'discard',
    });
    const first = client(server);
    const former = await called(1);
    const second = client(server);
    await following(1);
    former.res.destroy();
    const heir = await called(2);
    first.leave();
    await gone(1);
    assert.equal(heir.res.destroyed, false);
    second.leave();
    await gone(2);
    await heir.closed;
    assert.equal(heir.res.destroyed, true);
    await filter?.idle();
    assert.equal((await filter?.stats())?.fills, 0);
    assert.deepEqual([(await first.answer).complete, (await second.answer).complete], [false, false]);
  });
});

describe('{ finishFrom }', () => {
  for (const [from, bytes, finishes] of [
    [0.5, HALF, true],
    [0.5, HALF - 1, false],
    [0, 1, true],
    [1, SIZE - 1, false],
  ] as const) {
    test(
      `from ${from} on, ${bytes} of ${SIZE} bytes: ${finishes ? 'goes on' : 'is given up'}`,
      LIMIT,
      async (t) => {
        const served = heard(t, 'cache-filter:served');
        const rejected = heard(t, 'cache-filter:reject');
        const { filter, server, called, gone } = await scene(t, (call) => part(call, bytes), {
          clientAbort: { finishFrom: from },
        });
        const { answer, leave } = client(server);
        const call = await called(1);
        leave();
        await gone(1);
        await answer;
        if (!finishes) await call.closed;
        else {
          await until(() => served.length === 1);
          assert.equal(call.res.destroyed, false);
        }
        call.res.end(body.subarray(bytes));
        await filter?.idle();
        assert.deepEqual(
          rejected.map(({ reason }) => reason),
          finishes ? [] : ['discarded'],
        );
        assert.equal((await filter?.stats())?.entries, finishes ? 1 : 0);
      },
    );
  }

  test('of an unknown length nothing has come', LIMIT, async (t) => {
    const { filter, server, called, gone } = await scene(t, ({ res }) => void res.write(body), {
      clientAbort: { finishFrom: 0.01 },
      integrity: 'end',
    });
    const { answer, leave } = client(server);
    const call = await called(1);
    leave();
    await gone(1);
    await answer;
    await call.closed;
    await filter?.idle();
    assert.equal((await filter?.stats())?.entries, 0);
  });
});

describe('a function', () => {
  test('is told how much has come, of what, and says false to give it up', LIMIT, async (t) => {
    const asked: unknown[] = [];
    const { filter, server, called, gone } = await scene(t, (call) => part(call, HALF), {
      routes: [{ path: '/files/:id', name: 'files' }],
      clientAbort: async ({ bytes, size, id, key, route, params, req, signal }) => {
        asked.push({ bytes, size, id, key, route, params, url: req.url, gone: signal.aborted });
        return false;
      },
    });
    const { answer, leave } = client(server, { path: '/files/7' });
    const call = await called(1);
    leave();
    await gone(1);
    await call.closed;
    await answer;
    await filter?.idle();
    assert.deepEqual(asked, [
      {
        bytes: HALF,
        size: SIZE,
        id: '7',
        key: '/files/7',
        route: 'files',
        params: { id: '7' },
        url: '/files/7',
        gone: true,
      },
    ]);
  });

  for (const [what, hook, problem] of [
    ['true', () => true, undefined],
    [
      'a throw',
      () => {
        throw new Error('deliberate');
      },
      /deliberate/,
    ],
    [
      'an answer that means nothing',
      () => 'yes' as unknown as boolean,
      /clientAbort answered yes; it may say true or false/,
    ],
    ['a promise that never settles', () => new Promise<boolean>(() => undefined), /hookTimeoutMs/],
  ] as const) {
    test(`${what}: the fill goes on`, LIMIT, async (t) => {
      const failed = heard(t, 'cache-filter:hook-error');
      let asked = 0;
      const { filter, server, called, gone } = await scene(t, (call) => part(call, HALF), {
        hookTimeoutMs: 30,
        clientAbort: () => {
          asked++;
          return hook();
        },
      });
      const { answer, leave } = client(server);
      const call = await called(1);
      leave();
      await gone(1);
      await answer;
      await until(() => asked === 1 && (problem === undefined || failed.length === 1));
      call.res.end(body.subarray(HALF));
      await filter?.idle();
      assert.equal(said(await ask(server)), 'hit');
      assert.equal(failed.length, problem === undefined ? 0 : 1);
      if (problem !== undefined) {
        assert.equal(failed[0]?.hook, 'clientAbort');
        assert.match(String(failed[0]?.error), problem);
      }
    });
  }

  test('who comes while it thinks keeps the fill alive', LIMIT, async (t) => {
    const asked = barrier();
    const thought = barrier<boolean>();
    const { filter, server, calls, called, following, gone } = await scene(t, (call) => part(call, HALF), {
      clientAbort: () => {
        asked.reach();
        return thought.reached;
      },
    });
    const first = client(server);
    const call = await called(1);
    first.leave();
    await gone(1);
    await first.answer;
    await asked.reached;
    const second = ask(server);
    await following(1);
    thought.reach(false);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(call.res.destroyed, false);
    call.res.end(body.subarray(HALF));
    assert.ok((await second).body.equals(body));
    await filter?.idle();
    assert.equal(calls.length, 1);
    assert.equal(said(await ask(server)), 'hit');
  });
});
