/** What an origin may say that nobody asked it to say, and how much of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { rawServer, until } from '../origin/raw.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, filtered, said } from '../support/filtered.ts';
import { giving, originOf } from '../support/origin.ts';
import { Reading } from '../support/reading.ts';

const notAsked = () => assert.fail('the application was asked');
const ONE = { maxRequests: 1, queueTimeoutMs: 3_000, retries: 0, resumes: 0, breaker: false as const };
const LIMIT = { timeout: 15_000 };

describe('what was not asked for', () => {
  for (const [what, status, head] of [
    ['a part', 206, `Content-Range: bytes 0-4/36\r\nContent-Length: 5\r\n\r\n01234`],
    ['that it has not changed', 304, 'ETag: "one"\r\n\r\n'],
  ] as const) {
    test(`${what}: it is no answer`, LIMIT, async (t) => {
      const raw = await rawServer(t, (socket) => socket.write(`HTTP/1.1 ${status} So\r\n${head}`));
      const { get, filter } = await filtered(t, { ...onDisk(t), origin: raw.url, upstream: ONE }, notAsked);
      for (const method of ['GET', 'HEAD'])
        assert.equal((await get('/a', {}, { method })).status, 502, method);
      await filter.idle();
      assert.equal((await filter.stats()).entries, 0);
    });
  }

  test('what was asked for is one: a 304 to a condition, a 206 to a range', LIMIT, async (t) => {
    const origin = await originOf(t, (req, res) => {
      if (req.headers['if-none-match'] !== undefined) res.writeHead(304, { ETag: '"one"' }).end();
      else giving(BODY)(req, res);
    });
    const { get } = await filtered(
      t,
      { ...onDisk(t), coldRange: 'bypass', origin: origin.url, upstream: ONE },
      notAsked,
    );
    assert.equal((await get('/a', { 'if-none-match': '"one"' })).status, 304);
    assert.equal((await get('/a', { range: 'bytes=0-3' })).status, 206);
  });

  test('a thousand informational answers, and heads without end', LIMIT, async (t) => {
    const raw = await rawServer(t, (socket, { path }) => {
      if (path === '/flood') socket.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(1000));
      const more = path === '/huge' ? `X: ${'x'.repeat(2 ** 20)}\r\n` : '';
      socket.write(`HTTP/1.1 200 OK\r\n${more}Content-Length: 36\r\n\r\n${BODY}`);
    });
    const { get, filter } = await filtered(t, { ...onDisk(t), origin: raw.url, upstream: ONE }, notAsked);
    assert.deepEqual((await get('/flood')).body, BODY);
    assert.equal((await get('/huge')).status, 502);
    assert.deepEqual((await get('/well')).body, BODY);
    await filter.idle();
  });
});

describe('an answer that says that there is nothing, at length', () => {
  const remembering = { negativeTtlMs: 60_000 };
  test('is let go with the client that leaves it', LIMIT, async (t) => {
    const raw = await rawServer(t, (socket, { path }) => {
      if (path === '/well') return socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n${BODY}`);
      const piece = Buffer.alloc(100_000);
      return socket.write(
        Buffer.concat([
          Buffer.from('HTTP/1.1 404 None\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n'),
          piece,
          Buffer.from('\r\n'),
        ]),
      );
    });
    const { get, filter, server } = await filtered(
      t,
      { ...onDisk(t), ...remembering, origin: raw.url, upstream: ONE },
      notAsked,
    );
    const leaves = new Reading('http', server.port, { path: '/none' });
    await leaves.head;
    leaves.leave();
    await filter.idle();
    assert.deepEqual((await get('/well')).body, BODY, 'its turn was given back');
  });

  test('is let go where nobody reads it', LIMIT, async (t) => {
    let isGone = false;
    const raw = await rawServer(t, (socket, { path }) => {
      if (path === '/well' || !isGone)
        return socket.write(`HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 36\r\n\r\n${BODY}`);
      socket.write('HTTP/1.1 404 None\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n');
      return socket.write(Buffer.concat([Buffer.alloc(100_000), Buffer.from('\r\n')]));
    });
    const freshness = { ttlMs: 1, staleWhileRevalidateMs: 60_000 };
    const { get, filter } = await filtered(
      t,
      { ...onDisk(t), ...remembering, freshness, origin: raw.url, upstream: ONE },
      notAsked,
    );
    await get('/a');
    await filter.idle();
    isGone = true;
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.match(said(await get('/a')), /^hit/);
    await until(() => raw.requests.length === 2);
    await filter.idle();
    assert.deepEqual((await get('/well')).body, BODY, 'its turn was given back');
  });
});

describe('more than is wanted', () => {
  test('of a body without end no more is kept than may be, and it ends with its reader', LIMIT, async (t) => {
    let sent = 0;
    const raw = await rawServer(t, async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      while (!socket.destroyed) {
        sent += 65_536;
        if (
          !socket.write(Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536), Buffer.from('\r\n')]))
        )
          await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => undefined);
      }
    });
    const { filter, server } = await filtered(
      t,
      { ...onDisk(t), integrity: 'end', maxEntryBytes: 2 ** 20, origin: raw.url, upstream: ONE },
      notAsked,
    );
    const reader = new Reading('http', server.port, { path: '/a' });
    await reader.until(3 * 2 ** 20);
    reader.leave();
    await filter.idle();
    await until(() => raw.sockets.size === 0);
    assert.ok(sent > 3 * 2 ** 20);
    const { entries, fills } = await filter.stats();
    assert.deepEqual([entries, fills], [0, 0]);
  });

  test('a small document that decodes to a large one is not rewritten', LIMIT, async (t) => {
    const bomb = gzipSync(Buffer.alloc(65 * 2 ** 20));
    const origin = await originOf(t, (_req, res) => {
      res.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': bomb.length });
      res.end(bomb);
    });
    let rewritten = 0;
    const routes = [{ path: '/:id', rewrite: () => void rewritten++ }];
    const { get, filter } = await filtered(
      t,
      { ...onDisk(t), routes, origin: origin.url, upstream: ONE },
      notAsked,
    );
    assert.equal((await get('/a')).status, 502);
    assert.equal(rewritten, 0);
    await filter.idle();
    assert.equal((await filter.stats()).entries, 0);
  });

  test('the head of a document that is rewritten is not taken for an empty document', LIMIT, async (t) => {
    const origin = await originOf(t, giving(Buffer.from('{"a":1}')));
    const given: string[] = [];
    const rewrite = (_context: unknown, body: Buffer) => {
      given.push(body.toString());
      return Buffer.from(JSON.stringify({ was: JSON.parse(body.toString()) }));
    };
    const { get } = await filtered(
      t,
      { ...onDisk(t), routes: [{ path: '/:id', rewrite }], origin: origin.url },
      notAsked,
    );
    const head = await get('/a', {}, { method: 'HEAD' });
    assert.equal(head.status, 200, said(head));
    assert.notEqual(head.headers['content-length'], '7', 'the length of what the origin has');
    assert.notEqual(head.headers['etag'], '"one"', 'nor its validator');
    assert.ok(!given.includes(''));
  });
});
