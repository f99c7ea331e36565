import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect as connectSocket } from 'node:net';
import { pipeline } from 'node:stream';
import { describe, test } from 'node:test';
import { cacheFilter } from '../../../lib/index.ts';
import { ask } from '../../support/client.ts';
import { onDisk } from '../../support/directory.ts';
import { material } from '../../support/material.ts';
import { type Handler, KINDS, type Kind, serve } from '../../support/servers.ts';

const SIZE = 400_000;
const body = Buffer.alloc(SIZE, 'cache');

/** Ways in which an application fails. `head`: whether the status had been sent before. */
const FAILURES: { name: string; head: boolean; kinds?: readonly Kind[]; handler: Handler }[] = [
  {
    name: 'throws before the head',
    head: false,
    handler: () => {
      throw new Error('deliberate');
    },
  },
  {
    name: 'calls next(error) before the head',
    head: false,
    handler: (_req, _res, next) => next(new Error('deliberate')),
  },
  { name: 'destroys the response before the head', head: false, handler: (_req, res) => res.destroy() },
  { name: 'destroys the request before the head', head: false, handler: (req) => req.destroy() },
  {
    name: 'throws after half of the body',
    head: true,
    handler: (_req, res) => {
      half(res);
      throw new Error('deliberate');
    },
  },
  {
    name: 'calls next(error) after half of the body',
    head: true,
    handler: (_req, res, next) => {
      half(res);
      setImmediate(() => next(new Error('deliberate')));
    },
  },
  {
    name: 'destroys the response after half of the body',
    head: true,
    handler: (_req, res) => {
      half(res);
      setImmediate(() => res.destroy(new Error('deliberate')));
    },
  },
  {
    name: 'destroys the socket after half of the body',
    head: true,
    handler: (req, res) => {
      half(res);
      setImmediate(() => req.socket.destroy());
    },
  },
  {
    name: 'pipes a source that fails half way',
    head: true,
    handler: (_req, res) => {
      res.setHeader('Content-Length', SIZE);
      async function* source() {
        yield body.subarray(0, SIZE / 2);
        throw new Error('deliberate');
      }
      pipeline(source, res, () => undefined);
    },
  },
  {
    name: 'ends short of its length',
    head: true,
    handler: (_req, res) => {
      half(res);
      res.end();
    },
  },
  {
    name: 'writes more than its length',
    head: true,
    handler: (_req, res) => {
      res.setHeader('Content-Length', SIZE);
      res.write(body);
      res.end('and more');
    },
  },
  {
    name: 'sends other bytes than its Content-MD5 says',
    head: true,
    handler: (_req, res) => {
      res.setHeader('Content-Length', SIZE);
      res.setHeader('Content-MD5', createHash('md5').update('something else').digest('base64'));
      res.end(body);
    },
  },
  {
    name: 'sends other bytes than its Repr-Digest says, without a length',
    head: true,
    handler: (_req, res) => {
      res.setHeader(
        'Repr-Digest',
        `sha-256=:${createHash('sha256').update('something else').digest('base64')}:`,
      );
      res.write(body.subarray(0, 10));
      res.end(body.subarray(10));
    },
  },
];

function half(res: Parameters<Handler>[1]): void {
  res.setHeader('Content-Length', SIZE);
  res.write(body.subarray(0, SIZE / 2));
}

for (const kind of KINDS) {
  describe(`${kind}: an application that fails fails visibly, and nothing is kept`, () => {
    for (const { name, head, kinds, handler } of FAILURES) {
      if (kinds !== undefined && !kinds.includes(kind)) continue;
      test(name, async (t) => {
        let failing = true;
        let calls = 0;
        const filter = cacheFilter({
          ...onDisk(t),
          freshness: 'immutable',
          integrity: 'end',
        });
        const server = await serve(kind, [
          filter as Handler,
          (req, res, next) => {
            calls++;
            if (failing) return handler(req, res, next);
            res.setHeader('Content-Length', SIZE);
            return res.end(body);
          },
        ]);
        t.after(async () => {
          await filter.close();
          await server.close();
        });
        const first = await ask(server);
        await filter.idle();
        assert.equal(calls, 1, 'the fault fired');
        const looksWhole = first.complete && first.status === 200;
        assert.equal(
          looksWhole,
          false,
          `looks like a complete answer: ${first.status}, ${first.body.length} bytes`,
        );
        if (head) assert.ok(first.body.length < SIZE || !first.complete);
        const stats = await filter.stats();
        assert.equal(stats.entries, 0, 'nothing is kept');
        assert.equal(stats.fills, 0, 'no fill is left');

        failing = false;
        const second = await ask(server);
        assert.ok(second.complete && second.body.equals(body), 'a plain request afterwards succeeds');
        const third = await ask(server);
        assert.equal(third.headers['cache-status'], 'cache-filter; hit');
        assert.equal(calls, 2);
      });
    }

    test('the clients that follow a fill see its failure too', async (t) => {
      const bytes = await material(t, SIZE);
      let reach = () => {};
      const held = new Promise<void>((resolve) => {
        reach = resolve;
      });
      let fail = () => {};
      const failed = new Promise<void>((_resolve, reject) => {
        fail = () => reject(new Error('deliberate'));
      });
      bytes.gate.wait = async (delivered) => {
        if (delivered < SIZE / 2) return;
        reach();
        await failed;
      };
      let calls = 0;
      const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
      const server = await serve(kind, [
        filter as Handler,
        (_req, res) => {
          calls++;
          res.setHeader('Content-Length', SIZE);
          pipeline(bytes.source(), res, () => undefined);
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const clients = [ask(server), ask(server), ask(server, { headers: { Range: `bytes=0-${SIZE - 1}` } })];
      await held;
      fail();
      for (const answer of await Promise.all(clients)) assert.equal(answer.complete, false);
      // Whoever read along by then was asked to go on, and failed as well.
      assert.ok(calls >= 1 && calls <= clients.length, `${calls} requests reached the application`);
    });
  });
}

test('HTTP/1.0, where the end of the connection is the end of the body: a failure resets it', async (t) => {
  const bytes = await material(t, SIZE);
  const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable', integrity: 'end' });
  let failed = false;
  let received = 0;
  let tell = () => {};
  const half = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const server = await serve('http', [
    filter as Handler,
    (_req, res) => {
      bytes.gate.wait = async (delivered) => {
        if (delivered < SIZE / 2) return;
        // Until the client has read what there is: unread bytes would hide the reset from some clients.
        await half;
        failed = true;
        throw new Error('deliberate');
      };
      pipeline(bytes.source(), res, () => undefined);
    },
  ]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const socket = connectSocket(server.port, '127.0.0.1', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
    socket.on('error', resolve);
    socket.on('end', () => resolve(undefined));
    socket.on('data', (chunk) => {
      received += chunk.length;
      if (received > SIZE / 2) tell();
    });
  });
  assert.ok(failed, 'the fault fired');
  assert.equal(error?.code, 'ECONNRESET');
});
