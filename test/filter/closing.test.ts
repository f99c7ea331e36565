import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { type CacheFilterOptions, cacheFilter, MemoryCache } from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, barrier, filtered, said } from '../support/filtered.ts';
import { type Handler, serve } from '../support/servers.ts';

/** More than the buffers of a connection hold. */
const SIZE = 32 * 2 ** 20;
const LIMIT = { timeout: 60_000 };
const PATIENCE = { closeTimeoutMs: 50 };

/** Asks, and reads nothing until told to; then all of it. */
function deaf(t: TestContext, port: number, method = 'GET'): { socket: Socket; read(): Promise<Buffer> } {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.pause();
  socket.write(`${method} /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  t.after(() => socket.destroy());
  return {
    socket,
    async read() {
      const chunks: Buffer[] = [];
      const closed = once(socket, 'close');
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.resume();
      await closed;
      return Buffer.concat(chunks);
    },
  };
}

describe('close() does not wait for a client that does not read', () => {
  for (const where of ['memory', 'disk']) {
    for (const who of ['hit', 'leader', 'follower'] as const) {
      test(`${where}: a ${who}`, LIMIT, async (t) => {
        const stuck = barrier<ServerResponse>();
        const ended = barrier();
        const held = barrier();
        const judged = barrier();
        const go = barrier();
        const filter = cacheFilter({
          freshness: 'immutable',
          authorize: () => {
            judged.reach();
            return true;
          },
          ...PATIENCE,
          ...(where === 'memory' ? { cache: new MemoryCache({ maxBytes: 2 * SIZE }) } : { ...onDisk(t) }),
        } as CacheFilterOptions);
        let watch = false;
        const server = await serve('http', [
          (_req, res, next) => {
            if (watch) {
              const { write } = res;
              res.write = (...args: unknown[]) => {
                const room = Reflect.apply(write, res, args) as boolean;
                if (!room) stuck.reach(res);
                return room;
              };
            }
            next();
          },
          filter as Handler,
          async (_req, res) => {
            held.reach();
            if (who === 'follower') await go.reached;
            res.setHeader('Content-Length', SIZE);
            res.once('finish', () => ended.reach());
            res.end(Buffer.alloc(SIZE));
          },
        ]);
        t.after(() => server.close());
        let first: ReturnType<typeof ask> | undefined;
        if (who !== 'leader') {
          first = ask(server, { path: '/a' });
          await held.reached;
          if (who === 'hit') await first;
        }
        watch = true;
        const client = deaf(t, server.port);
        if (who === 'follower') {
          await judged.reached;
          go.reach();
        }
        const res = await stuck.reached;
        await ended.reached;
        // Who reads is not held up by who does not.
        if (first !== undefined) assert.equal((await first).body.length, SIZE);
        await filter.close();
        assert.equal(res.writableFinished, false, 'the fault fired: the answer was stuck');
        const got = await client.read();
        assert.ok(got.length < SIZE, 'and is not taken for whole');
        const after = await ask(server, { path: '/a' });
        assert.deepEqual([said(after), after.body.length], ['fwd=bypass; detail=closed', SIZE]);
      });
    }
  }
});

describe('close() does not wait for a handler that does not answer', () => {
  test('a DELETE; it may still answer afterwards', LIMIT, async (t) => {
    const asked = barrier<ServerResponse>();
    const { filter, server } = await filtered(t, { ...PATIENCE, ...onDisk(t) }, (_req, res) =>
      asked.reach(res),
    );
    const answer = ask(server, { path: '/a', method: 'DELETE' });
    const res = await asked.reached;
    await filter.close();
    assert.equal(res.writableEnded, false, 'the fault fired: it had not answered');
    res.writeHead(200).end('deleted');
    assert.deepEqual([(await answer).status, (await answer).body.toString()], [200, 'deleted']);
  });

  test('a GET that leads: its client sees the failure', LIMIT, async (t) => {
    const asked = barrier<ServerResponse>();
    const { filter, server } = await filtered(t, { ...PATIENCE, ...onDisk(t) }, (_req, res) =>
      asked.reach(res),
    );
    const answer = ask(server, { path: '/a' });
    const res = await asked.reached;
    assert.equal(res.headersSent, false, 'the fault fired: it had not answered');
    await filter.close();
    assert.equal((await answer).complete, false);
  });

  test('a GET that was passed on, and is told on and on', LIMIT, async (t) => {
    const asked = barrier<ServerResponse>();
    const { filter, server } = await filtered(
      t,
      { ...PATIENCE, bypass: () => true, ...onDisk(t) },
      async (_req, res) => {
        res.writeHead(200, { 'Content-Type': 'text/event-stream' });
        res.write('data: 1\n\n');
        asked.reach(res);
        await once(res, 'close');
      },
    );
    const answer = ask(server, { path: '/a' });
    const res = await asked.reached;
    await filter.idle();
    await filter.close();
    assert.equal(res.writableEnded, false, 'the fault fired: it had not ended');
    res.end('data: 2\n\n');
    assert.equal((await answer).body.toString(), 'data: 1\n\ndata: 2\n\n');
    assert.equal((await answer).complete, true);
  });

  test('a GET whose client left while its handler never ends', LIMIT, async (t) => {
    const asked = barrier<ServerResponse>();
    const gone = barrier();
    const filter = cacheFilter({ ...PATIENCE, ...onDisk(t), freshness: 'immutable' });
    const server = await serve('http', [
      (_req, res, next) => {
        res.once('close', () => gone.reach());
        next();
      },
      filter as Handler,
      (_req, res) => {
        res.writeHead(200, { 'Content-Length': BODY.length });
        res.write(BODY.subarray(0, 10));
        asked.reach(res);
      },
    ]);
    t.after(() => server.close());
    const client = new AbortController();
    const answer = ask(server, { path: '/a', signal: client.signal });
    const res = await asked.reached;
    client.abort();
    await gone.reached;
    assert.equal((await answer).complete, false);
    assert.equal(res.writableEnded, false, 'the fault fired: it had not ended');
    await filter.close();
  });

  test('a hook that never settles', LIMIT, async (t) => {
    const asked = barrier();
    const { filter, server } = await filtered(t, {
      ...PATIENCE,
      bypass: () => {
        asked.reach();
        return new Promise<boolean>(() => undefined);
      },
    });
    const client = new AbortController();
    const answer = ask(server, { path: '/a', signal: client.signal });
    await asked.reached;
    await filter.close();
    client.abort();
    assert.equal((await answer).complete, false);
  });
});
