/** What is damaged on disk is not served: the application is asked again, or the answer breaks off. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { describe, type TestContext, test } from 'node:test';
import type { CacheFilterOptions, FileCache } from '../../lib/index.ts';
import { Disk } from '../cache/disk.ts';
import type { Answer } from '../support/client.ts';
import { barrier, type Filtered, filtered, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import type { Kind } from '../support/servers.ts';

const MIB = 2 ** 20;

/** Which reads the disk refuses, by the place in the file; how many it did. */
let refused: ((position: number) => boolean) | undefined;
let refusals = 0;
const { read } = fs;
fs.read = ((...given: unknown[]) => {
  const [, , , , position, callback] = given as [
    unknown,
    unknown,
    unknown,
    unknown,
    number,
    (e: Error) => void,
  ];
  if (refused?.(position)) {
    refusals++;
    callback(Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }));
  } else Reflect.apply(read, fs, given);
}) as typeof read;
syncBuiltinESMExports();

function bytesOf(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8) * 13 + (i >> 16) * 31) & 255));
}

const BYTES = bytesOf(3 * MIB + 100);

interface Stored extends Filtered {
  disk: Disk;
  cache: FileCache;
  /** Changes a bit of the stored body. */
  flip(position: number): void;
}

/** A filter before an application whose only file is stored. */
async function stored(
  t: TestContext,
  kind: Kind = 'http',
  options: Partial<CacheFilterOptions> = {},
): Promise<Stored> {
  const disk = new Disk(t);
  const cache = await disk.cache();
  const app = await filtered(
    t,
    { cache, ...options },
    (_req, res) => {
      res.writeHead(200, { 'Content-Length': BYTES.length, ETag: '"a"' });
      res.end(BYTES);
    },
    kind,
  );
  assert.ok((await app.get('/a')).body.equals(BYTES));
  const flip = (position: number) => {
    const file = fs.openSync(disk.bodyPath('/a'), 'r+');
    fs.writeSync(file, Buffer.from([~(BYTES[position] ?? 0)]), 0, 1, position);
    fs.closeSync(file);
  };
  return { ...app, disk, cache, flip };
}

function isRight({ status, body, complete }: Answer, range?: [start: number, end: number]): void {
  assert.deepEqual([status, complete], [range === undefined ? 200 : 206, true]);
  assert.ok(body.equals(BYTES.subarray(...(range ?? [0]))), `${body.length} bytes`);
}

describe('a body that was changed on disk', () => {
  for (const kind of ['http', 'http2', 'express5'] as const) {
    test(`${kind}: where it would begin the answer, the application is asked again, and it is healed`, async (t) => {
      const { get, calls, flip, cache, disk } = await stored(t, kind);
      const events = heard(t, 'cache-filter:corrupt');
      isRight(await get('/a'));
      assert.equal(calls(), 1);
      flip(5);
      const healed = await get('/a');
      isRight(healed);
      assert.equal(said(healed), 'fwd=uri-miss; stored');
      assert.equal(calls(), 2);
      const hit = await get('/a');
      isRight(hit);
      assert.match(said(hit), /^hit/);
      assert.equal(calls(), 2);
      assert.equal((await cache.stats()).corrupt, 1);
      assert.deepEqual(
        events.map(({ key, why }) => [key?.primary, why]),
        [['/a', 'its body is not what was stored']],
      );
      assert.equal((await cache.stats()).bytes, disk.used());
    });

    test(`${kind}: where that comes later, the answer breaks off before it, and the next is right`, async (t) => {
      const { get, calls, flip } = await stored(t, kind);
      flip(2 * MIB + 5);
      const broken = await get('/a');
      assert.equal(broken.complete, false);
      assert.ok(broken.body.length <= 2 * MIB, `${broken.body.length} bytes`);
      assert.ok(broken.body.equals(BYTES.subarray(0, broken.body.length)), 'what came was right');
      assert.equal(calls(), 1);
      isRight(await get('/a'));
      assert.equal(calls(), 2, 'healed');
      isRight(await get('/a'));
      assert.equal(calls(), 2);
    });
  }

  test('a range is answered from blocks that are whole, whatever the others are', async (t) => {
    const { get, calls, flip } = await stored(t);
    flip(2 * MIB + 5);
    isRight(await get('/a', { Range: `bytes=10-${2 * MIB - 1}` }), [10, 2 * MIB]);
    assert.equal(calls(), 1);
    isRight(await get('/a', { Range: `bytes=${2 * MIB + 90}-` }), [2 * MIB + 90, BYTES.length]);
    assert.equal(calls(), 2, 'of that block no byte can be told to be right');
  });

  test('several ranges: the first is checked before the head, the others before they leave', async (t) => {
    const { filter, get, calls, flip } = await stored(t);
    flip(5);
    const healed = await get('/a', { Range: `bytes=0-9,${MIB}-${MIB + 9}` });
    assert.deepEqual([healed.status, healed.complete, calls()], [206, true, 2]);
    assert.ok(healed.body.includes(BYTES.subarray(0, 10)));
    await filter.idle();
    flip(MIB + 5);
    const broken = await get('/a', { Range: `bytes=0-9,${MIB}-${MIB + 9}` });
    assert.equal(broken.complete, false);
    assert.ok(!broken.body.includes(BYTES.subarray(MIB, MIB + 5)), 'nothing of the damaged block');
    isRight(await get('/a'));
    assert.equal(calls(), 3);
  });

  test('what sends no body looks at none', async (t) => {
    const { get, calls, flip, cache } = await stored(t);
    flip(0);
    assert.equal((await get('/a', {}, { method: 'HEAD' })).status, 200);
    assert.equal((await get('/a', { 'If-None-Match': '"a"' })).status, 304);
    assert.equal((await get('/a', { Range: `bytes=${BYTES.length}-` })).status, 416);
    assert.equal(calls(), 1);
    assert.equal((await cache.stats()).corrupt, 0);
  });

  test('many who ask for it at once are all answered, by one fill', async (t) => {
    const { get, calls, flip, cache } = await stored(t);
    flip(5);
    const answers = await Promise.all(Array.from({ length: 12 }, () => get('/a')));
    for (const answer of answers) isRight(answer);
    assert.equal(calls(), 2);
    assert.equal((await cache.stats()).corrupt, 1);
  });

  test('whoever may not have it does not make it go', async (t) => {
    const allowed = { now: true };
    const { get, calls, flip, cache } = await stored(t, 'http', { authorize: () => allowed.now });
    flip(5);
    allowed.now = false;
    assert.equal((await get('/a')).status, 403);
    assert.equal((await cache.stats()).corrupt, 0);
    allowed.now = true;
    isRight(await get('/a'));
    assert.equal(calls(), 2);
  });

  test('one that can not be removed is not served either', async (t) => {
    const { get, calls, flip } = await stored(t);
    flip(5);
    const { rename, unlink } = fs.promises;
    let faults = 0;
    const readOnly =
      <A extends unknown[]>(change: (...args: A) => Promise<void>) =>
      async (...args: A): Promise<void> => {
        if (!String(args[0]).includes('/entries/')) return change(...args);
        faults++;
        throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' });
      };
    const restore = () => {
      Object.assign(fs.promises, { rename, unlink });
      syncBuiltinESMExports();
    };
    t.after(restore);
    Object.assign(fs.promises, { rename: readOnly(rename), unlink: readOnly(unlink) });
    syncBuiltinESMExports();
    for (let i = 2; i < 4; i++) {
      const passed = await get('/a');
      isRight(passed);
      assert.equal(said(passed), 'fwd=uri-miss; detail=store-down');
      assert.equal(calls(), i);
    }
    assert.ok(faults > 0, 'the fault');
    restore();
    isRight(await get('/a'));
    assert.equal(calls(), 4, 'healed');
    isRight(await get('/a'));
    assert.equal(calls(), 4);
  });
});

describe('a body that the disk does not give', () => {
  for (const kind of ['http', 'http2'] as const) {
    test(`${kind}: from its beginning, the application is asked again`, async (t) => {
      const { get, calls } = await stored(t, kind);
      const before = refusals;
      refused = (position) => position === 0;
      t.after(() => {
        refused = undefined;
      });
      isRight(await get('/a'));
      assert.equal(refusals - before, 1, 'the fault');
      assert.equal(calls(), 2);
    });

    test(`${kind}: later, the answer breaks off, whether it was checked before or not`, async (t) => {
      const { get, calls } = await stored(t, kind);
      for (const checked of [false, true]) {
        if (checked) isRight(await get('/a'));
        const before = refusals;
        refused = (position) => position >= 2 * MIB;
        const broken = await get('/a');
        refused = undefined;
        assert.ok(refusals > before, 'the fault');
        assert.equal(broken.complete, false);
        assert.ok(broken.body.equals(BYTES.subarray(0, broken.body.length)));
        isRight(await get('/a'));
        assert.equal(calls(), checked ? 3 : 2, 'healed');
      }
    });
  }

  test('cut short while its caller is being authorised, it is a miss', async (t) => {
    const { reached, reach } = barrier();
    const { reached: asked, reach: ask } = barrier();
    let asking = false;
    const { get, calls, disk } = await stored(t, 'http', {
      authorize: async () => {
        if (asking) {
          ask();
          await reached;
        }
        return true;
      },
    });
    asking = true;
    const answer = get('/a', { Range: `bytes=${2 * MIB}-` });
    await asked;
    fs.truncateSync(disk.bodyPath('/a'), 2 * MIB);
    reach();
    isRight(await answer, [2 * MIB, BYTES.length]);
    assert.equal(calls(), 2);
  });
});
