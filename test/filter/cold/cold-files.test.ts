/** Ranges of files that are not stored: what is asked of the origin, and what clients get. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { EntryInfo } from '../../../lib/cache/cache.ts';
import { FileCache, type FileCacheOptions } from '../../../lib/cache/file-cache.ts';
import { bytesOf, hashOf, Reading, settled, stored } from '../../../lib/contracts/cache/steps.ts';
import {
  type ColdAnswer,
  ColdFiles,
  type ColdFilesOptions,
  type ColdQuestion,
} from '../../../lib/filter/cold/cold-files.ts';
import type { Body, ByteRange } from '../../../lib/http/body.ts';
import { decide } from '../../../lib/response/plan.ts';
import { deferred } from '../../support/deferred.ts';
import { onDisk } from '../../support/directory.ts';
import { plainly, RangeOrigin } from './range-origin.ts';

const MIB = 2 ** 20;
const KEY = { primary: '/file' };

class Setup {
  readonly origin: RangeOrigin;
  readonly cache: FileCache;
  readonly files: ColdFiles;
  readonly published: EntryInfo[] = [];
  readonly failures: Error[] = [];
  /** Resolves at the next entry. */
  stored = deferred<void>();

  private constructor(origin: RangeOrigin, cache: FileCache, options: Partial<ColdFilesOptions>) {
    this.origin = origin;
    this.cache = cache;
    this.files = new ColdFiles({
      source: plainly,
      cache,
      ...options,
    });
  }

  static async make(
    t: Pick<TestContext, 'after'>,
    bytes: Buffer,
    options: Partial<ColdFilesOptions> = {},
    ofCache: Partial<FileCacheOptions> = {},
  ): Promise<Setup> {
    const origin = await RangeOrigin.start(t, bytes);
    const cache = new FileCache({ ...onDisk(t), logger: false, ...ofCache });
    t.after(() => cache.close());
    return new Setup(origin, cache, options);
  }

  answer(range: string | undefined, more: Partial<ColdQuestion> = {}): Promise<ColdAnswer> {
    return settled(
      this.files.answer({
        key: KEY,
        asked: { method: 'GET', headers: range === undefined ? {} : { range } },
        request: this.origin.request,
        admit: () => undefined,
        terms: () => ({}),
        published: (info) => {
          this.published.push(info);
          this.stored.resolve();
        },
        failed: (error) => this.failures.push(error),
        signal: new AbortController().signal,
        ...more,
      }),
      'answer',
    );
  }

  async body(range: string | undefined, more?: Partial<ColdQuestion>): Promise<Body & { size: number }> {
    const answer = await this.answer(range, more);
    assert.ok(answer !== undefined, 'an answer');
    if ('entry' in answer) return answer.entry;
    assert.ok('body' in answer, JSON.stringify(Object.keys(answer)));
    return answer.body;
  }

  /** What a client gets who asks for this. */
  async get(range: string | undefined): Promise<Buffer[]> {
    const body = await this.body(range);
    try {
      const plan = decide(
        { method: 'GET', headers: range === undefined ? {} : { range } },
        body.head,
        body.size,
      );
      if (plan.status === 416) return [];
      const parts: Buffer[] = [];
      for (const each of plan.ranges ?? [undefined]) parts.push(await Reading.of(body, each).whole());
      return parts;
    } finally {
      body.release();
    }
  }

  async isRight(range: string | undefined, ...expected: ByteRange[]): Promise<void> {
    const parts = await this.get(range);
    assert.equal(parts.length, expected.length, `${range}: parts`);
    for (const [i, { start, end }] of expected.entries())
      assert.ok(
        parts[i]?.equals(this.origin.bytes.subarray(start, end)),
        `${range}: the bytes ${start} to ${end}`,
      );
  }
}

describe('a range of a file that is not stored', () => {
  test('fetches the blocks that it touches, and the next one only those that are missing', async (t) => {
    const setup = await Setup.make(t, bytesOf(5 * MIB + 10));
    await setup.isRight(`bytes=${MIB + 5}-${MIB + 9}`, { start: MIB + 5, end: MIB + 10 });
    await setup.isRight(`bytes=${MIB + 7}-${MIB + 8}`, { start: MIB + 7, end: MIB + 9 });
    await setup.isRight(`bytes=10-${3 * MIB}`, { start: 10, end: 3 * MIB + 1 });
    assert.deepEqual(setup.origin.askings, [
      { range: `bytes=${MIB}-${2 * MIB - 1}`, ifRange: undefined },
      { range: `bytes=0-${MIB - 1}`, ifRange: '"1"' },
      { range: `bytes=${2 * MIB}-${4 * MIB - 1}`, ifRange: '"1"' },
    ]);
  });

  test('from the end asks for the size first', async (t) => {
    const setup = await Setup.make(t, bytesOf(3 * MIB + 10));
    await setup.isRight('bytes=-20', { start: 3 * MIB - 10, end: 3 * MIB + 10 });
    assert.deepEqual(
      setup.origin.askings.map(({ range }) => range),
      ['bytes=0-0', `bytes=${2 * MIB}-${3 * MIB + 9}`],
    );
  });

  test('several ranges are fetched one after the other', async (t) => {
    const setup = await Setup.make(t, bytesOf(6 * MIB));
    await setup.isRight(
      `bytes=5-9, ${4 * MIB + 1}-${4 * MIB + 2}, -1`,
      { start: 5, end: 10 },
      {
        start: 4 * MIB + 1,
        end: 4 * MIB + 3,
      },
      { start: 6 * MIB - 1, end: 6 * MIB },
    );
    assert.deepEqual(setup.origin.blocks(MIB), [1, 0, 0, 0, 1, 1]);
  });

  test('becomes an entry once all blocks have been asked for, verified', async (t) => {
    const bytes = bytesOf(3 * MIB + 10);
    const setup = await Setup.make(t, bytes);
    setup.origin.headers = {
      'repr-digest': `sha-256=:${Buffer.from(hashOf('sha256', bytes), 'hex').toString('base64')}:`,
    };
    await setup.isRight(`bytes=${MIB}-${2 * MIB}`, { start: MIB, end: 2 * MIB + 1 });
    await setup.isRight('bytes=0-0', { start: 0, end: 1 });
    await setup.isRight('bytes=-1', { start: bytes.length - 1, end: bytes.length });
    await settled(setup.stored.promise, 'the entry');
    assert.ok((await stored(setup.cache, KEY))?.equals(bytes));
    assert.deepEqual(setup.origin.blocks(MIB), [1, 1, 1, 1]);
    const answer = await setup.answer('bytes=5-6');
    assert.ok(answer !== undefined && 'entry' in answer);
    answer.entry.release();
  });

  test('whoever wants the whole meanwhile gets what is there and what is missing, and it becomes an entry', async (t) => {
    const bytes = bytesOf(4 * MIB + 1);
    const setup = await Setup.make(t, bytes);
    await setup.isRight(`bytes=${MIB}-${MIB}`, { start: MIB, end: MIB + 1 });
    await setup.isRight(undefined, { start: 0, end: bytes.length });
    assert.deepEqual(setup.origin.blocks(MIB), [1, 1, 1, 1, 1]);
    assert.ok((await stored(setup.cache, KEY))?.equals(bytes), 'before the last byte has gone out');
  });

  test('a whole that is not what its digest says never looks complete', async (t) => {
    const setup = await Setup.make(t, bytesOf(3 * MIB));
    setup.origin.headers = { 'repr-digest': `sha-256=:${Buffer.alloc(32).toString('base64')}:` };
    await setup.isRight('bytes=0-0', { start: 0, end: 1 });
    const body = await setup.body(undefined);
    const reading = Reading.of(body);
    assert.equal(((await reading.failure()) as { code?: string }).code, 'ERR_CACHE_FILTER_INTEGRITY');
    assert.ok(reading.length < 3 * MIB);
    body.release();
    assert.equal(await stored(setup.cache, KEY), undefined);
    assert.equal(setup.failures.length, 1);
  });

  test('without parts, a request for the whole is none of its business', async (t) => {
    const setup = await Setup.make(t, bytesOf(100));
    assert.equal(await setup.answer(undefined), undefined);
    assert.equal(setup.origin.askings.length, 0);
  });

  test('many who ask at once share the first request', async (t) => {
    const setup = await Setup.make(t, bytesOf(3 * MIB));
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => setup.isRight(`bytes=${i}-${i + 9}`, { start: i, end: i + 10 })),
    );
    assert.deepEqual(setup.origin.blocks(MIB), [1, 0, 0]);
  });
});

describe('an origin that gives no part', () => {
  for (const [what, status] of [
    ['a 200', 200],
    ['a 404', 404],
    ['a 503', 503],
  ] as const) {
    test(`${what} is handed on to who asked; others are to look again`, async (t) => {
      const setup = await Setup.make(t, bytesOf(100));
      const [asked, go] = [deferred(), deferred()];
      setup.origin.handler = (_, res) => {
        asked.resolve();
        void go.promise.then(() => res.writeHead(status).end('hello'));
        return true;
      };
      const first = setup.answer('bytes=0-5');
      await asked.promise;
      const second = setup.answer('bytes=0-5');
      await setup.cache.stats();
      go.resolve();
      const answer = await first;
      assert.ok(answer !== undefined && 'response' in answer);
      assert.equal(answer.response.status, status);
      assert.equal(String(await new Reading(answer.response.body).whole()), 'hello');
      const other = await second;
      assert.ok(other !== undefined);
      if ('response' in other) other.response.body.destroy();
      else assert.deepEqual(other, { again: true });
    });
  }

  test('parts that can not be told from those of another state are not put together', async (t) => {
    for (const etag of ['W/"1"', 'no tag']) {
      const setup = await Setup.make(t, bytesOf(3 * MIB));
      setup.origin.etag = etag;
      assert.deepEqual(await setup.answer('bytes=0-5'), { declined: 'range' });
      assert.deepEqual(await setup.answer('bytes=0-5'), { declined: 'range' });
      assert.equal(setup.origin.askings.length, 1, 'remembered');
    }
  });

  test('what is not to be kept is declined, with the reason', async (t) => {
    const setup = await Setup.make(t, bytesOf(3 * MIB));
    const heads: unknown[] = [];
    const admit: ColdQuestion['admit'] = (head, size) => {
      heads.push([head.status, size, head.headers.some(([name]) => /^content-(range|length)$/i.test(name))]);
      return 'private';
    };
    assert.deepEqual(await setup.answer('bytes=0-5', { admit }), { declined: 'private' });
    assert.deepEqual(heads, [[200, 3 * MIB, false]]);
    assert.equal((await setup.cache.stats()).bytes, 0);
  });
});

describe('a file that changes at the origin', () => {
  test('is begun anew; who reads the old one and needs more of it fails visibly', async (t) => {
    const setup = await Setup.make(t, bytesOf(4 * MIB, 1), { windowBytes: MIB });
    const old = await setup.body('bytes=0-');
    const reading = Reading.of(old, { start: 0, end: 10 });
    await reading.whole();
    setup.origin.bytes = bytesOf(4 * MIB, 2);
    setup.origin.etag = '"2"';
    await setup.isRight(`bytes=${3 * MIB}-${3 * MIB + 5}`, { start: 3 * MIB, end: 3 * MIB + 6 });
    assert.ok(await Reading.of(old, { start: MIB, end: 3 * MIB }).failure());
    old.release();
    await setup.isRight('bytes=0-9', { start: 0, end: 10 });
    assert.equal(setup.failures.length, 1);
  });

  test('is begun anew where its size is another one under the same tag', async (t) => {
    const setup = await Setup.make(t, bytesOf(4 * MIB, 1));
    await setup.isRight('bytes=0-9', { start: 0, end: 10 });
    setup.origin.bytes = bytesOf(5 * MIB, 2);
    await setup.isRight(`bytes=${MIB}-${MIB + 5}`, { start: MIB, end: MIB + 6 });
    await setup.isRight('bytes=0-9', { start: 0, end: 10 });
  });

  test('parts that may not be used any more are for those only who read them', async (t) => {
    const setup = await Setup.make(t, bytesOf(4 * MIB, 1));
    const old = await setup.body('bytes=0-9');
    await Reading.of(old, { start: 0, end: 10 }).whole();
    const before = setup.origin.bytes;
    setup.origin.bytes = bytesOf(4 * MIB, 2);
    setup.origin.etag = '"2"';
    let asked = 0;
    const body = await setup.body('bytes=0-9', { usable: () => asked++ > 0 });
    const range = { start: 0, end: 10 };
    assert.ok((await Reading.of(body, range).whole()).equals(setup.origin.bytes.subarray(0, 10)));
    assert.ok(
      (await Reading.of(old, range).whole()).equals(before.subarray(0, 10)),
      'who reads the old ones',
    );
    body.release();
    old.release();
    assert.deepEqual(await setup.answer('bytes=0-9', { usable: () => false }), { declined: 'expired' });
  });
});

describe('a purge', () => {
  test('that comes while the first range is being asked for is not missed', async (t) => {
    const setup = await Setup.make(t, bytesOf(100));
    const [asked, go] = [deferred(), deferred()];
    const { bytes } = setup.origin;
    setup.origin.handler = (_, res) => {
      asked.resolve();
      const head = { etag: '"1"', 'content-range': 'bytes 0-99/100', 'content-length': 100 };
      void go.promise.then(() => res.writeHead(206, head).end(bytes));
      return true;
    };
    const first = setup.answer('bytes=0-99');
    await asked.promise;
    await setup.cache.invalidate({ key: KEY.primary });
    go.resolve();
    const answer = await first;
    assert.ok(answer !== undefined && 'body' in answer);
    assert.ok(
      (await Reading.of(answer.body, { start: 0, end: 100 }).whole()).equals(bytes),
      'who asked has it',
    );
    answer.body.release();
    setup.origin.handler = () => false;
    await setup.isRight('bytes=0-5', { start: 0, end: 6 });
    assert.equal(setup.origin.askings.length, 2, 'who comes afterwards is given none of that');
    await settled(setup.stored.promise, 'the entry');
    assert.equal(setup.published.length, 1);
  });

  test('cuts off what is being read: that goes on, and who comes afterwards begins anew', async (t) => {
    const setup = await Setup.make(t, bytesOf(3 * MIB));
    const body = await setup.body('bytes=0-5');
    await Reading.of(body, { start: 0, end: 6 }).whole();
    await setup.cache.invalidate({ key: KEY.primary });
    await setup.isRight('bytes=0-5', { start: 0, end: 6 });
    assert.ok((await Reading.of(body).whole()).equals(setup.origin.bytes));
    body.release();
    assert.equal(await stored(setup.cache, KEY), undefined, 'nothing of it is published');
  });
});

describe('an answer that comes short', () => {
  test('is gone on with where it ended', async (t) => {
    const setup = await Setup.make(t, bytesOf(4 * MIB));
    let cuts = 0;
    setup.origin.handler = (req, res) => {
      if (cuts++ > 1) return false;
      const [, first = '0', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? '') ?? [];
      const [start, end] = [Number(first), Number(last) + 1];
      res.writeHead(206, {
        etag: '"1"',
        'content-type': 'application/x-test',
        'content-range': `bytes ${start}-${end - 1}/${4 * MIB}`,
        'content-length': end - start,
      });
      res.write(setup.origin.bytes.subarray(start, start + MIB + 100), () => res.destroy());
      return true;
    };
    await setup.isRight(`bytes=0-${4 * MIB - 2}`, { start: 0, end: 4 * MIB - 1 });
    assert.ok(cuts > 2, 'the fault');
  });

  test('again and again is a failure that the client sees', async (t) => {
    const setup = await Setup.make(t, bytesOf(4 * MIB));
    await setup.isRight('bytes=0-9', { start: 0, end: 10 });
    let asked = 0;
    setup.origin.handler = (_, res) => {
      asked++;
      res.destroy();
      return true;
    };
    await assert.rejects(setup.answer(`bytes=${2 * MIB}-`));
    assert.ok(asked > 0, 'the fault');
    await setup.isRight('bytes=5-9', { start: 5, end: 10 });
  });
});

describe('a client far ahead of another', () => {
  test('does not wait for all that comes before', async (t) => {
    const setup = await Setup.make(t, bytesOf(6 * MIB), { windowBytes: 2 * MIB });
    await setup.isRight('bytes=0-0', { start: 0, end: 1 });
    const [asked, go] = [deferred(), deferred()];
    setup.origin.handler = (req, res) => {
      if (req.headers.range !== `bytes=${MIB}-${3 * MIB - 1}`) return false;
      asked.resolve();
      setup.origin.handler = () => false;
      void go.promise.then(() => setup.origin.answer(req, res));
      return true;
    };
    const slow = setup.isRight(undefined, { start: 0, end: 6 * MIB });
    await asked.promise;
    await setup.isRight('bytes=-10', { start: 6 * MIB - 10, end: 6 * MIB });
    go.resolve();
    await slow;
    assert.deepEqual(setup.origin.blocks(MIB), [1, 1, 1, 1, 1, 1]);
  });
});

describe('a client who leaves', () => {
  test("has what he asked for fetched to its end, where that is wished ('finish')", async (t) => {
    const setup = await Setup.make(t, bytesOf(3 * MIB), { whenDeserted: 'finish' });
    const body = await setup.body(`bytes=0-${3 * MIB - 1}`);
    body.release();
    await settled(setup.stored.promise, 'the entry');
    assert.deepEqual(setup.origin.blocks(MIB), [1, 1, 1]);
  });

  test('has the block he was at fetched to its end, and no more', async (t) => {
    const setup = await Setup.make(t, bytesOf(4 * MIB));
    const go = deferred();
    const sent = deferred();
    setup.origin.handler = (_, res) => {
      const { bytes } = setup.origin;
      res.writeHead(206, {
        etag: '"1"',
        'content-range': `bytes 0-${4 * MIB - 1}/${4 * MIB}`,
        'content-length': 4 * MIB,
      });
      res.write(bytes.subarray(0, 1000), () => sent.resolve());
      void go.promise.then(() => res.end(bytes.subarray(1000)));
      return true;
    };
    const body = await setup.body(`bytes=0-${4 * MIB - 1}`);
    const reading = Reading.of(body, { start: 0, end: 4 * MIB });
    await sent.promise;
    await reading.until(1000);
    reading.stream.destroy();
    body.release();
    await once(reading.stream, 'close');
    setup.origin.handler = () => false;
    go.resolve();
    await setup.isRight(`bytes=10-${MIB - 1}`, { start: 10, end: MIB });
    assert.equal(setup.origin.askings.length, 1, 'the first block is there');
    await setup.isRight(`bytes=${MIB}-${MIB + 5}`, { start: MIB, end: MIB + 6 });
    assert.equal(setup.origin.askings.length, 2, 'the second is not');
  });
});

describe('a cache without room', () => {
  test('hands on what it can not keep', async (t) => {
    const bytes = bytesOf(6 * MIB);
    const setup = await Setup.make(t, bytes, {}, { maxBytes: 3 * MIB, maxEntryBytes: 8 * MIB });
    await setup.isRight(`bytes=10-${6 * MIB - 1}`, { start: 10, end: 6 * MIB });
    await setup.isRight(undefined, { start: 0, end: 6 * MIB });
    assert.ok((await setup.cache.stats()).bytes <= 3 * MIB);
  });

  test('declines what is too large', async (t) => {
    const setup = await Setup.make(t, bytesOf(6 * MIB), {}, { maxEntryBytes: 5 * MIB });
    assert.deepEqual(await setup.answer('bytes=0-9'), { declined: 'too-large' });
  });
});

test('whatever is asked for in whatever order: right bytes, and no block fetched twice', async () => {
  const size = fc.oneof(
    fc.integer({ min: 1, max: 100 }),
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: -2, max: 2 }))
      .map(([blocks, more]) => blocks * MIB + more),
    fc.integer({ min: 1, max: 6 * MIB }),
  );
  const edge = (most: number) =>
    fc
      .oneof(
        fc.integer({ min: 0, max: most - 1 }),
        fc
          .tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: -1, max: 1 }))
          .map(([block, more]) => block * MIB + more),
      )
      .map((at) => Math.max(0, Math.min(at, most - 1)));
  const range = (of: number) =>
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.tuple(edge(of), edge(of)).map(([a, b]) => `bytes=${Math.min(a, b)}-${Math.max(a, b)}`),
      },
      { weight: 1, arbitrary: edge(of).map((a) => `bytes=${a}-`) },
      { weight: 1, arbitrary: edge(of).map((a) => `bytes=-${a + 1}`) },
      {
        weight: 1,
        arbitrary: fc.tuple(edge(of), edge(of)).map(([a, b]) => `bytes=${a}-${a},${b}-${b}`),
      },
    );
  const plan = size.chain((of) =>
    fc.record({
      size: fc.constant(of),
      /** Those of one step come at once. */
      steps: fc.array(fc.array(range(of), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }),
      windowBytes: fc.constantFrom(MIB, 2 * MIB, 64 * MIB),
    }),
  );
  await fc.assert(
    fc.asyncProperty(plan, async ({ size: length, steps, windowBytes }) => {
      const after: (() => unknown)[] = [];
      try {
        const bytes = bytesOf(length, length);
        const setup = await Setup.make({ after: (fn: unknown) => after.push(fn as () => unknown) }, bytes, {
          windowBytes,
        });
        const touched = new Set<number>();
        for (const step of steps) {
          await Promise.all(
            step.map(async (asked) => {
              const plan = decide(
                { method: 'GET', headers: { range: asked } },
                { status: 200, headers: [] },
                length,
              );
              const ranges = plan.ranges ?? [{ start: 0, end: length }];
              for (const { start, end } of ranges)
                for (let block = Math.floor(start / MIB); block * MIB < end; block++) touched.add(block);
              // Two ranges may ask for more than all there is: the whole.
              if (asked.includes(',') && firstOf(asked) !== undefined)
                touched.add(Math.floor((firstOf(asked) ?? 0) / MIB));
              await setup.isRight(asked, ...ranges);
            }),
          );
        }
        const probes = setup.origin.askings.filter(({ range: of }) => of === 'bytes=0-0').length;
        const counts = setup.origin.blocks(MIB);
        for (const [block, count] of counts.entries()) {
          const allowed = (touched.has(block) ? 1 : 0) + (block === 0 ? probes : 0);
          assert.ok(count <= allowed, `block ${block} was fetched ${count} times, ${allowed} at most`);
        }
        if (touched.size === counts.length && length > 0) {
          await settled(setup.stored.promise, 'the entry');
          assert.ok((await stored(setup.cache, KEY))?.equals(bytes));
        }
      } finally {
        for (const fn of after.reverse()) await fn();
      }
    }),
    { numRuns: 60 },
  );
});

function firstOf(asked: string): number | undefined {
  const [, first] = /^bytes=(\d+)-/.exec(asked) ?? [];
  return first === undefined ? undefined : Number(first);
}
