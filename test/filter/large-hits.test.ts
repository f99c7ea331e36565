/** Large hits share pieces of memory from one answer to the next; no client ever sees a byte of another's. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, get as getTls } from 'node:https';
import { connect, type Server } from 'node:net';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type CacheFilter, cacheFilter, FileCache } from '../../lib/index.ts';
import { certificate } from '../support/certificate.ts';
import { temporaryDirectory } from '../support/directory.ts';

const MIB = 2 ** 20;
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let bodies: Map<string, Buffer>;
before(() => {
  bodies = new Map([3, 5, 2, 4].map((size, i) => [`/${i}`, randomBytes(size * MIB + i * 1234 + 1)]));
});
after(() => bodies.clear());

/** A filter on disk that keeps no body in memory, with all of the bodies stored. */
async function stored(
  t: TestContext,
): Promise<{ filter: CacheFilter; cache: FileCache; handler: typeof serve }> {
  const cache = new FileCache({
    directory: join(temporaryDirectory(t), 'cache'),
    memory: { maxEntryBytes: 0 },
  });
  const filter = cacheFilter({ cache, freshness: 'immutable' });
  function serve(req: IncomingMessage, res: ServerResponse): void {
    filter(req, res, () => {
      const body = bodies.get(req.url ?? '') ?? assert.fail(req.url);
      res.setHeader('Content-Length', body.length);
      res.end(body);
    });
  }
  const server = await listening(createServer(serve));
  for (const path of bodies.keys()) await fetched(get, portOf(server), path);
  await filter.idle();
  assert.equal((await filter.stats()).entries, bodies.size);
  await new Promise((resolve) => server.close(resolve));
  t.after(async () => {
    await filter.close();
    await cache.close();
  });
  return { filter, cache, handler: serve };
}

function listening<S extends Server>(server: S): Promise<S> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function portOf(server: { address(): unknown }): number {
  return (server.address() as { port: number }).port;
}

/** The whole answer, read in fits and starts. */
function fetched(
  by: typeof get,
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Buffer; complete: boolean }> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', path, headers, agent: false, rejectUnauthorized: false };
    by(options, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (chunks.length % 7 === 0) {
          res.pause();
          setImmediate(() => res.resume());
        }
      });
      res.on('error', () => undefined);
      res.on('close', () =>
        resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks), complete: res.complete }),
      );
    }).on('error', reject);
  });
}

describe('many large hits at once', () => {
  for (const secure of [false, true]) {
    test(`each client has its own bytes${secure ? ', over TLS' : ''}`, async (t) => {
      const { handler } = await stored(t);
      const server = await listening(
        secure ? createTlsServer(certificate(), handler) : createServer(handler),
      );
      t.after(() => server.close());
      const by = (secure ? getTls : get) as typeof get;
      const asked = Array.from({ length: 24 }, (_, i) => `/${i % bodies.size}`);
      const answers = await Promise.all(asked.map((path) => fetched(by, portOf(server), path)));
      for (const [i, { body, complete }] of answers.entries()) {
        assert.equal(complete, true);
        assert.equal(hash(body), hash(bodies.get(asked[i] ?? '') ?? Buffer.alloc(0)), asked[i]);
      }
    });
  }

  test('connections that hand over the very memory that was written', async (t) => {
    const { handler } = await stored(t);
    const server = createServer(handler);
    const overMemory = async (path: string): Promise<Buffer> => {
      const [client, connection] = duplexPair();
      server.emit('connection', connection);
      const chunks: Buffer[] = [];
      client.on('data', (chunk: Buffer) => chunks.push(chunk));
      client.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      await once(client, 'end');
      client.end();
      const all = Buffer.concat(chunks);
      const at = all.indexOf('\r\n\r\n') + 4;
      assert.match(all.subarray(0, at).toString(), /cache-filter; hit/);
      return all.subarray(at);
    };
    const paths = [...bodies.keys(), ...bodies.keys()];
    const answers = await Promise.all(paths.map(overMemory));
    for (const [i, path] of paths.entries()) {
      assert.equal(hash(answers[i] ?? Buffer.alloc(0)), hash(bodies.get(path) ?? Buffer.alloc(0)), path);
    }
  });

  test('a response whose prototype keeps what is written', async (t) => {
    const { handler } = await stored(t);
    const kept: Buffer[] = [];
    const server = await listening(
      createServer((req, res) => {
        const { write } = res;
        const keeping = function (this: ServerResponse, ...args: unknown[]): unknown {
          kept.push(args[0] as Buffer);
          return Reflect.apply(write, this, args);
        };
        const prototype = Object.create(Object.getPrototypeOf(res), { write: { value: keeping } });
        handler(req, Object.setPrototypeOf(res, prototype));
      }),
    );
    t.after(() => server.close());
    const { body } = await fetched(get, portOf(server), '/1');
    assert.equal(hash(body), hash(bodies.get('/1') ?? Buffer.alloc(0)));
    assert.equal(hash(Buffer.concat(kept)), hash(body));
  });

  test('parts, some of several ranges, and clients that leave in between', async (t) => {
    const { handler } = await stored(t);
    const server = await listening(createServer(handler));
    t.after(() => server.close());
    const port = portOf(server);
    const leaving = Array.from(
      { length: 8 },
      () =>
        new Promise<void>((resolve) => {
          const socket = connect(port, '127.0.0.1', () => socket.write('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n'));
          let received = 0;
          socket.on('data', (chunk: Buffer) => {
            received += chunk.length;
            if (received > 2 * MIB) socket.destroy();
          });
          socket.on('close', () => resolve());
        }),
    );
    const ranges: [start: number, end: number][] = [
      [0, 10],
      [MIB - 5, 2 * MIB + 5],
      [3, 3 * MIB],
      [2 * MIB, 3 * MIB + 1],
    ];
    const parts = ranges.map(async ([start, end]) => {
      const { status, body } = await fetched(get, port, '/1', { range: `bytes=${start}-${end - 1}` });
      assert.equal(status, 206);
      assert.equal(hash(body), hash((bodies.get('/1') ?? Buffer.alloc(0)).subarray(start, end)));
    });
    const several = fetched(get, port, '/3', { range: `bytes=0-${MIB},${2 * MIB}-${3 * MIB}` });
    await Promise.all([...leaving, ...parts]);
    const { status, body } = await several;
    assert.equal(status, 206);
    const whole = bodies.get('/3') ?? Buffer.alloc(0);
    assert.ok(body.includes(whole.subarray(0, MIB + 1)));
    assert.ok(body.includes(whole.subarray(2 * MIB, 3 * MIB + 1)));
  });

  test('requests that wait for their turn on one connection', async (t) => {
    const { handler } = await stored(t);
    const server = await listening(createServer(handler));
    t.after(() => server.close());
    const paths = ['/0', '/1', '/2', '/3', '/0'];
    const chunks: Buffer[] = [];
    await new Promise<void>((resolve, reject) => {
      const socket = connect(portOf(server), '127.0.0.1');
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('close', () => resolve());
      socket.on('error', reject);
      socket.write(
        paths
          .map((path, i) => {
            const last = i === paths.length - 1 ? 'Connection: close\r\n' : '';
            return `GET ${path} HTTP/1.1\r\nHost: a\r\n${last}\r\n`;
          })
          .join(''),
      );
    });
    let rest = Buffer.concat(chunks);
    for (const path of paths) {
      const body = bodies.get(path) ?? Buffer.alloc(0);
      const at = rest.indexOf('\r\n\r\n') + 4;
      assert.match(rest.subarray(0, at).toString(), /hit/);
      assert.equal(hash(rest.subarray(at, at + body.length)), hash(body), path);
      rest = rest.subarray(at + body.length);
    }
    assert.equal(rest.length, 0);
  });

  test('a file that is cut short under its reader breaks off, and harms nobody else', async (t) => {
    const { handler, cache } = await stored(t);
    const server = await listening(createServer(handler));
    t.after(() => server.close());
    const opened = (await cache.open({ primary: '/1' })) ?? assert.fail('not stored');
    const path = opened.path ?? assert.fail('no path');
    opened.release();
    let cut = false;
    const broken = new Promise<number>((resolve, reject) => {
      const socket = connect(portOf(server), '127.0.0.1', () =>
        socket.write('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n'),
      );
      let received = 0;
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (!cut) {
          // All that was not on its way yet is gone.
          truncateSync(path, MIB);
          cut = true;
        }
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(received));
    });
    assert.ok((await broken) < (bodies.get('/1')?.length ?? 0), 'the fault fired, and showed');
    const { body } = await fetched(get, portOf(server), '/2');
    assert.equal(hash(body), hash(bodies.get('/2') ?? Buffer.alloc(0)));
    const healed = await fetched(get, portOf(server), '/1');
    assert.equal(hash(healed.body), hash(bodies.get('/1') ?? Buffer.alloc(0)), 'fetched anew');
  });
});
