/** Behaviours 54 to 69 of Glance's cache: an image on its way to its client, and to disk. */
import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { Health } from '../cache/health.ts';
import { ask } from '../support/client.ts';
import { barrier, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { serve } from '../support/servers.ts';
import { begun, cached, downloads, rest } from './cached.ts';
import { blocked, fullFrom } from './faults.ts';
import { anImage, type Image, ImageService } from './image-service.ts';

const MIB = 2 ** 20;
const KEY = 'glance:one';

/** An image that is sent by a source of its own making, declared as it is recorded. */
function from(image: Image, send: (res: ServerResponse, data: Buffer) => unknown): Image {
  image.download = (_req, res, { data = Buffer.alloc(0), checksum }) => {
    res.setHeader('Content-Length', data.length);
    if (checksum !== undefined) res.setHeader('Content-MD5', checksum);
    res.writeHead(200);
    return send(res, data);
  };
  return image;
}

test('54. a miss has the status and the headers that the service gave it, and one more that says so', async (t) => {
  const images = { one: anImage(), two: anImage({ checksum: undefined }) };
  const { get } = await cached(t, { ...images });
  const service = new ImageService(images);
  const plain = await serve('express5', [(req, res) => service.handle(req, res)]);
  t.after(() => plain.close());
  for (const id of ['one', 'two']) {
    const through = await get(id);
    const alone = await ask(plain, { path: `/v2/images/${id}/file`, headers: { 'X-Auth-Token': 'member' } });
    const { 'cache-status': status, 'accept-ranges': ranges, ...headers } = through.headers;
    assert.deepEqual([status, ranges], ['cache-filter; fwd=uri-miss; stored', 'bytes']);
    assert.deepEqual({ ...headers, date: '' }, { ...alone.headers, date: '' });
    assert.deepEqual([through.status, through.statusMessage], [alone.status, alone.statusMessage]);
    assert.ok(through.body.equals(alone.body));
  }
});

test('55. a client gets the bytes in their order, unchanged, and as they come', async (t) => {
  const data = bytesOf(3 * MIB + 7);
  const arrived = barrier();
  const image = from(anImage({ data }), async (res) => {
    let at = 0;
    for (const size of [1, 7, 1000, 65_536, 65_537, MIB]) {
      res.write(data.subarray(at, at + size));
      at += size;
    }
    await arrived.reached;
    res.end(data.subarray(at));
  });
  const under = await cached(t, { one: image });
  const reading = await begun(under);
  const first = await new Promise<Buffer>((resolve) => reading.once('data', resolve));
  reading.pause();
  arrived.reach();
  assert.ok(Buffer.concat([first, await rest(reading)]).equals(data));
  assert.ok((await under.get()).body.equals(data), 'and so does the next');
});

test('56. what is complete and has the right hash is published, and nothing else is left', async (t) => {
  const image = anImage();
  const { get, disk, filter } = await cached(t, { one: image });
  await get();
  await filter.idle();
  assert.deepEqual([disk.incomplete(), disk.invalid()], [[], []]);
  const { size, digests } = disk.record(KEY);
  assert.equal(size, image.size);
  for (const [algorithm, hex] of [
    ['md5', image.checksum],
    ['sha512', image.osHash],
  ])
    assert.equal(digests.find((digest) => digest.algorithm === algorithm)?.hex, hex);
  const { requests, responses, entries } = await filter.stats();
  assert.deepEqual([entries, requests.hits, responses.stored], [1, 0, 1]);
});

test('57. a body with another hash is withheld at its last byte, and the connection breaks; it is kept for diagnosis, and not served', async (t) => {
  const { get, filter, stored, disk } = await cached(t, { one: anImage({ checksum: '0'.repeat(32) }) });
  const rejected = heard(t, 'cache-filter:reject');
  const { status, complete, body, headers } = await get();
  assert.deepEqual([status, complete], [200, false]);
  assert.equal(body.length, Number(headers['content-length']) - 1);
  await filter.idle();
  assert.deepEqual(await stored(), []);
  assert.deepEqual(
    rejected.map(({ reason }) => reason),
    ['unproven'],
    'the fault fired',
  );
  assert.deepEqual(
    [disk.invalid().length, disk.incomplete()],
    [2, []],
    'the body, and a note of what was wrong',
  );
});

test('58. letter case means nothing in a hash: the right one is right in capitals, and a wrong one is wrong', async (t) => {
  const right = anImage().checksum?.toUpperCase();
  const { get, disk } = await cached(t, { one: anImage({ checksum: right }) });
  const miss = await get();
  assert.deepEqual([miss.complete, miss.headers['content-md5'], said(await get())], [true, right, 'hit']);
  assert.ok(
    disk.record(KEY).digests.some(({ algorithm }) => algorithm === 'md5'),
    'it was compared',
  );
  const wrong = await cached(t, { one: anImage({ checksum: 'F'.repeat(32) }) });
  assert.equal((await wrong.get()).complete, false);
  assert.deepEqual(await wrong.stored(), []);
});

for (const clientAbort of ['discard', 'finish'] as const) {
  test(`59. a client that does not wait, with clientAbort: '${clientAbort}'`, async (t) => {
    const data = bytesOf(2 * MIB);
    const writing = barrier<ServerResponse>();
    const image = from(anImage({ data }), (res) => {
      res.write(data.subarray(0, MIB));
      writing.reach(res);
    });
    const under = await cached(t, { one: image }, { clientAbort });
    const served = heard(t, 'cache-filter:served');
    const client = new AbortController();
    const answer = under.request('GET /v2/images/one/file', 'member', {}, client.signal);
    const res = await writing.reached;
    const closed = new Promise((resolve) => res.once('close', resolve));
    client.abort();
    assert.equal((await answer).complete, false);
    if (clientAbort === 'finish') {
      while (served.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      assert.equal(res.destroyed, false, 'it is not told');
      res.end(data.subarray(MIB));
    }
    await closed;
    await under.filter.idle();
    assert.deepEqual(await under.stored(), clientAbort === 'finish' ? [KEY] : []);
    assert.deepEqual([under.disk.incomplete(), under.disk.invalid()], [[], []]);
    assert.deepEqual(
      served.map(({ complete }) => complete),
      [false],
      'the fault fired',
    );
  });
}

for (const [what, block] of [
  ['before the service is asked', 'claim'],
  ['when its answer is there', 'body'],
] as const) {
  test(`60. no file can be created for an image, ${what}: the response goes on untouched`, async (t) => {
    let unblock = () => {};
    const { get, disk, stored } = await cached(
      t,
      { one: anImage() },
      {
        shouldStore: () => {
          if (block === 'body') unblock = blocked(disk, 'incomplete');
          return true;
        },
      },
    );
    if (block === 'claim') unblock = blocked(disk, 'incomplete');
    const answer = await get();
    assert.equal(said(answer), 'fwd=uri-miss; detail=store-down', 'the fault fired');
    assert.deepEqual([answer.status, answer.complete], [200, true]);
    assert.ok(answer.body.equals(anImage().data ?? Buffer.alloc(0)));
    unblock();
    assert.deepEqual(await stored(), []);
  });
}

test('61. the disk is full in the middle of an image: its client gets every byte once, and nothing is stored', async (t) => {
  const data = bytesOf(8 * MIB);
  const image = from(anImage({ data }), (res) => pipeline(Readable.from(pieces(data)), res));
  const { get, filter, stored, disk } = await cached(t, { one: image });
  const full = fullFrom(t, 3);
  const answer = await get();
  assert.deepEqual([answer.status, answer.complete], [200, true]);
  assert.ok(answer.body.equals(data));
  await filter.idle();
  assert.ok(full.fired() > 0, 'the fault fired');
  assert.ok(full.writes() > full.fired(), 'after something had been written');
  assert.deepEqual([await stored(), disk.incomplete()], [[], []]);
  assert.deepEqual((await filter.stats()).reasons, { 'store-down': 1 });
});

const FAILURES: [what: string, fail: (res: ServerResponse) => unknown][] = [
  ['62. the service gives up in the middle', (res) => res.destroy()],
  ['62. the service’s store fails in the middle', (res) => res.destroy(new Error('the store is gone'))],
  [
    '63. a source fails with a TypeError',
    (res) =>
      pipeline(failing(new TypeError('not what was expected')), res, { end: false }).catch((error) =>
        res.destroy(error),
      ),
  ],
  [
    '63. a source is destroyed without a word',
    (res) =>
      failing(undefined)
        .once('close', () => res.destroy())
        .pipe(res),
  ],
  ['63. the handler throws when it has begun', () => Promise.reject(new RangeError('out of range'))],
];

for (const [what, fail] of FAILURES) {
  test(`${what}: the response is cut off, never ended as if it were whole, and nothing is stored`, async (t) => {
    let failed = 0;
    const image = from(anImage(), (res, data) => {
      res.write(data.subarray(0, 1000));
      failed++;
      return fail(res);
    });
    const { get, filter, stored, log } = await cached(t, { one: image });
    for (let i = 1; i <= 2; i++) {
      const answer = await get();
      assert.equal(answer.complete, false);
      assert.ok(answer.body.length < (image.size ?? 0));
      await filter.idle();
      assert.deepEqual(await stored(), []);
      assert.deepEqual([failed, downloads({ log })], [i, i], 'the fault fired');
    }
  });
}

test('64. a short body is never stored, whether there is a checksum or not', async (t) => {
  for (const more of [{}, { checksum: undefined }]) {
    let ended = 0;
    const image = from(anImage(more), (res, data) => {
      ended++;
      res.end(data.subarray(0, 1000));
    });
    const { get, filter, stored } = await cached(t, { one: image });
    const answer = await get();
    assert.deepEqual([answer.complete, ended], [false, 1], 'the fault fired');
    await filter.idle();
    assert.deepEqual(await stored(), []);
  }
});

test('65. an empty image is stored, as an entry of no bytes', async (t) => {
  const { get, disk, log } = await cached(t, { one: anImage({ data: Buffer.alloc(0) }) });
  assert.equal(said(await get()), 'fwd=uri-miss; stored');
  const hit = await get();
  assert.deepEqual([hit.status, said(hit), hit.headers['content-length']], [200, 'hit', '0']);
  assert.deepEqual([disk.record(KEY).size, downloads({ log })], [0, 1]);
});

test('68. an entry is published by the very file that describes it: what can not be described is not served', async (t) => {
  const { get, filter, disk, stored } = await cached(t, { one: anImage() });
  const health = new Health(t, disk.directory);
  const unblock = blocked(disk, 'entries');
  const answer = await get();
  assert.deepEqual([answer.status, answer.complete], [200, true]);
  await filter.idle();
  assert.deepEqual((await filter.stats()).reasons, { 'store-down': 1 }, 'the fault fired');
  await health.until('down');
  unblock();
  await health.until('up');
  assert.deepEqual([await stored(), disk.files()], [[], ['v1/CACHEDIR.TAG']]);
  await get();
  assert.equal(said(await get()), 'hit');
  assert.deepEqual(await stored(), [KEY], 'what is a hit is listed');
  assert.equal((await filter.cache.prune({ toBytes: 0 })).entries, 1, 'and can be pruned');
});

test('69. an entry waits until the disk has it all where durability says so, and only there', async (t) => {
  const handle = await open(import.meta.filename);
  const sync = t.mock.method(Object.getPrototypeOf(handle) as typeof handle, 'sync');
  await handle.close();
  for (const durability of ['none', 'commit'] as const) {
    const { get, stored } = await cached(t, { one: anImage() }, { store: { durability } });
    await get();
    assert.deepEqual(await stored(), [KEY]);
    assert.equal(sync.mock.callCount() > 0, durability === 'commit', durability);
  }
});

test('69. a body that a crash has cut short is noticed, and fetched anew', async (t) => {
  const first = await cached(t, { one: anImage() });
  await first.get();
  await first.filter.close();
  await first.cache.close();
  truncateSync(first.disk.bodyPath(KEY), 0);
  const second = await cached(t, { one: anImage() }, { disk: first.disk });
  const answer = await second.get();
  assert.deepEqual([said(answer), answer.complete], ['fwd=uri-miss; stored', true]);
  assert.ok(answer.body.equals(anImage().data ?? Buffer.alloc(0)));
  assert.equal((await second.filter.stats()).corrupt, 1);
});

function* pieces(data: Buffer): Generator<Buffer> {
  for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536);
}

/** Some bytes, and then the error; or, where there is none, an end that nobody declared. */
function failing(error: Error | undefined): Readable {
  const source = new Readable({ read() {} });
  source.push('some bytes');
  setImmediate(() => source.destroy(error));
  return source;
}
