import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { conditions, outcomeOf, Setbacks } from '../../lib/filter/revalidation.ts';
import type { HeaderPairs } from '../../lib/http/body.ts';

const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';

describe('the conditions of a request for what is there', () => {
  for (const [what, headers, expected] of [
    ['nothing identifies it', [['Content-Type', 'text/plain']], []],
    ['a strong ETag', [['etag', '"a,b"']], [['If-None-Match', '"a,b"']]],
    ['a weak one', [['ETag', 'W/"a"']], [['If-None-Match', 'W/"a"']]],
    ['a date', [['Last-Modified', DATE]], [['If-Modified-Since', DATE]]],
    [
      'both: the ETag alone',
      [
        ['Last-Modified', DATE],
        ['ETag', '"a"'],
      ],
      [['If-None-Match', '"a"']],
    ],
    [
      'an ETag that is none, and a date',
      [
        ['ETag', 'a'],
        ['Last-Modified', DATE],
      ],
      [['If-Modified-Since', DATE]],
    ],
    ['several ETags', [['ETag', '"a", "b"']], []],
    ['* as ETag', [['ETag', '*']], []],
    ['a date that is none', [['Last-Modified', 'yesterday']], []],
  ] as [string, HeaderPairs, HeaderPairs][]) {
    test(what, () => assert.deepEqual(conditions({ status: 200, headers }), expected));
  }
});

describe('what an answer means for a stale entry', () => {
  for (const [status, whileAllowed, beyond] of [
    [304, 'renew', 'renew'],
    [200, 'replace', 'replace'],
    [404, 'drop', 'drop'],
    [410, 'drop', 'drop'],
    [500, 'stale', 'pass'],
    [502, 'stale', 'pass'],
    [503, 'stale', 'pass'],
    [undefined, 'stale', 'pass'],
    [401, 'pass', 'pass'],
    [403, 'pass', 'pass'],
    [429, 'pass', 'pass'],
    [206, 'pass', 'pass'],
    [302, 'pass', 'pass'],
  ] as const) {
    test(`${status ?? 'no answer'}: ${whileAllowed}, or ${beyond}`, () => {
      assert.deepEqual([outcomeOf(status, 1), outcomeOf(status, 0)], [whileAllowed, beyond]);
    });
  }
});

describe('setbacks', () => {
  test('what has failed is not tried again for a second, then two, and at most for thirty', () => {
    let now = 0;
    const setbacks = new Setbacks(() => now);
    assert.equal(setbacks.has('a'), false);
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      setbacks.failed('a');
      now += seconds * 1000 - 1;
      assert.equal(setbacks.has('a'), true, `${seconds} s`);
      assert.equal(setbacks.has('b'), false, 'another key');
      now += 1;
      assert.equal(setbacks.has('a'), false, `after ${seconds} s`);
    }
  });

  test('once it has worked it begins anew', () => {
    let now = 0;
    const setbacks = new Setbacks(() => now);
    for (let i = 0; i < 3; i++) setbacks.failed('a');
    setbacks.worked('a');
    assert.equal(setbacks.has('a'), false);
    setbacks.failed('a');
    now = 1000;
    assert.equal(setbacks.has('a'), false);
  });

  test('they are bounded: the oldest is forgotten', () => {
    const setbacks = new Setbacks(() => 0);
    for (let i = 0; i <= 10_000; i++) setbacks.failed(`${i}`);
    assert.deepEqual([setbacks.has('0'), setbacks.has('1'), setbacks.has('10000')], [false, true, true]);
  });
});
