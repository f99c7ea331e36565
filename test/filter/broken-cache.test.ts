import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import type { ClaimOptions, Entry, Fill, Key, LeaderClaim } from '../../lib/cache/cache.ts';
import { type Cache, MemoryCache } from '../../lib/index.ts';
import { BODY, barrier, filtered, said } from '../support/filtered.ts';

/** A cache of somebody else's, that breaks its promise in one place. */
function broken(breakIt: (cache: MemoryCache, fail: () => never) => Partial<Cache>): {
  cache: Cache;
  fired: () => number;
} {
  const cache = new MemoryCache();
  let fired = 0;
  const fail = (): never => {
    fired++;
    throw new Error('deliberate');
  };
  const whole: Cache = {
    open: (key) => cache.open(key),
    claim: (key, options) => cache.claim(key, options),
    invalidate: (what) => cache.invalidate(what),
    info: (key) => cache.info(key),
    list: () => cache.list(),
    pin: (key, on) => cache.pin(key, on),
    queue: cache.queue,
    prune: (options) => cache.prune(options),
    clean: () => cache.clean(),
    verify: (options) => cache.verify(options),
    fills: () => cache.fills(),
    stats: () => cache.stats(),
    close: () => cache.close(),
  };
  return { cache: { ...whole, ...breakIt(cache, fail) }, fired: () => fired };
}

describe('a cache that breaks never makes a response worse', () => {
  for (const [name, breakIt] of [
    ['open rejects', (_cache: MemoryCache, fail: () => never) => ({ open: async () => fail() })],
    ['open throws', (_cache: MemoryCache, fail: () => never) => ({ open: () => fail() })],
    ['claim rejects', (_cache: MemoryCache, fail: () => never) => ({ claim: async () => fail() })],
    [
      'start rejects',
      (_cache: MemoryCache, fail: () => never) => ({
        claim: async () =>
          ({
            role: 'leader',
            start: async () => fail(),
            refresh: async () => fail(),
            abandon: async () => undefined,
          }) as const,
      }),
    ],
    [
      'abandon rejects',
      (_cache: MemoryCache, fail: () => never) => ({
        claim: async () =>
          ({
            role: 'leader',
            start: async () => ({ declined: 'no-room' }),
            refresh: async () => ({ declined: 'no-room' }),
            abandon: async () => fail(),
          }) as const,
      }),
    ],
  ] as const) {
    test(name, async (t) => {
      const { cache, fired } = broken(breakIt as Parameters<typeof broken>[0]);
      const { get, calls } = await filtered(t, { cache });
      for (let i = 1; i <= 2; i++) {
        const answer = await get();
        assert.deepEqual([answer.status, answer.complete, answer.body.equals(BODY)], [200, true, true]);
      }
      assert.ok(fired() > 0, 'the fault fired');
      assert.ok(calls() > 0);
    });
  }
});

/** What it was asked settles only when the test says so, long after the filter has gone on. */
describe('a cache that does not answer is not waited for', () => {
  const slow: [string, (cache: MemoryCache, late: Promise<void>) => Partial<Cache>][] = [
    ['open', (cache, late) => ({ open: (key) => late.then(() => cache.open(key)) })],
    ['claim', (cache, late) => ({ claim: (key, options) => late.then(() => cache.claim(key, options)) })],
    [
      'start',
      (cache, late) => ({
        claim: async (key, options) => {
          const claim = await cache.claim(key, options);
          if (claim?.role !== 'leader') return claim;
          return { ...claim, start: (head, more) => late.then(() => claim.start(head, more)) };
        },
      }),
    ],
  ];
  for (const [name, breakIt] of slow) {
    test(`${name}: the application answers, and what comes too late is let go of`, async (t) => {
      const late = barrier();
      let asked = 0;
      const { cache } = broken((memory) =>
        breakIt(
          memory,
          late.reached.finally(() => asked++),
        ),
      );
      const { get, filter } = await filtered(t, { cache, storeTimeoutMs: 20 });
      const answer = await get();
      assert.deepEqual([answer.complete, answer.body.equals(BODY)], [true, true]);
      assert.match(said(answer), /detail=store-down$/);
      late.reach();
      await filter.idle();
      assert.ok(asked > 0, 'the fault fired');
      // Neither a claim nor a fill is left: the next one leads.
      assert.equal(said(await get()), 'fwd=uri-miss; stored');
      assert.deepEqual(filter.cache.fills(), []);
    });
  }

  test('invalidate: a DELETE is answered, and what was stored before is not served any more', async (t) => {
    const { cache, fired } = broken((_cache, fail) => ({
      invalidate: () => {
        try {
          fail();
        } catch {}
        return new Promise<number>(() => undefined);
      },
    }));
    const { get, calls } = await filtered(t, { cache, storeTimeoutMs: 20 });
    await get();
    assert.equal((await get('/', {}, { method: 'DELETE' })).status, 204);
    assert.equal(fired(), 1, 'the fault fired');
    assert.notEqual(said(await get()), 'hit');
    assert.equal(calls(), 3);
  });

  test('drained: the fill fails, visibly', async (t) => {
    const { cache, fired } = breakingFills((fill) => ({
      write: (chunk) => {
        fill.write(chunk);
        return false;
      },
      drained: () => new Promise<void>(() => undefined),
    }));
    const { filter, get } = await filtered(
      t,
      { cache, storeTimeoutMs: 10, sendTimeoutMs: 10 },
      (_req, res) => {
        res.setHeader('Content-Length', BODY.length);
        res.write(BODY.subarray(0, 10));
        res.once('drain', () => res.end(BODY.subarray(10)));
      },
    );
    assert.equal((await get()).complete, false);
    assert.ok(fired() > 0, 'the fault fired');
    await filter.idle();
  });
});

/** A cache whose fills break their promise in one place. */
function breakingFills(fault: (fill: Fill) => Partial<Fill>): { cache: Cache; fired: () => number } {
  return broken((cache, fail) => ({
    claim: async (key: Key, options?: ClaimOptions) => {
      const claim = await cache.claim(key, options);
      if (claim?.role !== 'leader') return claim;
      const start: LeaderClaim['start'] = async (head, given) => {
        const fill = await claim.start(head, given);
        if ('declined' in fill) return fill;
        const whole: Fill = {
          write: (chunk) => fill.write(chunk),
          drained: () => fill.drained(),
          reader: () => fill.reader(),
          get readers() {
            return fill.readers;
          },
          onDeserted: (deserted) => fill.onDeserted(deserted),
          get refused() {
            return fill.refused;
          },
          commit: (proof) => fill.commit(proof),
          abort: (reason) => fill.abort(reason),
          orphan: (reason) => fill.orphan(reason),
        };
        const wrong = Object.entries(fault(fill)).map(([name, method]) => [
          name,
          (...args: never[]) => {
            try {
              fail();
            } catch {}
            return (method as (...args: never[]) => unknown)(...args);
          },
        ]);
        return { ...whole, ...Object.fromEntries(wrong) };
      };
      return { ...claim, start };
    },
  }));
}

describe('a fill that breaks never ends as if it were whole', () => {
  for (const [name, fault, complete] of [
    [
      'commit rejects, its readers having failed',
      (fill) => ({
        commit: async () => {
          await fill.abort(new Error('deliberate'));
          throw new Error('deliberate');
        },
      }),
      false,
    ],
    [
      'commit settles, and rejects when asked again',
      (fill) => ({
        commit: (proof) => fill.commit(proof).finally(() => fill.commit(proof).catch(() => undefined)),
      }),
      true,
    ],
    ['drained resolves at once, and again', () => ({ drained: async () => undefined }), true],
    [
      'write always says to wait',
      (fill) => ({
        write: (chunk) => {
          fill.write(chunk);
          return false;
        },
      }),
      true,
    ],
  ] as [string, (fill: Fill) => Partial<Fill>, boolean][]) {
    test(name, async (t) => {
      const { cache, fired } = breakingFills(fault);
      const { filter, get } = await filtered(t, { cache }, (_req, res) => {
        res.setHeader('Content-Length', BODY.length);
        res.write(BODY.subarray(0, 10));
        setImmediate(() => {
          if (!res.write(BODY.subarray(10, 20))) res.once('drain', () => res.end(BODY.subarray(20)));
          else res.end(BODY.subarray(20));
        });
      });
      const answer = await get();
      if (name !== 'drained resolves at once, and again') assert.ok(fired() > 0, 'the fault fired');
      assert.equal(answer.complete, complete);
      if (answer.complete) assert.ok(answer.body.equals(BODY));
      await filter.idle();
    });
  }
});

/** A hit whose bytes are not what was promised. */
function hitOf(read: () => Readable): { cache: Cache; released: () => number } {
  let released = 0;
  const entry: Entry = {
    head: { status: 200, headers: [['Content-Type', 'text/plain']] },
    size: BODY.length,
    info: { key: { primary: '/' }, size: BODY.length, digests: [], storedAt: Date.now(), tags: [] },
    read,
    release: () => {
      released++;
    },
  };
  const { cache } = broken(() => ({ open: async () => entry }));
  return { cache, released: () => released };
}

describe('an entry that breaks never ends as if it were whole', () => {
  for (const [name, read, complete] of [
    ['in pieces of one byte', () => Readable.from([...BODY].map((byte) => Buffer.of(byte))), true],
    ['that end too soon', () => Readable.from([BODY.subarray(0, 10)]), false],
    [
      'that fail half way',
      () =>
        new Readable({
          read() {
            this.push(BODY.subarray(0, 10));
            this.destroy(new Error('deliberate'));
          },
        }),
      false,
    ],
    [
      'that fail at once',
      () =>
        new Readable({
          read() {
            this.destroy(new Error('deliberate'));
          },
        }),
      false,
    ],
    ['that are too many', () => Readable.from([BODY, Buffer.from('and more')]), false],
  ] as [string, () => Readable, boolean][]) {
    test(`reads ${name}`, async (t) => {
      const { cache, released } = hitOf(read);
      const { filter, get } = await filtered(t, { cache });
      const answer = await get();
      assert.equal(answer.complete, complete, `${answer.body.length} bytes`);
      if (answer.complete) assert.ok(answer.body.equals(BODY));
      await filter.idle();
      assert.equal(released(), 1, 'let go of once');
    });
  }
});
