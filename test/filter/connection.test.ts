import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { type CacheFilter, type CacheFilterOptions, cacheFilter } from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, barrier, respond, said } from '../support/filtered.ts';
import { type Handler, KINDS, type Kind, serve, type TestServer } from '../support/servers.ts';

const HTTP1 = KINDS.filter((kind) => kind !== 'http2');
const LIMIT = { timeout: 60_000 };
const routes = [{ path: '/files/:id' }];

/** A filter behind `outer`, on a disk. */
async function behind(
  t: TestContext,
  outer: Handler,
  app: Handler,
  options: Partial<CacheFilterOptions> = {},
  kind: Kind = 'http',
): Promise<{ filter: CacheFilter; server: TestServer }> {
  const filter = cacheFilter({
    ...onDisk(t),
    freshness: 'immutable',
    routes,
    closeTimeoutMs: 5_000,
    ...options,
  } as CacheFilterOptions);
  const server = await serve(kind, [outer, filter as Handler, app]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  return { filter, server };
}

/** Requests written at once on one connection: the connection, and all that comes back until it ends. */
function pipelined(port: number, paths: string[]) {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(
    paths
      .map((path, i) => {
        const last = i === paths.length - 1 ? 'Connection: close\r\n' : '';
        return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${last}\r\n`;
      })
      .join(''),
  );
  return { socket, answers: once(socket, 'close').then(() => parse(Buffer.concat(chunks))) };
}

/** Answers that have a Content-Length, as they lie one behind the other. */
function parse(bytes: Buffer): { head: string; body: Buffer; complete: boolean }[] {
  const answers = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n\r\n', at);
    assert.ok(end >= 0, `a head that ends: ${bytes.toString('latin1', at, at + 100)}`);
    const head = bytes.toString('latin1', at, end);
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1]);
    assert.ok(length >= 0, head);
    const body = bytes.subarray(end + 4, end + 4 + length);
    answers.push({ head, body, complete: body.length === length });
    at = end + 4 + length;
  }
  return answers;
}

describe('a cold request that is pipelined behind a slow one gets its whole answer', () => {
  for (const kind of HTTP1) {
    for (const size of [BODY.length, 3 * 2 ** 20]) {
      for (const order of ['before', 'after'] as const) {
        test(`${kind}: ${size} bytes, ended ${order} its turn has come`, LIMIT, async (t) => {
          const body = Buffer.alloc(size, BODY);
          const happened: string[] = [];
          const asked = barrier();
          const ended = barrier();
          const go = barrier();
          const { filter, server } = await behind(
            t,
            (_req, _res, next) => next(),
            async (req, res) => {
              if (req.url === '/slow') {
                await (order === 'before' ? ended : asked).reached;
                happened.push('slow');
                res.once('close', () => go.reach());
                res.end('slow');
                return;
              }
              happened.push('asked');
              asked.reach();
              if (order === 'after') await go.reached;
              res.once('finish', () => ended.reach());
              res.setHeader('Content-Length', size);
              res.write(body.subarray(0, size / 2));
              res.end(body.subarray(size / 2));
            },
            {},
            kind,
          );
          const [slow, cold, ...more] = await pipelined(server.port, ['/slow', '/files/a']).answers;
          assert.deepEqual(happened, ['asked', 'slow'], 'the fault fired: it was tapped before its turn');
          assert.equal(slow?.body.toString(), 'slow');
          assert.match(String(cold?.head), /^HTTP\/1\.1 200 OK\r\n[\s\S]*fwd=uri-miss; stored/);
          assert.ok(cold?.body.equals(body), `${cold?.body.length} of ${size} bytes`);
          assert.equal(more.length, 0);
          await filter.idle();
          const again = await ask(server, { path: '/files/a' });
          assert.deepEqual([said(again), again.body.equals(body)], ['hit', true]);
        });
      }
    }
  }
});

describe('a client that leaves while its second response is queued leaves nothing behind', () => {
  for (const warm of [true, false]) {
    test(warm ? 'a hit' : 'a fill, which is kept', LIMIT, async (t) => {
      const body = Buffer.alloc(3 * 2 ** 20, BODY);
      const queued = barrier<ServerResponse>();
      const left = barrier();
      const never = barrier();
      let watch = false;
      const { filter, server } = await behind(
        t,
        (req, res, next) => {
          if (watch && req.url === '/slow') req.once('close', () => left.reach());
          if (watch && req.url === '/files/a') {
            // Wrapped before the tap: called by whoever writes to the client.
            const { write } = res;
            res.write = (...args: unknown[]) => {
              queued.reach(res);
              return Reflect.apply(write, res, args);
            };
          }
          next();
        },
        (req, res) => {
          if (req.url === '/slow') return never.reached;
          res.setHeader('Content-Length', body.length);
          return res.end(body);
        },
      );
      if (warm) await ask(server, { path: '/files/a' });
      watch = true;
      const { socket } = pipelined(server.port, ['/slow', '/files/a']);
      const res = await queued.reached;
      socket.destroy();
      await left.reached;
      await filter.idle();
      assert.equal(res.writableFinished, false, 'the fault fired: it was queued, and never had its turn');
      assert.equal((await filter.stats()).fills, 0);
      watch = false;
      const again = await ask(server, { path: '/files/a' });
      assert.deepEqual([said(again), again.body.equals(body)], ['hit', true]);
      await filter.close();
    });
  }
});

describe('a client that leaves while a hook answers for its queued request leaves nothing behind', () => {
  for (const read of [false, true]) {
    for (const size of [BODY.length, 3 * 2 ** 20]) {
      test(
        `a hit of ${size} bytes, the request ${read ? 'read to its end' : 'not read'}`,
        LIMIT,
        async (t) => {
          const body = Buffer.alloc(size, BODY);
          const asking = barrier();
          const left = barrier();
          const go = barrier();
          const never = barrier();
          let watch = false;
          let queued: ServerResponse | undefined;
          const told: boolean[] = [];
          const { filter, server } = await behind(
            t,
            (req, res, next) => {
              if (read) req.resume();
              if (watch && req.url === '/slow') res.once('close', () => left.reach());
              if (watch && req.url === '/files/a') queued = res as ServerResponse;
              next();
            },
            (req, res) => {
              if (req.url === '/slow') return never.reached;
              res.setHeader('Content-Length', body.length);
              return res.end(body);
            },
            {
              authorize: async () => {
                if (!watch) return true;
                asking.reach();
                await go.reached;
                return true;
              },
              onServed: ({ complete }) => void told.push(complete),
            },
          );
          await ask(server, { path: '/files/a' });
          await filter.idle();
          watch = true;
          const { socket } = pipelined(server.port, ['/slow', '/files/a']);
          await asking.reached;
          socket.destroy();
          await left.reached;
          go.reach();
          await filter.idle();
          assert.equal(queued?.socket, null, 'the fault fired: it never had its turn');
          assert.deepEqual(told, [true, false]);
        },
      );
    }
  }
});

describe('followers that leave before there is a head cause no call of the handler', () => {
  for (const kind of KINDS) {
    test(`${kind}: one waits, twenty leave`, LIMIT, async (t) => {
      const held = barrier();
      const go = barrier();
      const waiting = barrier();
      const gone = barrier();
      const [followers, leaving] = [21, 20];
      let [judged, closed, calls] = [0, 0, 0];
      const { filter, server } = await behind(
        t,
        (_req, res, next) => {
          res.once('close', () => ++closed === leaving && gone.reach());
          next();
        },
        async (req, res) => {
          calls++;
          held.reach();
          await go.reached;
          respond(req, res);
        },
        {
          authorize: () => {
            if (++judged === followers) waiting.reach();
            return true;
          },
        },
        kind,
      );
      const leader = ask(server, { path: '/files/a' });
      await held.reached;
      const client = new AbortController();
      const left = Array.from({ length: leaving }, () =>
        ask(server, { path: '/files/a', signal: client.signal }),
      );
      const stays = ask(server, { path: '/files/a' });
      await waiting.reached;
      client.abort();
      await gone.reached;
      for (const answer of await Promise.all(left)) assert.equal(answer.complete, false);
      assert.equal(calls, 1);
      go.reach();
      for (const answer of [await leader, await stays]) assert.ok(answer.body.equals(BODY));
      await filter.idle();
      assert.deepEqual([calls, judged, closed], [1, 21, 22], 'the fault fired: twenty followers were gone');
    });
  }

  test('nor where the answer could not have been shared', LIMIT, async (t) => {
    const held = barrier();
    const go = barrier();
    const judged = barrier();
    const gone = barrier();
    let calls = 0;
    const { filter, server } = await behind(
      t,
      (_req, res, next) => {
        res.once('close', () => gone.reach());
        next();
      },
      async (_req, res) => {
        calls++;
        held.reach();
        await go.reached;
        res.setHeader('Cache-Control', 'no-store');
        res.end(BODY);
      },
      {
        authorize: () => {
          judged.reach();
          return true;
        },
      },
    );
    const leader = ask(server, { path: '/files/a' });
    await held.reached;
    const client = new AbortController();
    const left = ask(server, { path: '/files/a', signal: client.signal });
    await judged.reached;
    client.abort();
    await gone.reached;
    assert.equal((await left).complete, false, 'the fault fired: it had followed, and left');
    go.reach();
    assert.ok((await leader).body.equals(BODY));
    await filter.idle();
    assert.equal(calls, 1);
  });
});

describe("an outer deadline's answer is sent whole", () => {
  const REST = Buffer.alloc(2 ** 20, 'late');
  for (const kind of KINDS) {
    for (const who of ['a follower waits', 'a hit is being opened'] as const) {
      for (const ended of ['at once', 'later']) {
        test(`${kind}: given while ${who}, ended ${ended}`, LIMIT, async (t) => {
          const follows = who === 'a follower waits';
          const held = barrier();
          const go = barrier();
          const judged = barrier();
          const judge = barrier();
          const late = barrier<ServerResponse>();
          const { filter, server } = await behind(
            t,
            (req, res, next) => {
              if (req.headers['x-deadline'] !== undefined) late.reach(res);
              next();
            },
            async (req, res) => {
              held.reach();
              if (follows) await go.reached;
              respond(req, res);
            },
            {
              authorize: async () => {
                judged.reach();
                if (!follows) await judge.reached;
                return true;
              },
            },
            kind,
          );
          const first = ask(server, { path: '/files/a' });
          await held.reached;
          if (!follows) await first;
          const second = ask(server, { path: '/files/a', headers: { 'X-Deadline': '1' } });
          const res = await late.reached;
          await judged.reached;
          assert.equal(res.headersSent, false, 'the fault fired: nothing had been sent');
          res.writeHead(503, { 'Content-Type': 'text/plain' });
          if (ended === 'at once') res.end(REST);
          else res.write(REST.subarray(0, 100));
          (follows ? go : judge).reach();
          // The filter has had its say.
          await filter.idle();
          if (ended === 'later') res.end(REST.subarray(100));
          const answer = await second;
          assert.deepEqual(
            [answer.status, answer.complete, answer.body.equals(REST)],
            [503, true, true],
            `${answer.body.length} of ${REST.length} bytes`,
          );
          assert.ok((await first).body.equals(BODY));
        });
      }
    }
  }
});
