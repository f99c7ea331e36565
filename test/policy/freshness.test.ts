import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatHttpDate } from '../../lib/http/date.ts';
import {
  type Freshness,
  freshnessLifetime,
  freshnessProblem,
  initialAge,
  needsOrigin,
  staleness,
} from '../../lib/policy/freshness.ts';

/** When the response arrived; a whole second, as HTTP dates are. */
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

const at = (seconds: number): string => formatHttpDate(NOW + seconds * 1000);

function lifetime(headers: Record<string, string>, freshness: Freshness = 'response'): number | undefined {
  const ms = freshnessLifetime({ status: 200, headers: Object.entries(headers) }, freshness, NOW);
  return ms === undefined ? undefined : ms / 1000;
}

const TABLE: [statement: string, headers: Record<string, string>, seconds: number | undefined][] = [
  ['says nothing', {}, undefined],
  ['says something else', { 'Cache-Control': 'public, must-revalidate' }, undefined],
  ['max-age', { 'Cache-Control': 'max-age=60' }, 60],
  ['max-age in capitals and with spaces', { 'cache-control': 'public ,  MAX-AGE=60 ' }, 60],
  ['max-age in quotes', { 'Cache-Control': 'max-age="60"' }, 60],
  ['max-age=0', { 'Cache-Control': 'max-age=0' }, 0],
  ['a max-age that is no number', { 'Cache-Control': 'max-age=soon' }, 0],
  ['a max-age without a number', { 'Cache-Control': 'max-age' }, 0],
  ['a negative max-age', { 'Cache-Control': 'max-age=-1' }, 0],
  ['a max-age beyond all bounds', { 'Cache-Control': 'max-age=99999999999999999999' }, 2 ** 31],
  ['s-maxage goes before max-age', { 'Cache-Control': 'max-age=60, s-maxage=120' }, 120],
  ['s-maxage goes before max-age though it is shorter', { 'Cache-Control': 'max-age=60, s-maxage=0' }, 0],
  ['max-age goes before Expires', { 'Cache-Control': 'max-age=60', Expires: at(600), Date: at(0) }, 60],
  ['Expires from Date', { Expires: at(600), Date: at(0) }, 600],
  ['Expires without Date counts from now', { Expires: at(600) }, 600],
  ['Expires in the past', { Expires: at(-1), Date: at(0) }, 0],
  ['Expires at once', { Expires: at(0), Date: at(0) }, 0],
  ['Expires that is no date', { Expires: '0', Date: at(0) }, 0],
  ['Expires with a Date that is none', { Expires: at(600), Date: 'today' }, 600],
  ['Expires and a clock that is ahead', { Expires: at(3600 + 600), Date: at(3600) }, 600],
  ['Age is taken off', { 'Cache-Control': 'max-age=60', Age: '20' }, 40],
  ['Age is taken off Expires', { Expires: at(600), Date: at(0), Age: '20' }, 580],
  ['an Age beyond max-age', { 'Cache-Control': 'max-age=60', Age: '61' }, 0],
  ['an Age that is no number', { 'Cache-Control': 'max-age=60', Age: 'old' }, 60],
  [
    'a Date long ago counts as age, but for a second of grace',
    { 'Cache-Control': 'max-age=60', Date: at(-21) },
    40,
  ],
  ['a Date a second ago is not held against it', { 'Cache-Control': 'max-age=60', Date: at(-1) }, 60],
  ['a Date in the future is no age', { 'Cache-Control': 'max-age=60', Date: at(100) }, 60],
  ['of Age and Date the older counts', { 'Cache-Control': 'max-age=60', Date: at(-11), Age: '30' }, 30],
];

describe('how long a response is fresh, in seconds', () => {
  for (const [statement, headers, seconds] of TABLE) {
    test(`${statement}: ${seconds}`, () => assert.equal(lifetime(headers), seconds));
  }

  test('immutable is for ever, and a ttl is what it is, whatever the response says', () => {
    for (const [, headers] of TABLE) {
      assert.equal(lifetime(headers, 'immutable'), Number.POSITIVE_INFINITY);
      assert.equal(lifetime(headers, { ttlMs: 5000 }), 5);
      assert.equal(lifetime(headers, { staleIfErrorMs: 5000 }), lifetime(headers), 'as the response says');
    }
  });

  test('it is never negative, and never more than what was said', () => {
    const seconds = fc.integer({ min: -(10 ** 6), max: 10 ** 6 });
    fc.assert(
      fc.property(fc.nat({ max: 10 ** 6 }), seconds, seconds, (maxAge, date, age) => {
        const left = lifetime({ 'Cache-Control': `max-age=${maxAge}`, Date: at(date), Age: String(age) });
        assert.ok(left !== undefined && left >= 0 && left <= maxAge, `${left}`);
      }),
    );
  });
});

describe('what may be done with a response after so many seconds', () => {
  const after = (seconds: number, control: string, freshness: Freshness = 'response') => {
    const head = { status: 200, headers: [['Cache-Control', control] as const] };
    const { freshForMs, swrForMs, sieForMs } = staleness(head, freshness, NOW, NOW + seconds * 1000);
    return [freshForMs / 1000, swrForMs / 1000, sieForMs / 1000];
  };

  test('beyond its lifetime, what its directives say', () => {
    const control = 'max-age=60, stale-while-revalidate=30, stale-if-error=600';
    assert.deepEqual(after(0, control), [60, 90, 660]);
    assert.deepEqual(after(60, control), [0, 30, 600]);
    assert.deepEqual(after(100, control), [-40, -10, 560]);
    assert.deepEqual(after(100, 'max-age=60'), [-40, -40, -40], 'no word about it');
    assert.deepEqual(after(61, 'max-age=60, stale-if-error=soon'), [-1, -1, -1], 'no number');
  });

  for (const strict of ['must-revalidate', 'proxy-revalidate', 's-maxage=60', 'no-cache', 'no-cache="x-a"'])
    test(`${strict} forbids it, unless the option says so`, () => {
      const control = `max-age=60, stale-while-revalidate=30, stale-if-error=600, ${strict}`;
      assert.deepEqual(after(61, control), [-1, -1, -1]);
      assert.deepEqual(after(61, control, { staleIfErrorMs: 5_000 }), [-1, -1, 4]);
      assert.deepEqual(after(61, control, { staleWhileRevalidateMs: 5_000 }), [-1, 4, -1]);
    });

  test('the option goes before the directive, each for itself', () => {
    const control = 'max-age=60, stale-while-revalidate=30, stale-if-error=600';
    assert.deepEqual(after(61, control, { staleIfErrorMs: 0 }), [-1, 29, -1]);
    assert.deepEqual(after(61, control, { staleWhileRevalidateMs: 1_000 }), [-1, 0, 599]);
    assert.deepEqual(after(11, control, { ttlMs: 10_000 }), [-1, 29, 599]);
  });

  test('what is immutable is never stale', () => {
    const [fresh] = after(10 ** 9, 'max-age=0', 'immutable');
    assert.equal(fresh, Number.POSITIVE_INFINITY);
  });

  test('only what can be stale on purpose needs an origin', () => {
    for (const freshness of ['response', 'immutable', { ttlMs: 1 }] as const)
      assert.equal(needsOrigin(freshness), false);
    for (const freshness of [{ staleIfErrorMs: 0 }, { ttlMs: 1, staleWhileRevalidateMs: 1 }])
      assert.equal(needsOrigin(freshness), true);
  });
});

describe('the age that a response arrives with', () => {
  const age = (headers: Record<string, string>) =>
    initialAge({ status: 200, headers: Object.entries(headers) }, NOW) / 1000;

  test('is the larger of Age and of the time since Date, less a second', () => {
    assert.equal(age({}), 0);
    assert.equal(age({ Age: '5' }), 5);
    assert.equal(age({ Age: '-5' }), 0);
    assert.equal(age({ Date: at(-5) }), 4);
    assert.equal(age({ Date: at(5) }), 0);
    assert.equal(age({ Date: at(-5), Age: '9' }), 9);
    assert.equal(age({ Date: 'never', Age: 'never' }), 0);
  });
});

describe('what may be given as freshness', () => {
  test('two words, and a number of milliseconds', () => {
    for (const freshness of [
      'response',
      'immutable',
      { ttlMs: 1 },
      { ttlMs: 0.5 },
      { ttlMs: Number.POSITIVE_INFINITY },
      { ttlMs: 1, staleWhileRevalidateMs: 0, staleIfErrorMs: Number.POSITIVE_INFINITY },
      { staleIfErrorMs: 1, ttlMs: undefined },
    ]) {
      assert.equal(freshnessProblem(freshness), undefined, JSON.stringify(freshness));
    }
  });

  test('and nothing else', () => {
    for (const freshness of [
      undefined,
      null,
      '',
      'never',
      60,
      true,
      {},
      { ttlMs: 0 },
      { ttlMs: -1 },
      { ttlMs: Number.NaN },
      { ttlMs: '60' },
      { ttl: 60 },
      { ttlMs: 1, ttl: 1 },
      { ttlMs: undefined },
      { ttlMs: 1, staleIfErrorMs: -1 },
      { ttlMs: 1, staleWhileRevalidateMs: '1' },
      [],
      { toString: 1 },
    ]) {
      assert.match(
        freshnessProblem(freshness) ?? '',
        /^must be 'response', 'immutable' or \{ ttlMs: /,
        JSON.stringify(freshness),
      );
    }
  });
});
