/** An application that fetches from another server, which breaks off in every way a socket can. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { describe, test } from 'node:test';
import { BODY, LAST, Scene, type Script, SIZE } from './scene.ts';

const LIMIT = { timeout: 60_000 };

const digest = `sha-256=:${createHash('sha256').update(BODY).digest('base64')}:`;

describe('an application that passes on what a broken server says', () => {
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`;
  const chunked = `HTTP/1.1 200 OK\r\nRepr-Digest: ${digest}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const half = BODY.subarray(0, SIZE / 2);
  const chunk = Buffer.concat([Buffer.from(`${half.length.toString(16)}\r\n`), half, Buffer.from('\r\n')]);

  /** What it says, and how that ends. */
  const broken: [string, (string | Buffer)[], (socket: Socket) => unknown][] = [
    ['that resets its connection half way', [head, half], (socket) => socket.resetAndDestroy()],
    ['that ends its connection half way', [head, half], (socket) => socket.end()],
    ['that breaks off between two chunks', [chunked, chunk], (socket) => socket.end()],
    ['that breaks off within a chunk', [chunked, chunk.subarray(0, 1000)], (socket) => socket.end()],
    ['that goes on with nonsense', [chunked, chunk], (socket) => socket.end('nonsense\r\n')],
    ['that says nothing', [], (socket) => socket.resetAndDestroy()],
    ['that talks nonsense from the beginning', ['nonsense\r\n\r\n'], (socket) => socket.end()],
  ];
  for (const [name, parts, end] of broken) {
    for (const atOnce of [false, true]) {
      test(`${name}${atOnce ? ', all at once' : ''}`, LIMIT, async (t) => {
        let fired = 0;
        let breakIt: () => unknown = () => undefined;
        const upstream = createServer((socket) => {
          socket.on('error', () => undefined);
          socket.once('data', () => {
            for (const part of parts) socket.write(part);
            breakIt = () => {
              fired++;
              end(socket);
            };
            if (atOnce || parts.length < 2) breakIt();
          });
        });
        upstream.listen(0, '127.0.0.1');
        await once(upstream, 'listening');
        t.after(() => upstream.close());
        const { port } = upstream.address() as AddressInfo;
        const script: Script = async (res, now) => {
          if (atOnce) await now();
          else void now();
          const asked = request({ port, host: '127.0.0.1', agent: false });
          asked.on('error', () => (res.headersSent ? res.destroy() : res.writeHead(502).end('no answer')));
          asked.on('response', (from) => {
            res.writeHead(from.statusCode ?? 502, from.headers);
            pipeline(from, res, () => undefined);
          });
          asked.end();
        };
        const scene = await Scene.set(t, { script });
        const leader = scene.ask();
        await scene.reached;
        const readers = [leader, scene.ask(), scene.ask({ headers: LAST })];
        await scene.asked(2);
        if (!atOnce && parts.length === 2) await scene.reading(3);
        scene.go();
        if (!atOnce && parts.length === 2) breakIt();
        const answers = await Promise.all(readers.map(({ over }) => over));
        assert.equal(fired, 1, 'the fault fired');
        const [own, ...others] = answers;
        if (parts.length < 2) assert.equal(own?.status, 502);
        else if (!atOnce && parts[0] === head) assert.ok(own?.complete && own.body.equals(BODY));
        // Chunks can't be gone on with by what has a length.
        if (parts[0] !== chunked)
          for (const { complete, status, body } of others)
            assert.deepEqual([complete, status === 206 ? 10 : SIZE], [true, body.length]);
        await scene.aftermath(answers, { calls: 3 });
      });
    }
  }
});
