import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { createServer as createTlsServer, request as requestTls } from 'node:https';
import { connect, type Server } from 'node:net';
import type { Readable } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { type CacheFilter, type CacheFilterOptions, cacheFilter } from '../../lib/index.ts';
import { DeafWatch } from '../../lib/response/deaf.ts';
import { certificate } from '../support/certificate.ts';
import { onDisk } from '../support/directory.ts';
import { barrier } from '../support/filtered.ts';
import { type Handler, inARow, listening } from '../support/servers.ts';

const WIRES = ['h1', 'tls', 'h2'] as const;
type Wire = (typeof WIRES)[number];

const MIB = 2 ** 20;
/** More than the buffers of a connection hold. */
const SIZE = 32 * MIB;
const LIMIT = { timeout: 60_000 };

/** The body: each MiB begins with its number. */
const PIECES = Array.from({ length: SIZE / MIB }, (_, i) => {
  const bytes = Buffer.alloc(MIB, i);
  bytes.writeUInt32BE(i);
  return bytes;
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

interface Scene {
  filter: CacheFilter;
  port: number;
  /** The client's responses, in the order of their requests. */
  responses: ServerResponse[];
  calls: ServerResponse[];
  closed(): number;
}

async function scene(
  t: TestContext,
  wire: Wire,
  app: (res: ServerResponse) => unknown,
  options: Partial<CacheFilterOptions> = {},
): Promise<Scene> {
  const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable', closeTimeoutMs: 50, ...options });
  const [responses, calls]: ServerResponse[][] = [[], []];
  let closed = 0;
  const handlers: Handler[] = [
    (_req, res, next) => {
      responses?.push(res);
      res.once('close', () => closed++);
      next();
    },
    filter as Handler,
    (_req, res) => {
      calls?.push(res);
      return app(res);
    },
  ];
  const handle = (req: IncomingMessage, res: ServerResponse) => inARow(handlers, req, res);
  const server: Server =
    wire === 'h1'
      ? createServer(handle)
      : wire === 'tls'
        ? createTlsServer(certificate(), handle)
        : createHttp2Server(handle as never);
  const { port, close } = await listening('http', server);
  t.after(async () => {
    await filter.close();
    await close();
  });
  return { filter, port, responses: responses ?? [], calls: calls ?? [], closed: () => closed };
}

interface Client {
  /** Its answer, as soon as the head is there; paused. */
  answer: Promise<Readable>;
  leave(): void;
}

function client(t: TestContext, wire: Wire, port: number): Client {
  if (wire === 'h2') {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream = session.request({ ':path': '/a' });
    stream.on('error', () => undefined);
    stream.on('close', () => session.close());
    t.after(() => session.destroy());
    const answer = new Promise<Readable>((resolve) => stream.on('response', () => resolve(stream)));
    return { answer, leave: () => stream.close(8) };
  }
  const ask = wire === 'tls' ? requestTls : request;
  const req = ask({ port, host: '127.0.0.1', path: '/a', agent: false, rejectUnauthorized: false } as object);
  req.on('error', () => undefined);
  t.after(() => req.destroy());
  const answer = new Promise<Readable>((resolve) =>
    req.on('response', (res) => {
      res.pause();
      res.on('error', () => undefined);
      resolve(res);
    }),
  );
  req.end();
  return { answer, leave: () => req.destroy() };
}

/** Reads to the end, checks every byte, and says how many there were. */
async function count(answer: Readable): Promise<{ bytes: number; whole: boolean }> {
  let bytes = 0;
  answer.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      const [i, from] = [Math.floor((bytes + at) / MIB), (bytes + at) % MIB];
      const length = Math.min(MIB - from, chunk.length - at);
      const right = PIECES[i]?.subarray(from, from + length);
      if (right?.equals(chunk.subarray(at, at + length)) !== true)
        throw new Error(`other bytes at ${bytes + at}`);
      at += length;
    }
    bytes += chunk.length;
  });
  answer.resume();
  // One that was reset may have closed long before.
  if (!answer.closed) await new Promise((resolve) => answer.once('close', resolve));
  return { bytes, whole: bytes === SIZE };
}

/** Writes the body, waits where it is asked to, and calls `before` before each piece. */
async function pour(res: ServerResponse, before: (i: number) => unknown = () => undefined): Promise<void> {
  res.setHeader('Content-Length', SIZE);
  for (let i = 0; i < SIZE / MIB; i++) {
    await before(i);
    if (!res.write(PIECES[i])) await new Promise((resolve) => res.once('drain', resolve));
  }
  res.end();
}

/** What the server holds for a client that does not read. */
function buffered(res: ServerResponse): number {
  const stream = 'stream' in res ? (res.stream as Readable & { writableLength: number }) : res;
  return stream.writableLength;
}

for (const wire of WIRES) {
  describe(`${wire}: a client that hardly reads`, () => {
    for (const [reads, who] of [
      ['nothing', 'leads'],
      ['nothing', 'follows'],
      ['a little', 'leads'],
      ['a little', 'follows'],
    ] as const) {
      test(
        `reads ${reads} and ${who}: holds up neither the handler nor another client, nor memory`,
        LIMIT,
        async (t) => {
          const go = barrier();
          let ended = false;
          const { filter, port, responses, calls } = await scene(t, wire, async (res) => {
            res.once('finish', () => {
              ended = true;
            });
            await pour(res, (i) => (i === 1 ? go.reached : undefined));
          });
          const first = client(t, wire, port);
          const one = await first.answer;
          const second = client(t, wire, port);
          const two = await second.answer;
          const [slow, quick] = who === 'leads' ? [one, two] : [two, one];
          const stuck = responses[who === 'leads' ? 0 : 1] as ServerResponse;
          let most = 0;
          quick.on('data', () => {
            if (reads === 'a little') slow.read(1000);
            most = Math.max(most, buffered(stuck));
          });
          go.reach();
          assert.deepEqual(await count(quick), { bytes: SIZE, whole: true });
          await until(() => ended);
          assert.equal(calls.length, 1);
          assert.equal(stuck.writableFinished, false, 'the fault fired: it has not taken all');
          assert.ok(most <= 2 * MIB, `${most} bytes were held for it`);
          const { entries, fills } = await filter.stats();
          assert.deepEqual([entries, fills], [1, 0]);
        },
      );
    }
  });

  describe(`${wire}: sendTimeoutMs`, () => {
    for (const who of ['hit', 'leader', 'follower'] as const) {
      test(`a ${who} whose client takes nothing is cut off, and nobody else is`, LIMIT, async (t) => {
        const go = barrier();
        const { filter, port, responses, closed } = await scene(
          t,
          wire,
          (res) => pour(res, (i) => (i === 1 && who !== 'hit' ? go.reached : undefined)),
          { sendTimeoutMs: 300, closeTimeoutMs: 20_000 },
        );
        const first = client(t, wire, port);
        const one = await first.answer;
        if (who === 'hit') {
          assert.ok((await count(one)).whole);
          await until(() => closed() === 1);
        }
        const second = client(t, wire, port);
        const two = await second.answer;
        const [deaf, other] = who === 'leader' ? [one, two] : [two, one];
        const stuck = responses[who === 'leader' ? 0 : 1] as ServerResponse;
        go.reach();
        if (who !== 'hit') assert.ok((await count(other)).whole);
        await until(() => closed() === 2);
        assert.equal('stream' in stuck ? true : stuck.writableFinished === false, true);
        assert.equal((await count(deaf)).whole, false);
        await filter.idle();
      });
    }

    test('a client that reads now and then gets all of it', LIMIT, async (t) => {
      const { port, filter } = await scene(t, wire, (res) => pour(res), { sendTimeoutMs: 1_000 });
      const answer = await client(t, wire, port).answer;
      const pausing = setInterval(() => {
        answer.pause();
        setTimeout(() => answer.resume(), 150);
      }, 200);
      t.after(() => clearInterval(pausing));
      assert.deepEqual(await count(answer), { bytes: SIZE, whole: true });
      await filter.idle();
    });
  });

  describe(`${wire}: the client that was first leaves`, () => {
    for (const at of ['before the head', 'at the first byte', 'half-way', 'at the last byte'] as const) {
      test(`${at}: the other gets all of it, from one call, and it is kept`, LIMIT, async (t) => {
        const judged = barrier();
        const left = barrier();
        const { filter, port, calls, closed } = await scene(
          t,
          wire,
          async (res) => {
            if (at === 'before the head') await left.reached;
            await pour(res, (i) => {
              const here = { 'at the first byte': 1, 'half-way': SIZE / MIB / 2 }[at as string];
              return i === here ? left.reached : undefined;
            });
          },
          {
            authorize: () => {
              judged.reach();
              return true;
            },
          },
        );
        const first = client(t, wire, port);
        await until(() => calls.length === 1);
        const second = client(t, wire, port);
        await judged.reached;
        if (at !== 'before the head') {
          const reading = await first.answer;
          const wanted = { 'at the first byte': 1, 'half-way': SIZE / 4, 'at the last byte': SIZE - 1 }[at];
          let bytes = 0;
          const { reached, reach } = barrier();
          reading.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes >= wanted) reach();
          });
          reading.resume();
          await reached;
        }
        first.leave();
        if (at !== 'at the last byte') await until(() => closed() >= 1);
        left.reach();
        assert.deepEqual(await count(await second.answer), { bytes: SIZE, whole: true });
        await filter.idle();
        assert.equal(calls.length, 1);
        assert.equal((await filter.stats()).entries, 1);
      });
    }
  });
}

describe('half-close', () => {
  for (const allowed of [true, false]) {
    test(
      `a client that says that it will say no more ${allowed ? 'gets all of it' : 'has left, for Node: the fill goes on'}`,
      LIMIT,
      async (t) => {
        const asked = barrier();
        const go = barrier();
        const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
        let gone = false;
        const server = createServer((req, res) =>
          inARow(
            [
              (_req, outer, next) => {
                outer.once('close', () => {
                  gone = true;
                });
                next();
              },
              filter as Handler,
              async (_req, inner) => {
                asked.reach();
                await pour(inner, (i) => (i === 1 ? go.reached : undefined));
              },
            ],
            req,
            res,
          ),
        );
        (server as unknown as { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = allowed;
        const { port, close } = await listening('http', server);
        t.after(async () => {
          await filter.close();
          await close();
        });
        const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
        let bytes = 0;
        socket.on('data', (chunk) => {
          bytes += chunk.length;
        });
        socket.on('error', () => undefined);
        const over = new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
        socket.end('GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
        await asked.reached;
        if (!allowed) await until(() => gone);
        go.reach();
        await over;
        socket.destroy();
        await filter.idle();
        assert.equal(bytes > SIZE, allowed);
        assert.equal((await filter.stats()).entries, 1);
      },
    );
  }
});

describe('what a client takes', () => {
  function watched(timeoutMs = 20) {
    const socket = { writableLength: 100, _handle: { writeQueueSize: 100 } };
    const res = { socket: socket as typeof socket | null };
    const { reached, reach } = barrier();
    const watch = new DeafWatch(res as never, timeoutMs, reach);
    let deaf = false;
    void reached.then(() => {
      deaf = true;
    });
    // The watch is unref'd.
    const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    return { socket, res, watch, reached, pass, isDeaf: () => deaf };
  }

  test('is seen inside of a piece that is being written', async () => {
    const { socket, watch, pass, isDeaf, reached } = watched(50);
    watch.begin();
    const taking = setInterval(() => socket._handle.writeQueueSize--, 5);
    await pass(200);
    assert.equal(isDeaf(), false);
    clearInterval(taking);
    const alive = setInterval(() => undefined, 1_000);
    await reached;
    clearInterval(alive);
  });

  test('is nothing before its turn on the connection has come, nor while nobody waits', async () => {
    const { res, socket, watch, pass, isDeaf } = watched();
    res.socket = null;
    watch.begin();
    await pass(100);
    res.socket = socket;
    watch.end();
    await pass(100);
    assert.equal(isDeaf(), false);
    watch.begin();
    await pass(100);
    assert.equal(isDeaf(), true);
  });

  test('Node tells of it, with and without TLS', LIMIT, async (t) => {
    for (const wire of ['h1', 'tls'] as const) {
      const { port, responses } = await scene(t, wire, (res) => pour(res));
      const answer = client(t, wire, port);
      await answer.answer;
      const { socket } = responses[0] as ServerResponse;
      const size = (socket as unknown as { _handle: { writeQueueSize: unknown } })._handle.writeQueueSize;
      assert.equal(typeof size, 'number', wire);
    }
  });
});
