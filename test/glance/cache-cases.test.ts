/** The cases that Glance's own tests of its cache and its drivers cover, over HTTP and with a cache on disk. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, type TestContext, test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { Disk } from '../cache/disk.ts';
import { mountTmpfs } from '../cache/limits.ts';
import { barrier, said } from '../support/filtered.ts';
import { begun, cached, rest } from './cached.ts';
import { blocked, fullFrom } from './faults.ts';
import { anImage, type Image } from './image-service.ts';

const KIB = 1024;
const DAY_MS = 86_400_000;
const KEY = { primary: 'glance:one' };

/** An image of random bytes, in pieces; of several writes to disk, if it is large. */
function streamed(data: Buffer, more: Partial<Image> = {}): Image {
  return anImage({
    data,
    download: async (_req, res, { checksum }) => {
      res.setHeader('Content-Length', data.length);
      if (checksum !== undefined) res.setHeader('Content-MD5', checksum);
      res.writeHead(200);
      await pipeline(Readable.from(pieces(data)), res);
    },
    ...more,
  });
}

function* pieces(data: Buffer): Generator<Buffer> {
  for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536);
}

describe('an image of 1 KiB', () => {
  test('is not there, then it is, with its exact bytes and its size', async (t) => {
    const data = bytesOf(KIB);
    const { get, cache, disk } = await cached(t, { one: anImage({ data }) });
    assert.equal(await cache.info(KEY), undefined);
    await get();
    assert.equal((await cache.info(KEY))?.size, KIB);
    assert.ok((await get()).body.equals(data));
    assert.ok(readFileSync(disk.bodyPath(KEY.primary)).equals(data), 'on disk as it came');
    assert.ok(statSync(disk.recordPath(KEY.primary)).isFile());
  });

  test('is gone when it is deleted, and all are when all are deleted', async (t) => {
    const { get, filter, stored } = await cached(t, { one: anImage(), two: anImage(), three: anImage() });
    for (const id of ['one', 'two', 'three']) await get(id);
    assert.equal(await filter.purge({ id: 'one' }), 1);
    assert.deepEqual(await stored(), ['glance:three', 'glance:two']);
    assert.equal(await filter.purge({ all: true }), 2);
    assert.deepEqual(await stored(), []);
  });
});

/** What a killed process has left: a body of 10,000 bytes, so old. */
function leave(disk: Disk, fill: string, ageMs: number): string {
  const path = disk.layout.incompleteBody(disk.layout.name(`glance:${fill}`, undefined), fill);
  writeFileSync(path, bytesOf(10_000));
  disk.age(path, ageMs);
  return path;
}

const OLD = '0123456789abcdef';
const YOUNG = 'fedcba9876543210';

describe('clean', () => {
  test('removes what is invalid', async (t) => {
    const { get, filter, cache, disk } = await cached(t, { one: anImage({ checksum: '0'.repeat(32) }) });
    await get();
    await filter.idle();
    assert.equal(disk.invalid().length, 2, 'the body and its note');
    assert.equal((await cache.clean()).entries, 1);
    assert.deepEqual(disk.invalid(), []);
  });

  for (const [what, options, old, young] of [
    ['with a stall time of none, all', { stalledMs: 0 }, 1000, undefined],
    ['without one, what is older than a day', {}, 2 * DAY_MS, 1000],
    ['with one of an hour, what is older', { stalledMs: 3_600_000 }, DAY_MS, 1000],
  ] as const) {
    test(`removes of what is stalled: ${what}`, async (t) => {
      const { cache, disk } = await cached(t, {});
      const gone = leave(disk, OLD, old);
      const kept = young === undefined ? undefined : leave(disk, YOUNG, young);
      assert.equal((await cache.clean(options)).entries, 1);
      assert.equal(existsSync(gone), false);
      if (kept !== undefined) assert.ok(existsSync(kept));
    });
  }

  test('goes on where something can not be removed', async (t) => {
    const { get, filter, cache, disk } = await cached(t, { one: anImage({ checksum: '0'.repeat(32) }) });
    await get();
    await filter.idle();
    const name = disk.layout.name('glance:stuck', undefined);
    const stuck = [disk.layout.incompleteBody(name, YOUNG), disk.layout.invalidBody(name, YOUNG)];
    for (const path of stuck) {
      // What is not empty can't be unlinked, whoever asks.
      mkdirSync(join(path, 'inside'), { recursive: true });
      disk.age(path, 2 * DAY_MS);
    }
    const gone = leave(disk, OLD, 2 * DAY_MS);
    await cache.clean();
    assert.deepEqual(stuck.filter(existsSync), stuck, 'the fault fired');
    assert.equal(existsSync(gone), false);
    assert.deepEqual(disk.invalid().length, 1, 'what is left is what is stuck');
  });
});

describe('prune', () => {
  const IDS = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

  test('keeps the most recently used, and what is new and has never been read, and exactly fits the limit', async (t) => {
    const images = Object.fromEntries(
      [...IDS, '99'].map((id) => [id, anImage({ data: bytesOf(KIB, Number(id) + 1) })]),
    );
    const { get, cache, stored, disk } = await cached(t, images);
    for (const id of IDS) await get(id);
    const each = (await cache.stats()).bytes / IDS.length;
    for (const id of IDS) assert.equal(said(await get(id)), 'hit');
    await get('99');
    const before = disk.used();
    const removed = await cache.prune({ toBytes: 5 * each });
    assert.deepEqual(
      await stored(),
      ['6', '7', '8', '9', '99'].map((id) => `glance:${id}`),
    );
    assert.deepEqual([removed.entries, (await cache.stats()).bytes, disk.used()], [6, 5 * each, 5 * each]);
    assert.equal(removed.bytes, before - disk.used());
  });

  test('to nothing removes all, and does not fail on nothing', async (t) => {
    const { get, cache, stored } = await cached(t, { one: anImage(), two: anImage() });
    await get('one');
    await get('two');
    assert.equal((await cache.prune({ toBytes: 0 })).entries, 2);
    assert.deepEqual(await stored(), []);
    assert.deepEqual(await cache.prune({ toBytes: 0 }), { entries: 0, bytes: 0 });
  });
});

describe('the way to disk', () => {
  test('of what ends well: stored, and nothing left in incomplete/ or invalid/', async (t) => {
    const data = bytesOf(512 * KIB);
    const { get, filter, disk } = await cached(t, { one: streamed(data) });
    assert.ok((await get()).body.equals(data));
    await filter.idle();
    assert.deepEqual([disk.incomplete(), disk.invalid()], [[], []]);
    assert.ok((await get()).body.equals(data));
  });

  for (const [what, fail] of [
    [
      'when the service’s store fails',
      (res: { destroy(error: Error): void }) => res.destroy(new Error('store')),
    ],
    ['when its handler throws', () => Promise.reject(new Error('handler'))],
  ] as const) {
    test(`of what fails, ${what}: the client sees it, nothing is stored, what came is in invalid/`, async (t) => {
      const arrived = barrier();
      let failed = 0;
      const image = anImage({
        download: async (_req, res, { data }) => {
          res.writeHead(200, { 'Content-Length': data?.length });
          res.write(data?.subarray(0, 1000));
          await arrived.reached;
          failed++;
          return fail(res);
        },
      });
      const under = await cached(t, { one: image });
      const { filter, disk, stored } = under;
      const reading = await begun(under);
      reading.once('data', () => arrived.reach());
      await assert.rejects(rest(reading), { code: 'ECONNRESET' });
      await filter.idle();
      assert.deepEqual([await stored(), disk.incomplete(), failed], [[], [], 1], 'the fault fired');
      const body = disk.invalid().find((file) => file.endsWith('.body')) ?? '';
      assert.equal(statSync(join(disk.layout.invalid, body)).size, 1000);
    });
  }

  test('of what its client does not wait for: it is finished, and stored', async (t) => {
    const [half, left] = [barrier(), barrier()];
    const image = anImage({
      download: async (_req, res, { data }) => {
        res.writeHead(200, { 'Content-Length': data?.length });
        res.write(data?.subarray(0, 1000));
        half.reach();
        await left.reached;
        res.end(data?.subarray(1000));
      },
    });
    const under = await cached(t, { one: image });
    const leaving = await begun(under);
    await half.reached;
    leaving.destroy();
    await new Promise((resolve) => leaving.once('close', resolve));
    left.reach();
    await under.filter.idle();
    assert.deepEqual([await under.stored(), under.disk.invalid()], [['glance:one'], []]);
    assert.equal(said(await under.get()), 'hit');
  });

  test('with the right checksum: stored; with a wrong one: the client sees it, and nothing is', async (t) => {
    const data = bytesOf(512 * KIB);
    const good = await cached(t, { one: streamed(data) });
    assert.equal((await good.get()).complete, true);
    assert.deepEqual(await good.stored(), ['glance:one']);
    const bad = await cached(t, { one: streamed(data, { checksum: 'f'.repeat(32) }) });
    const answer = await bad.get();
    assert.equal(answer.complete, false);
    assert.ok(answer.body.length < data.length, 'the fault fired');
    await bad.filter.idle();
    assert.deepEqual(await bad.stored(), []);
  });
});

describe('a disk that fails', () => {
  const data = bytesOf(16 * KIB * KIB);

  async function served(t: TestContext, disk: Disk): Promise<void> {
    const { get, filter, stored } = await cached(t, { one: streamed(data) }, { disk });
    const { status, complete, body } = await get();
    assert.deepEqual([status, complete, body.length], [200, true, data.length]);
    assert.ok(body.equals(data), 'every byte, once');
    await filter.idle();
    assert.deepEqual(await stored(), []);
    assert.deepEqual((await filter.stats()).reasons, { 'store-down': 1 });
  }

  for (const nth of [1, 4]) {
    test(`at write ${nth} of a body: its client gets all of it`, async (t) => {
      const disk = new Disk(t);
      const full = fullFrom(t, nth);
      await served(t, disk);
      assert.ok(full.fired() > 0, 'the fault fired');
      assert.equal(full.writes() - full.fired(), nth - 1);
    });
  }

  test('because it is really full: its client gets all of it', async (t) => {
    const path = mountTmpfs(t, 8 * KIB * KIB);
    if (path === undefined) return t.skip('mounting is not allowed here');
    await served(t, new Disk(t, join(path, 'cache')));
  });

  test('when a file is to be opened: its client gets all of it', async (t) => {
    const disk = new Disk(t);
    let unblock = () => {};
    const { get, stored } = await cached(
      t,
      { one: streamed(data) },
      {
        disk,
        shouldStore: () => {
          unblock = blocked(disk, 'incomplete');
          return true;
        },
      },
    );
    const answer = await get();
    assert.equal(said(answer), 'fwd=uri-miss; detail=store-down', 'the fault fired');
    assert.ok(answer.body.equals(data));
    unblock();
    assert.deepEqual(await stored(), []);
  });
});
