import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Cache, type CacheFilterOptions, cacheFilter, MemoryCache } from '../../../lib/index.ts';
import { ask } from '../../support/client.ts';
import { onDisk, temporaryDirectory } from '../../support/directory.ts';
import { BODY, barrier, filtered, respond, said } from '../../support/filtered.ts';
import { type Handler, KINDS, type Kind, serve } from '../../support/servers.ts';

const HTTP1 = KINDS.filter((kind) => kind !== 'http2');
const LIMIT = { timeout: 60_000 };

async function behind(
  t: TestContext,
  outer: readonly Handler[],
  app: readonly Handler[],
  options: Partial<CacheFilterOptions>,
  kind: Kind,
) {
  const filter = cacheFilter({ ...onDisk(t), ...options } as CacheFilterOptions);
  const server = await serve(kind, [...outer, filter as Handler, ...app]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  return { filter, server };
}

/** What comes back for these bytes until the connection ends. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

/** Rejections that nobody handles until the test is over. */
function unhandled(t: TestContext): unknown[] {
  const seen: unknown[] = [];
  const listener = (error: unknown) => void seen.push(error);
  process.on('unhandledRejection', listener);
  t.after(() => process.off('unhandledRejection', listener));
  return seen;
}

/** Node refuses such a head to a client of HTTP/1.0: there are no chunks for the trailer to follow. */
function announceTrailer(res: Parameters<Handler>[1]): void {
  res.writeHead(200, { Trailer: 'Content-MD5' });
  res.write('data');
  res.addTrailers({ 'Content-MD5': 'x' });
  res.end();
}

/** Declines only when asked to begin, which is later than the handler's call. */
function declining(): Cache {
  const cache = new MemoryCache();
  const claim = cache.claim.bind(cache);
  cache.claim = async (...args) => {
    const claimed = await claim(...args);
    return claimed?.role === 'leader'
      ? { ...claimed, start: async () => ({ declined: 'no-room' }), abandon: () => claimed.abandon() }
      : claimed;
  };
  return cache;
}

describe('a response that Node refuses to send', () => {
  for (const kind of HTTP1) {
    test(`${kind}: the handler gets the exception, and can answer otherwise`, LIMIT, async (t) => {
      const rejected = unhandled(t);
      const caught: unknown[] = [];
      const { filter, server } = await behind(
        t,
        [],
        [
          (_req, res) => {
            try {
              announceTrailer(res);
            } catch (error) {
              caught.push((error as NodeJS.ErrnoException).code);
              res.removeHeader('Trailer');
              res.statusCode = 500;
              res.end('sorry');
            }
          },
        ],
        {},
        kind,
      );
      assert.match(await raw(server.port, 'GET /a HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 500 [\s\S]*\r\n\r\nsorry$/);
      await filter.idle();
      assert.deepEqual(caught, ['ERR_HTTP_TRAILER_INVALID'], 'the fault fired');
      const other = await ask(server, { path: '/a' });
      assert.deepEqual(
        [other.status, other.body.toString(), other.trailers],
        [200, 'data', { 'content-md5': 'x' }],
      );
      assert.deepEqual(rejected, []);
    });

    test(`${kind}: found out after the handler's call, it fails visibly`, LIMIT, async (t) => {
      const rejected = unhandled(t);
      const cache = declining();
      const { filter, server } = await behind(
        t,
        [],
        [(_req, res) => announceTrailer(res)],
        {
          directory: undefined,
          minFreeBytes: undefined,
          cache,
          freshness: 'immutable',
          integrity: 'end',
        } as never,
        kind,
      );
      assert.equal(
        await raw(server.port, 'GET /a HTTP/1.0\r\n\r\n'),
        '',
        'the fault fired: nothing was sent',
      );
      await filter.idle();
      assert.deepEqual(rejected, []);
      const other = await ask(server);
      assert.deepEqual([said(other), other.body.toString()], ['fwd=uri-miss; detail=no-room', 'data']);
    });

    test(`${kind}: a DELETE with a reason phrase that is none fails visibly`, LIMIT, async (t) => {
      const rejected = unhandled(t);
      let deleted = 0;
      const { filter, server, get } = await filtered(
        t,
        { ...onDisk(t) },
        (req, res) => {
          if (req.method !== 'DELETE') return respond(req, res);
          deleted++;
          res.statusMessage = 'Gone\r\nX-Injected: yes';
          res.end('deleted');
        },
        kind,
      );
      await get('/a');
      const answer = await ask(server, { path: '/a', method: 'DELETE' });
      assert.deepEqual([answer.status, answer.complete, deleted], [0, false, 1], 'the fault fired');
      await filter.idle();
      assert.deepEqual(rejected, []);
      assert.equal(said(await get('/a')), 'fwd=uri-miss; stored', 'it did succeed, for all that we know');
    });
  }
});

for (const kind of KINDS) {
  describe(`${kind}: fields of earlier middleware that the handler repeats are not its own`, () => {
    for (const [how, repeat] of [
      [
        'writeHead',
        (res: Parameters<Handler>[1]) =>
          res.writeHead(200, { ...res.getHeaders(), 'X-Own': 'yes', 'Content-Length': 2 }),
      ],
      [
        'setHeader',
        (res: Parameters<Handler>[1]) => {
          for (const [name, value] of Object.entries(res.getHeaders())) res.setHeader(name, value as string);
          res.setHeader('X-Own', 'yes');
          res.setHeader('Content-Length', 2);
        },
      ],
    ] as const) {
      test(`by ${how}`, async (t) => {
        let repeated = 0;
        const { filter, server } = await behind(
          t,
          [
            (req, res, next) => {
              res.setHeader('X-User', String(req.headers['x-who']));
              res.setHeader('X-List', ['for', String(req.headers['x-who'])]);
              next();
            },
          ],
          [
            (_req, res) => {
              if (res.getHeader('x-user') === 'alice') repeated++;
              repeat(res);
              res.end('ok');
            },
          ],
          { freshness: 'immutable' },
          kind,
        );
        const alice = await ask(server, { headers: { 'X-Who': 'alice' } });
        assert.deepEqual([alice.headers['x-user'], repeated], ['alice', 1], 'the fault fired');
        await filter.idle();
        const bob = await ask(server, { headers: { 'X-Who': 'bob' } });
        assert.equal(said(bob), 'hit');
        assert.deepEqual([bob.headers['x-user'], bob.headers['x-own']], ['bob', 'yes']);
        assert.match(String(bob.headers['x-list']), /^for, ?bob$|^for,bob$/);
        assert.doesNotMatch(JSON.stringify(bob.headers), /alice/);
      });
    }
  });
}

describe('http2: a handler that answers by its stream reaches the client, and is not kept', () => {
  for (const [name, answer] of [
    [
      'respond and end',
      ({ stream }: Http2ServerResponse) => {
        stream.respond({ ':status': 200, 'content-type': 'text/plain', 'x-own': 'yes' });
        stream.end(BODY);
      },
    ],
    [
      'respond, write, and end a moment later',
      ({ stream }: Http2ServerResponse) => {
        stream.respond({ ':status': 200, 'x-own': 'yes' });
        stream.write(BODY.subarray(0, 10), () => stream.end(BODY.subarray(10)));
      },
    ],
    [
      'respondWithFile',
      ({ stream }: Http2ServerResponse, file: string) => stream.respondWithFile(file, { 'x-own': 'yes' }),
    ],
  ] as const) {
    test(name, LIMIT, async (t) => {
      const file = join(temporaryDirectory(t), 'body.txt');
      writeFileSync(file, BODY);
      const { get, calls, filter } = await filtered(
        t,
        { ...onDisk(t) },
        (_req, res) => answer(res as unknown as Http2ServerResponse, file),
        'http2',
      );
      for (const call of [1, 2]) {
        const { status, complete, body, headers } = await get('/a');
        assert.deepEqual([status, complete, body.equals(BODY), headers['x-own']], [200, true, true, 'yes']);
        await filter.idle();
        assert.equal(calls(), call, 'the fault fired: the handler answered');
      }
      const { entries, fills } = await filter.stats();
      assert.deepEqual([entries, fills], [0, 0]);
    });
  }
});

for (const kind of KINDS) {
  describe(`${kind}: a DELETE that begins its answer before the deed`, () => {
    for (const [length, size] of [
      ['short', 10],
      ['longer than can be held', 2 ** 20],
    ] as const) {
      test(`what was kept in between is purged when its ${length} answer has ended`, LIMIT, async (t) => {
        const begun = barrier();
        const go = barrier();
        let there = true;
        const { get, server } = await filtered(
          t,
          { ...onDisk(t) },
          async (req, res) => {
            if (req.method === 'DELETE') {
              res.writeHead(200);
              res.flushHeaders();
              res.write(Buffer.alloc(size, 'd'));
              begun.reach();
              await go.reached;
              there = false;
              res.end('done');
              return;
            }
            if (there) return respond(req, res);
            res.writeHead(404).end('gone');
          },
          kind,
        );
        await get('/a');
        const deleting = ask(server, { path: '/a', method: 'DELETE' });
        await begun.reached;
        // Once it is kept again, whether or not a first purge has come by.
        for (let i = 0; i < 2; i++) await get('/a');
        const between = await get('/a');
        assert.deepEqual([between.status, there], [200, true], 'the fault fired: it was answered in between');
        go.reach();
        const answer = await deleting;
        assert.deepEqual([answer.complete, answer.body.length], [true, size + 4]);
        assert.equal((await get('/a')).status, 404);
      });
    }
  });

  describe(`${kind}: the handler of a range`, () => {
    for (const kept of [true, false]) {
      test(
        `sees finished false while it writes, where the whole is ${kept ? '' : 'not '}kept`,
        LIMIT,
        async (t) => {
          const body = Buffer.alloc(2 ** 20, BODY);
          const seen: unknown[] = [];
          const { get, filter } = await filtered(
            t,
            { ...onDisk(t) },
            async (_req, res) => {
              res.setHeader('Content-Length', body.length);
              if (!kept) res.setHeader('Cache-Control', 'no-store');
              seen.push(res.finished);
              for (let at = 0; at < body.length; at += 2 ** 16) {
                const room = res.write(body.subarray(at, at + 2 ** 16));
                seen.push(res.finished);
                if (!room) await once(res, 'drain');
                seen.push(res.finished);
              }
              res.end();
            },
            kind,
          );
          const answer = await get('/a', { Range: 'bytes=10-19' });
          assert.deepEqual([answer.status, answer.body.toString()], [206, body.toString('latin1', 10, 20)]);
          await filter.idle();
          assert.deepEqual(seen, Array(33).fill(false), 'the fault fired: it wrote 16 pieces');
          assert.equal(said(await get('/a')), kept ? 'hit' : 'fwd=uri-miss; detail=no-store');
        },
      );
    }
  });
}

// Http2ServerResponse.end(chunk) calls write(chunk), which must not cut a second time what end has cut.
test('http2: a range is cut out of a body given in one piece', LIMIT, async (t) => {
  const app: Handler = (_req, res) => {
    res.setHeader('Cache-Control', 'no-store');
    res.end(BODY);
  };
  for (const [start, end] of [
    [0, 2],
    [8, 10],
    [30, 36],
  ] as const) {
    const { get } = await filtered(t, {}, (req, res) => app(req, res, () => undefined), 'http2');
    const answer = await get('/a', { Range: `bytes=${start}-${end - 1}` });
    assert.deepEqual([answer.status, answer.body.toString()], [206, BODY.toString('latin1', start, end)]);
  }
});

describe('what a handler does after the end of its response', () => {
  for (const kind of KINDS) {
    test(`${kind}: does not get to a client that still reads`, LIMIT, async (t) => {
      const body = Buffer.alloc(32 * 2 ** 20, BODY);
      const stuck = barrier();
      const ended = barrier<ServerResponse>();
      const { server, filter } = await behind(
        t,
        [
          (_req, res, next) => {
            const { write } = res;
            res.write = (...args: unknown[]) => {
              const room = Reflect.apply(write, res, args) as boolean;
              if (!room) stuck.reach();
              return room;
            };
            next();
          },
        ],
        [
          (_req, res) => {
            res.setHeader('Content-Length', body.length);
            res.once('close', () => ended.reach(res));
            res.end(body);
          },
        ],
        { freshness: 'immutable' },
        kind,
      );
      const answer = ask(server, { path: '/a' });
      const res = await ended.reached;
      await stuck.reached;
      let failed: unknown;
      res.write('junk', (error) => {
        failed = error;
      });
      res.end('more junk');
      const { body: got, complete } = await answer;
      assert.ok(complete && got.equals(body), `${got.length} of ${body.length} bytes`);
      await filter.idle();
      assert.equal((failed as NodeJS.ErrnoException).code, 'ERR_STREAM_WRITE_AFTER_END');
    });
  }
});
