import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deltaSeconds, parseCacheControl } from '../../lib/http/cache-control.ts';

describe('parseCacheControl', () => {
  const cases: [what: string, value: string | undefined, directives: Record<string, string | true>][] = [
    ['an absent field has no directives', undefined, {}],
    ['an empty field has no directives', '', {}],
    ['several directives', 'public, max-age=60', { public: true, 'max-age': '60' }],
    ['names in any case', 'Max-Age=60, NO-STORE', { 'max-age': '60', 'no-store': true }],
    ['arguments keep their case', 'ext=AbC', { ext: 'AbC' }],
    ['quoted arguments lose their quotes', 'max-age="60"', { 'max-age': '60' }],
    [
      'commas in quotes separate nothing',
      'private="set-cookie, x-a", max-age=1',
      { private: 'set-cookie, x-a', 'max-age': '1' },
    ],
    ['escapes in quotes are undone', 'ext="a\\"b\\\\c", no-store', { ext: 'a"b\\c', 'no-store': true }],
    ['spaces around the equals sign', 'max-age = 60', { 'max-age': '60' }],
    ['an empty argument', 'max-age=', { 'max-age': '' }],
    ['empty members', ',, no-store ,\t,', { 'no-store': true }],
    ['members that are no directive', 'a b, =5, "x", @, no-store', { 'no-store': true }],
    [
      'what forbids, though a semicolon makes it no directive',
      'private; max-age=60, x; no-store',
      { private: true, 'no-store': true },
    ],
    ['what forbids, behind an argument', 'max-age=60; Private', { private: true, 'max-age': '60; Private' }],
    [
      'what forbids, in quotes or beside other words',
      '"no-store", be private',
      { 'no-store': true, private: true },
    ],
    [
      'words that forbid as arguments of something else',
      'a=private, b="no-store; x"',
      { a: 'private', b: 'no-store; x' },
    ],
    [
      'a quote that never closes hides nothing behind it',
      'ext="a, no-store',
      { ext: '"a', 'no-store': true },
    ],
    ['names that objects have by birth', '__proto__=1', Object.fromEntries([['__proto__', '1']])],
  ];
  for (const [what, value, directives] of cases) {
    test(`reads ${what}`, () => {
      assert.deepEqual(Object.fromEntries(parseCacheControl(value)), directives);
    });
  }

  const stricter: [value: string, name: string, counts: string | true][] = [
    ['max-age=60, max-age=10', 'max-age', '10'],
    ['max-age=10, max-age=60', 'max-age', '10'],
    ['s-maxage=10, s-maxage=9', 's-maxage', '9'],
    ['max-age=60, max-age=x', 'max-age', 'x'],
    ['max-age, max-age=60', 'max-age', true],
    ['stale-if-error=5, stale-if-error=4', 'stale-if-error', '4'],
    ['stale-while-revalidate=5, stale-while-revalidate=4', 'stale-while-revalidate', '4'],
    ['no-cache="a", no-cache', 'no-cache', true],
    ['private, private="a"', 'private', true],
    ['private="a", private="b"', 'private', 'a, b'],
    ['ext=1, ext=2', 'ext', '1'],
  ];
  for (const [value, name, counts] of stricter) {
    test(`lets the stricter count in ${value}`, () => {
      assert.equal(parseCacheControl(value).get(name), counts);
    });
  }
});

describe('deltaSeconds', () => {
  for (const [value, seconds] of [
    [undefined, undefined],
    [true, 0],
    ['', 0],
    ['0', 0],
    ['60', 60],
    ['007', 7],
    ['-1', 0],
    ['+1', 0],
    ['1.5', 0],
    ['1e3', 0],
    ['60s', 0],
    [' 60', 0],
    ["'60'", 0],
    ['٣', 0],
    ['2147483647', 2 ** 31 - 1],
    ['2147483649', 2 ** 31],
    ['9'.repeat(400), 2 ** 31],
  ] as const) {
    test(`takes ${String(value).slice(0, 20) || 'nothing'} for ${seconds}`, () =>
      assert.equal(deltaSeconds(value), seconds));
  }
});
