import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatHttpDate, parseHttpDate } from '../../lib/http/date.ts';

const EXAMPLE = Date.UTC(1994, 10, 6, 8, 49, 37);
const NOW = Date.UTC(2026, 5, 15, 12, 0, 0);

describe('parseHttpDate', () => {
  for (const [text, ms] of [
    ['Sun, 06 Nov 1994 08:49:37 GMT', EXAMPLE],
    ['Sunday, 06-Nov-94 08:49:37 GMT', EXAMPLE],
    ['Sun Nov  6 08:49:37 1994', EXAMPLE],
    ['Wed Nov 16 08:49:37 1994', Date.UTC(1994, 10, 16, 8, 49, 37)],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['Thu, 29 Feb 2024 23:59:59 GMT', Date.UTC(2024, 1, 29, 23, 59, 59)],
    ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2017, 0, 1)],
    ['Fri, 31 Dec 9999 23:59:59 GMT', Date.UTC(9999, 11, 31, 23, 59, 59)],
  ] as const) {
    test(`reads ${text}`, () => assert.equal(parseHttpDate(text, NOW), ms));
  }

  test('takes a four-digit year below 100 for what it says', () => {
    assert.equal(new Date(parseHttpDate('Wed, 01 Jan 0050 00:00:00 GMT') ?? Number.NaN).getUTCFullYear(), 50);
  });

  test('matches letters in any case, as RFC 9111 4.2 wants of caches', () => {
    assert.equal(parseHttpDate('SUN, 06 nov 1994 08:49:37 gmt'), EXAMPLE);
    assert.equal(parseHttpDate('sunDAY, 06-NOV-94 08:49:37 Gmt'), EXAMPLE);
  });

  test('does not mind a weekday that is not the right one', () => {
    assert.equal(parseHttpDate('Mon, 06 Nov 1994 08:49:37 GMT'), EXAMPLE);
  });

  for (const [why, text] of [
    ['nothing', ''],
    ['zero', '0'],
    ['ISO 8601', '1994-11-06T08:49:37Z'],
    ['another zone', 'Sun, 06 Nov 1994 08:49:37 UTC'],
    ['an offset', 'Sun, 06 Nov 1994 08:49:37 +0000'],
    ['no zone', 'Sun, 06 Nov 1994 08:49:37'],
    ['no comma', 'Sun 06 Nov 1994 08:49:37 GMT'],
    ['no weekday', '06 Nov 1994 08:49:37 GMT'],
    ['no such weekday', 'Sum, 06 Nov 1994 08:49:37 GMT'],
    ['no such month', 'Sun, 06 Nof 1994 08:49:37 GMT'],
    ['a one-digit day', 'Sun, 6 Nov 1994 08:49:37 GMT'],
    ['a one-digit hour', 'Sun, 06 Nov 1994 8:49:37 GMT'],
    ['no seconds', 'Sun, 06 Nov 1994 08:49 GMT'],
    ['dashes in the first form', 'Sun, 06-Nov-1994 08:49:37 GMT'],
    ['a two-digit year in the first form', 'Sun, 06 Nov 94 08:49:37 GMT'],
    ['a short weekday in the second form', 'Sun, 06-Nov-94 08:49:37 GMT'],
    ['a one-digit day without its space in the third form', 'Sun Nov 6 08:49:37 1994'],
    ['a zone in the third form', 'Sun Nov  6 08:49:37 1994 GMT'],
    ['day 0', 'Sun, 00 Nov 1994 08:49:37 GMT'],
    ['day 31 of November', 'Thu, 31 Nov 1994 08:49:37 GMT'],
    ['29 February of a common year', 'Wed, 29 Feb 2023 00:00:00 GMT'],
    ['hour 24', 'Sun, 06 Nov 1994 24:00:00 GMT'],
    ['minute 60', 'Sun, 06 Nov 1994 08:60:00 GMT'],
    ['second 61', 'Sun, 06 Nov 1994 08:49:61 GMT'],
    ['space before', ' Sun, 06 Nov 1994 08:49:37 GMT'],
    ['something after', 'Sun, 06 Nov 1994 08:49:37 GMT, x'],
    ['a line end after', 'Sun, 06 Nov 1994 08:49:37 GMT\n'],
  ] as const) {
    test(`refuses ${why}`, () => assert.equal(parseHttpDate(text, NOW), undefined));
  }

  // RFC 9110 5.6.7, seen from June 2026 unless said otherwise.
  for (const [text, year, now = NOW] of [
    ['Sunday, 15-Jun-26 12:00:00 GMT', 2026],
    ['Sunday, 01-Jan-50 00:00:00 GMT', 2050],
    ['Monday, 15-Jun-76 12:00:00 GMT', 2076],
    ['Monday, 15-Jun-76 12:00:01 GMT', 1976],
    ['Friday, 31-Dec-99 23:59:59 GMT', 1999],
    ['Saturday, 01-Jan-00 00:00:00 GMT', 2000],
    ['Wednesday, 01-Jan-10 00:00:00 GMT', 2110, Date.UTC(2099, 0, 1)],
    ['Sunday, 29-Feb-00 00:00:00 GMT', 2000, Date.UTC(2060, 0, 1)],
  ] as [string, number, number?][]) {
    test(`takes ${text} for ${year} in ${new Date(now).getUTCFullYear()}`, () => {
      const ms = parseHttpDate(text, now);
      assert.equal(new Date(ms ?? Number.NaN).getUTCFullYear(), year);
    });
  }

  test('refuses a two-digit year where neither century has that day', () => {
    assert.equal(parseHttpDate('Sunday, 29-Feb-23 00:00:00 GMT', NOW), undefined);
  });
});

describe('formatHttpDate', () => {
  test('writes an IMF-fixdate', () => {
    assert.equal(formatHttpDate(EXAMPLE), 'Sun, 06 Nov 1994 08:49:37 GMT');
  });

  test('cuts milliseconds off, so that nothing looks newer than it is', () => {
    assert.equal(formatHttpDate(EXAMPLE + 999), 'Sun, 06 Nov 1994 08:49:37 GMT');
  });

  for (const ms of [Number.NaN, Number.POSITIVE_INFINITY, Date.UTC(10_000, 0, 1), Date.UTC(-1, 0, 1)]) {
    test(`throws for ${ms}, which the format has no room for`, () => {
      assert.throws(() => formatHttpDate(ms), RangeError);
    });
  }
});
