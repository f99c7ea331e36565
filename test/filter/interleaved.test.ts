/** A GET and a DELETE of the same path, in every order of their steps. */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { deferred } from '../support/deferred.ts';
import { onDisk } from '../support/directory.ts';
import { filtered, said } from '../support/filtered.ts';
import { problemsOf } from '../support/invariants.ts';
import { Reading } from '../support/reading.ts';

const SIZE = 300_000;
const PATH = '/a';
const LIMIT = { timeout: 30_000 };

const versions = Array.from({ length: 4 }, (_, i) => bytesOf(SIZE, i));

function versionOf(body: Buffer): number {
  return versions.findIndex((version) => version.equals(body));
}

/** Of a GET: it is asked for and the handler called; half of it is sent; it is sent and stored. Of a DELETE: the handler is called; it answers. */
type Step = 'get' | 'half' | 'got' | 'delete' | 'deleted';

function orders(gets: Step[], deletes: Step[]): Step[][] {
  const [get, ...moreGets] = gets;
  const [del, ...moreDeletes] = deletes;
  if (get === undefined || del === undefined) return [[...gets, ...deletes]];
  return [
    ...orders(moreGets, deletes).map((rest) => [get, ...rest]),
    ...orders(gets, moreDeletes).map((rest) => [del, ...rest]),
  ];
}

describe('a GET and a DELETE at the same time', () => {
  for (const stored of [false, true]) {
    for (const order of orders(['get', 'half', 'got'], ['delete', 'deleted'])) {
      test(`${stored ? 'stored before, expired; ' : ''}${order.join(', ')}`, LIMIT, async (t) => {
        const signal = {
          get: deferred(),
          half: deferred(),
          halved: deferred(),
          got: deferred(),
          delete: deferred(),
          deleted: deferred(),
        };
        let version = -1;
        const disk = onDisk(t);
        const { filter, server, get } = await filtered(
          t,
          { ...disk, authorize: 'anyone', ...(stored ? { freshness: { ttlMs: 1 } } : {}) },
          async (req: IncomingMessage, res: ServerResponse) => {
            if (req.method === 'DELETE') {
              signal.delete.resolve();
              await signal.deleted.promise;
              res.writeHead(204).end();
              return;
            }
            const body = versions[++version] ?? Buffer.alloc(0);
            res.setHeader('Content-Length', SIZE);
            if (version !== 1) return void res.end(body);
            signal.get.resolve();
            await signal.half.promise;
            res.write(body.subarray(0, SIZE / 2));
            signal.halved.resolve();
            await signal.got.promise;
            res.end(body.subarray(SIZE / 2));
          },
        );
        // Version 0 is what was there before, if anything was; version 1 is the one that is raced for.
        if (stored) await get(PATH);
        else version = 0;
        await filter.idle();
        if (stored) await new Promise((resolve) => setTimeout(resolve, 5));
        let reading: Reading | undefined;
        let deleting: Reading | undefined;
        for (const step of order) {
          if (step === 'get') {
            reading = new Reading('http', server.port, { path: PATH });
            await signal.get.promise;
          } else if (step === 'half') {
            signal.half.resolve();
            await signal.halved.promise;
          } else if (step === 'got') {
            signal.got.resolve();
            await reading?.over;
          } else if (step === 'delete') {
            deleting = new Reading('http', server.port, { path: PATH, method: 'DELETE' });
            await signal.delete.promise;
          } else {
            signal.deleted.resolve();
            assert.equal((await deleting?.over)?.status, 204);
          }
        }
        const raced = await reading?.over;
        assert.deepEqual(
          [raced?.complete, versionOf(raced?.body ?? Buffer.alloc(0))],
          [true, 1],
          'who asked gets the whole',
        );
        await filter.idle();
        assert.deepEqual(problemsOf(disk.directory, await filter.cache.stats()), []);
        const next = await get(PATH);
        const before = order.indexOf('deleted') < order.indexOf('get');
        if (!before) assert.equal(versionOf(next.body), 2, `purged, and yet found: ${said(next)}`);
        else if (!stored)
          assert.deepEqual([versionOf(next.body), said(next)], [1, 'hit'], 'purged before it was asked for');
        await filter.idle();
        assert.deepEqual(problemsOf(disk.directory, await filter.cache.stats()), []);
      });
    }
  }
});

describe('an entry that is being read', () => {
  /** More than a connection holds. */
  const BIG = 16 * 2 ** 20;
  for (const how of ['purged', 'replaced', 'evicted'] as const) {
    test(`and is ${how} meanwhile is read to its end`, LIMIT, async (t) => {
      let version = 0;
      const disk = onDisk(t);
      const bodies = [bytesOf(BIG, 1), bytesOf(BIG, 2)];
      const { filter, server, get } = await filtered(
        t,
        { ...disk, authorize: 'anyone' },
        (req: IncomingMessage, res: ServerResponse) => {
          if (req.method === 'DELETE') return void res.writeHead(204).end();
          res.setHeader('Content-Length', BIG);
          res.end(bodies[version++]);
        },
      );
      await get(PATH);
      await filter.idle();
      const reader = new Reading('http', server.port, { path: PATH });
      await reader.head;
      reader.pause();
      if (how === 'evicted') {
        assert.equal((await filter.cache.prune({ toBytes: 0 })).entries, 0, 'what is being read is spared');
      } else {
        assert.equal(await filter.purge({ key: PATH }), 1);
        if (how === 'replaced') assert.ok((await get(PATH)).body.equals(bodies[1] as Buffer));
      }
      assert.ok(reader.body.length < BIG, 'the fault fired: it was in the middle of it');
      reader.resume();
      const { complete, body } = await reader.over;
      assert.ok(complete && body.equals(bodies[0] as Buffer), `${body.length} of ${BIG} bytes`);
      await filter.idle();
      assert.deepEqual(problemsOf(disk.directory, await filter.cache.stats()), []);
    });
  }
});
