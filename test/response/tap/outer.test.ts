import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import compression from 'compression';
import { cacheFilter } from '../../../lib/index.ts';
import { ask } from '../../support/client.ts';
import { onDisk } from '../../support/directory.ts';
import { material } from '../../support/material.ts';
import { ALL_OUTER, OUTER } from '../../support/outer.ts';
import { type Handler, type Kind, serve } from '../../support/servers.ts';
import type { Material } from '../../support/ways.ts';

const SIZE = 1_000_000;
const KINDS = ['express5', 'express4', 'connect'] as const;

/** The filter before a handler that pipes `bytes`, behind this middleware. */
async function behind(t: TestContext, kind: Kind, bytes: Material, outer: readonly Handler[]) {
  const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
  const server = await serve(kind, [
    ...outer,
    filter as Handler,
    (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': SIZE });
      bytes.source().pipe(res);
    },
  ]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  return { filter, server };
}

for (const kind of KINDS) {
  describe(`${kind}: middleware mounted outside`, () => {
    for (const outer of [...OUTER, ALL_OUTER]) {
      test(`${outer.name}: it sees a miss and a hit like any other response`, async (t) => {
        const bytes = await material(t, SIZE);
        const log: string[] = [];
        const { filter, server } = await behind(t, kind, bytes, [...outer.handlers(log)]);
        for (const status of ['fwd=uri-miss; stored', 'hit']) {
          const answer = await ask(server);
          assert.ok(answer.body.equals(bytes.body), `${status}: the body`);
          assert.equal(answer.headers['cache-status'], `cache-filter; ${status}`);
          assert.equal(answer.headers['content-length'], String(SIZE), `${status}: the length`);
        }
        await filter.idle();
        if (outer.name === 'morgan') {
          assert.deepEqual(log, [`GET / 200 ${SIZE}\n`, `GET / 200 ${SIZE}\n`]);
        }
        if (outer.name === 'pino-http') {
          assert.deepEqual(
            log.map((line) => JSON.parse(line).res.statusCode),
            [200, 200],
          );
        }
      });

      test(`${outer.name}: a client that wants only the beginning has it before the handler has ended`, async (t) => {
        const bytes = await material(t, SIZE);
        let release = () => {};
        const go = new Promise<void>((resolve) => {
          release = resolve;
        });
        bytes.gate.wait = async (delivered) => {
          if (delivered >= SIZE / 2) await go;
        };
        const { filter, server } = await behind(t, kind, bytes, [...outer.handlers([])]);
        const part = await ask(server, { headers: { Range: 'bytes=0-999' } });
        assert.ok(part.complete);
        assert.deepEqual([part.status, part.body.equals(bytes.body.subarray(0, 1000))], [206, true]);
        release();
        await filter.idle();
        const hit = await ask(server);
        assert.ok(hit.body.equals(bytes.body));
        assert.equal(hit.headers['cache-status'], 'cache-filter; hit');
      });

      test(`${outer.name}: the client leaves half way, and the body is kept`, async (t) => {
        const bytes = await material(t, SIZE);
        let reach = () => {};
        const held = new Promise<void>((resolve) => {
          reach = resolve;
        });
        let tell = () => {};
        const left = new Promise<void>((resolve) => {
          tell = resolve;
        });
        bytes.gate.wait = async (delivered) => {
          if (delivered < SIZE / 2) return;
          reach();
          await left;
        };
        let fired = false;
        const { filter, server } = await behind(t, kind, bytes, [
          (_req, res, next) => {
            res.once('close', () => {
              fired = true;
              tell();
            });
            next();
          },
          ...outer.handlers([]),
        ]);
        const client = new AbortController();
        const first = ask(server, { signal: client.signal });
        await held;
        client.abort();
        assert.equal((await first).complete, false);
        await filter.idle();
        assert.ok(fired, 'the fault fired');
        const hit = await ask(server);
        assert.equal(hit.headers['cache-status'], 'cache-filter; hit');
        assert.ok(hit.body.equals(bytes.body));
      });
    }

    test('compression outside: what is stored is plain, and each client gets what it accepts', async (t) => {
      const text = 'All work and no play makes Jack a dull boy. '.repeat(20_000);
      const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
      const server = await serve(kind, [
        compression({ threshold: 0 }) as unknown as Handler,
        filter as Handler,
        async (_req, res) => {
          res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': text.length });
          for (let at = 0; at < text.length; at += 10_000) {
            if (!res.write(text.slice(at, at + 10_000))) await once(res, 'drain');
          }
          res.end();
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const gzip = { 'Accept-Encoding': 'gzip' };
      const miss = await ask(server, { headers: gzip });
      assert.equal(miss.headers['content-encoding'], 'gzip');
      assert.equal(gunzipSync(miss.body).toString(), text);
      assert.equal(miss.headers['cache-status'], 'cache-filter; fwd=uri-miss; stored');
      const plain = await ask(server);
      assert.equal(plain.headers['content-encoding'], undefined);
      assert.equal(plain.body.toString(), text);
      assert.equal(plain.headers['cache-status'], 'cache-filter; hit');
      const zipped = await ask(server, { headers: gzip });
      assert.equal(gunzipSync(zipped.body).toString(), text);
      assert.equal(zipped.headers['cache-status'], 'cache-filter; hit');
    });

    test('compression behind: what it compresses varies, and is not stored; what it leaves alone is', async (t) => {
      const text = 'All work and no play makes Jack a dull boy. '.repeat(20_000);
      const filter = cacheFilter({ ...onDisk(t), freshness: 'immutable' });
      const server = await serve(kind, [
        filter as Handler,
        compression({ threshold: 0 }) as unknown as Handler,
        (req, res) => {
          const type = req.url === '/text' ? 'text/plain' : 'application/zip';
          res.writeHead(200, { 'Content-Type': type, 'Content-Length': text.length });
          for (let at = 0; at < text.length; at += 10_000) res.write(text.slice(at, at + 10_000));
          res.end();
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const gzip = { 'Accept-Encoding': 'gzip' };
      const zipped = await ask(server, { path: '/text', headers: gzip });
      assert.equal(zipped.headers['cache-status'], 'cache-filter; fwd=uri-miss; detail=vary');
      assert.equal(gunzipSync(zipped.body).toString(), text);
      const plain = await ask(server, { path: '/text' });
      assert.equal(plain.body.toString(), text);
      for (const status of ['fwd=uri-miss; stored', 'hit']) {
        const answer = await ask(server, { path: '/binary', headers: gzip });
        assert.equal(answer.headers['cache-status'], `cache-filter; ${status}`);
        assert.equal(answer.body.toString(), text);
      }
    });
  });
}
