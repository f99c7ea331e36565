import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type EventEmitter, once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Response } from 'express';
import onFinished from 'on-finished';
import { cacheFilter } from '../../../lib/index.ts';
import { ask } from '../../support/client.ts';
import { onDisk, temporaryDirectory } from '../../support/directory.ts';
import { BODY, barrier, filtered, said } from '../../support/filtered.ts';
import { type Handler, KINDS, serve } from '../../support/servers.ts';

for (const kind of KINDS) {
  describe(`${kind}: what the handler sees of its response`, () => {
    test('the state of the response, as it would be without us', async (t) => {
      const seen: unknown[] = [];
      const { get } = await filtered(
        t,
        {},
        async (req, res) => {
          const look = () => [
            res.headersSent,
            res.writableEnded,
            res.writableFinished,
            res.destroyed === true,
            req.destroyed,
          ];
          seen.push(look());
          res.statusCode = 200;
          res.setHeader('Content-Length', 4);
          assert.equal(res.getHeader('content-length'), 4);
          assert.deepEqual(res.getHeaderNames().includes('content-length'), true);
          assert.equal(res.hasHeader('Content-Length'), true);
          res.write('da');
          seen.push(look());
          assert.throws(() => res.setHeader('X-Late', '1'), { code: /ERR_HTTP2?_HEADERS_SENT/ });
          assert.throws(() => res.writeHead(200), { code: /ERR_HTTP2?_HEADERS_SENT/ });
          const finished = once(res, 'finish');
          res.end('ta');
          seen.push(look());
          await finished;
          seen.push(look().slice(0, 3));
        },
        kind,
      );
      assert.equal((await get()).body.toString(), 'data');
      assert.deepEqual(seen, [
        [false, false, false, false, false],
        [true, false, false, false, false],
        [true, true, false, false, false],
        [true, true, true],
      ]);
    });

    test('finish, close and on-finished come in their order, once each; so they do for earlier middleware', async (t) => {
      const heard: string[] = [];
      const listen = (who: string, req: EventEmitter, res: EventEmitter) => {
        for (const event of ['finish', 'close']) res.on(event, () => heard.push(`${who} ${event}`));
        onFinished(res as never, () => heard.push(`${who} on-finished`));
        req.on('aborted', () => heard.push(`${who} aborted`));
      };
      const closed = barrier();
      const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
      const server = await serve(kind, [
        (req, res, next) => {
          listen('outer', req, res);
          res.on('close', () => closed.reach());
          next();
        },
        filter as Handler,
        (req, res) => {
          listen('inner', req, res);
          res.setHeader('Content-Length', BODY.length);
          res.end(BODY);
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      await ask(server);
      await closed.reached;
      await filter.idle();
      assert.deepEqual(heard, [
        'inner finish',
        'inner on-finished',
        'inner close',
        'outer finish',
        'outer on-finished',
        'outer close',
      ]);
    });

    test('write and end call back, also with an error after the end', async (t) => {
      const called: unknown[] = [];
      const { get } = await filtered(
        t,
        {},
        async (_req, res) => {
          res.setHeader('Content-Length', 4);
          await new Promise<void>((resolve) => res.write('da', () => resolve()));
          called.push('write');
          await new Promise<void>((resolve) => res.end('ta', () => resolve()));
          called.push('end');
        },
        kind,
      );
      assert.equal((await get()).body.toString(), 'data');
      assert.deepEqual(called, ['write', 'end']);
    });

    test('nonsense is refused as Node refuses it', async (t) => {
      const { get } = await filtered(
        t,
        {},
        (_req, res) => {
          assert.throws(() => res.setHeader('Bad Name', '1'), { code: /ERR_INVALID_HTTP_TOKEN/ });
          assert.throws(() => res.setHeader('X-Bad', 'a\nb'), { code: /ERR_INVALID_CHAR/ });
          assert.throws(() => res.write(null as unknown as string), { code: 'ERR_STREAM_NULL_VALUES' });
          assert.throws(() => res.write(7 as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' });
          assert.throws(() => res.writeHead(7), { code: 'ERR_HTTP_INVALID_STATUS_CODE' });
          res.end('text');
        },
        kind,
      );
      assert.equal((await get()).body.toString(), 'text');
    });

    test('headers set, appended, replaced and removed; what earlier middleware set can be removed too', async (t) => {
      const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
      const server = await serve(kind, [
        (_req, res, next) => {
          res.setHeader('X-Removed', 'outer');
          res.setHeader('X-Changed', 'outer');
          res.setHeader('X-Link', 'outer');
          res.setHeader('X-Kept', 'outer');
          next();
        },
        filter as Handler,
        (_req, res) => {
          assert.equal(res.getHeader('x-kept'), 'outer');
          res.removeHeader('X-Removed');
          res.setHeader('X-Changed', 'inner');
          res.appendHeader('X-Link', 'inner');
          res.setHeader('X-Own', 'a');
          res.removeHeader('X-Own');
          res.setHeader('Content-Length', 4);
          res.end('text');
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      for (const status of ['fwd=uri-miss; stored', 'hit']) {
        const { headers } = await ask(server);
        assert.equal(headers['cache-status'], `cache-filter; ${status}`);
        const names = ['x-removed', 'x-changed', 'x-link', 'x-kept', 'x-own'];
        assert.deepEqual(
          names.map((name) => headers[name]),
          [undefined, 'inner', 'outer, inner', 'outer', undefined],
          status,
        );
      }
    });

    test('a handler that is told to wait is called back, however slow its client is', async (t) => {
      let waited = 0;
      const size = 20 * 2 ** 20;
      const { get, filter } = await filtered(
        t,
        { ...onDisk(t) },
        async (_req, res) => {
          res.setHeader('Content-Length', size);
          for (let sent = 0; sent < size; sent += 2 ** 20) {
            if (res.write(Buffer.alloc(2 ** 20, sent))) continue;
            waited++;
            await once(res, 'drain');
          }
          res.end();
        },
        kind,
      );
      assert.equal((await get()).body.length, size);
      await filter.idle();
      assert.ok(waited > 0, 'it was told to wait');
    });

    test('trailers reach the leader, prove the body, and are not stored', async (t) => {
      const digest = `sha-256=:${createHash('sha256').update(BODY).digest('base64')}:`;
      const { get } = await filtered(
        t,
        { integrity: 'digest' },
        (_req, res) => {
          res.setHeader('Trailer', 'Repr-Digest');
          res.write(BODY);
          res.addTrailers({ 'Repr-Digest': digest });
          res.end();
        },
        kind,
      );
      const miss = await get();
      assert.equal(miss.trailers['repr-digest'], digest);
      const hit = await get();
      assert.deepEqual(
        [said(hit), hit.headers['trailer'], Object.keys(hit.trailers)],
        ['hit', undefined, []],
      );
    });

    test('a trailer that does not fit the body: a visible failure, nothing stored', async (t) => {
      const { get, filter } = await filtered(
        t,
        { integrity: 'digest' },
        (_req, res) => {
          res.setHeader('Trailer', 'Repr-Digest');
          res.write(BODY);
          res.addTrailers({ 'Repr-Digest': `sha-256=:${createHash('sha256').digest('base64')}:` });
          res.end();
        },
        kind,
      );
      assert.equal((await get()).complete, false);
      await filter.idle();
      assert.equal((await filter.stats()).entries, 0);
    });

    test('the address of a client that has left can still be read', async (t) => {
      const arrived = barrier();
      const left = barrier();
      const seen = barrier<unknown>();
      const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
      const server = await serve(kind, [
        (_req, res, next) => {
          res.on('close', () => left.reach());
          next();
        },
        filter as Handler,
        async (req, res) => {
          arrived.reach();
          await left.reached;
          seen.reach([
            req.socket.remoteAddress,
            req.socket.destroyed,
            req.destroyed,
            res.destroyed === true,
            req.aborted,
          ]);
          res.end(BODY);
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const client = new AbortController();
      const answer = ask(server, { signal: client.signal });
      await arrived.reached;
      client.abort();
      assert.deepEqual(await seen.reached, ['127.0.0.1', false, false, false, false]);
      assert.equal((await answer).complete, false);
      await filter.idle();
    });
  });
}

describe('informational responses go straight through', () => {
  test('HTTP/1.1: 100 and 103', async (t) => {
    const { server } = await filtered(t, {}, (_req, res) => {
      res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
      res.end('text');
    });
    const infos: unknown[] = [];
    const req = request({ port: server.port, host: '127.0.0.1', agent: false });
    req.on('information', (info) => infos.push([info.statusCode, info.headers['link']]));
    req.end();
    const [res] = await once(req, 'response');
    res.resume();
    await once(res, 'end');
    assert.deepEqual(infos, [[103, '</style.css>; rel=preload; as=style']]);
  });

  test('HTTP/2: 103', async (t) => {
    const { server } = await filtered(
      t,
      {},
      (_req, res) => {
        res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
        res.end('text');
      },
      'http2',
    );
    const session = connectHttp2(`http://127.0.0.1:${server.port}`);
    const stream = session.request({ ':path': '/' });
    const infos: unknown[] = [];
    stream.on('headers', (headers) => infos.push([headers[':status'], headers['link']]));
    stream.resume();
    await once(stream, 'close');
    session.close();
    assert.deepEqual(infos, [[103, '</style.css>; rel=preload; as=style']]);
  });
});

for (const kind of ['express5', 'express4'] as const) {
  for (const way of ['sendFile', 'download'] as const) {
    test(`${kind}: res.${way} goes on to the end when its client leaves at the first byte`, async (t) => {
      const directory = temporaryDirectory(t);
      const file = join(directory, 'big.bin');
      const size = 32 * 2 ** 20;
      writeFileSync(file, Buffer.alloc(size, 'image'));
      const filter = cacheFilter({
        directory: join(directory, 'cache'),
        minFreeBytes: 0,
        freshness: 'immutable',
      });
      const order: string[] = [];
      const client = new AbortController();
      const server = await serve(kind, [
        (_req, res, next) => {
          res.on('close', () => order.push('client left'));
          next();
        },
        filter as Handler,
        (_req, res) => {
          res.on('pipe', () => client.abort());
          res.on('finish', () => order.push('handler finished'));
          (res as Response)[way](file);
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const answer = await ask(server, { signal: client.signal });
      assert.equal(answer.complete, false);
      await filter.idle();
      assert.deepEqual(
        order,
        ['client left', 'handler finished'],
        'the client had left while the file was being sent',
      );
      const hit = await ask(server, { method: 'HEAD' });
      assert.deepEqual(
        [hit.headers['cache-status'], hit.headers['content-length']],
        ['cache-filter; hit', String(size)],
      );
    });
  }
}
