import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { HeaderPairs } from '../../lib/http/body.ts';
import { deltaSeconds, parseCacheControl } from '../../lib/http/cache-control.ts';
import { evaluate, ifRangeHolds, isConditional } from '../../lib/http/conditional.ts';
import { formatHttpDate, parseHttpDate } from '../../lib/http/date.ts';
import {
  conflicts,
  type Digest,
  declaredDigests,
  formatReprDigest,
  parseDigest,
} from '../../lib/http/digest.ts';
import { listMembers, mergeList, parseWriteHead, storedHeaders, without } from '../../lib/http/headers.ts';
import { firstPosition, parseRange } from '../../lib/http/ranges.ts';

/** Anything at all, and text made of the pieces that parsers trip over. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        ...[
          '"',
          '\\',
          ',',
          ';',
          ':',
          '=',
          '-',
          '*',
          ' ',
          '\t',
          '\n',
          '\0',
          'W/',
          'bytes=',
          '0',
          '99999999999999999999',
        ],
        ...[
          'sha-256',
          'sha256',
          'md5',
          'AAAA',
          'max-age',
          'private',
          'Sun, 06 Nov 1994 08:49:37 GMT',
          'GMT',
          'ü',
          '\ud800',
        ],
      ),
    )
    .map((pieces) => pieces.join('')),
);

describe('no text makes a parser throw', () => {
  const parsers: Record<string, (text: string, other: string) => unknown> = {
    parseHttpDate: (text) => parseHttpDate(text),
    parseCacheControl: (text) => [...parseCacheControl(text).values()].map(deltaSeconds),
    deltaSeconds: (text) => deltaSeconds(text),
    parseRange: (text) => parseRange(text, 100),
    firstPosition: (text) => firstPosition(text),
    evaluate: (text, other) =>
      ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'].map((name) => {
        assert.equal(isConditional({ [name]: text }), true);
        return evaluate('GET', { [name]: text }, { etag: other, lastModified: other });
      }),
    ifRangeHolds: (text, other) => ifRangeHolds({ 'if-range': text }, { etag: other, lastModified: other }),
    parseDigest: (text) => parseDigest(text),
    declaredDigests: (text) =>
      ['repr-digest', 'content-digest', 'content-md5', 'x-image-meta-checksum', 'docker-content-digest'].map(
        (name) => declaredDigests([[name, text]]),
      ),
    storedHeaders: (text, other) =>
      storedHeaders(
        [
          ['connection', text],
          [other, text],
        ],
        new Set([text]),
      ),
    listMembers: (text) => listMembers(text),
    mergeList: (text, other) => mergeList(text, other),
    without: (text, other) => without(text, other),
  };
  for (const [name, parse] of Object.entries(parsers)) {
    test(name, () => {
      fc.assert(
        fc.property(hostile, hostile, (text, other) => {
          parse(text, other);
        }),
        { numRuns: 1000 },
      );
    });
  }

  test('parseWriteHead throws nothing but what Node throws', () => {
    const value = fc.oneof(
      hostile,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.constant(undefined),
      fc.array(hostile),
    );
    const headers = fc.oneof(
      fc.dictionary(hostile, value),
      fc.array(value),
      fc.array(fc.array(value, { maxLength: 3 })),
      value,
    );
    const codes = new Set<unknown>();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1100 }), headers, headers, (status, reason, last) => {
        try {
          const parsed = parseWriteHead([status, reason, last]);
          assert.equal(parsed.status, status);
          for (const [, each] of parsed.headers) assert.notEqual(each, undefined);
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          const { code } = error as { code?: string };
          assert.match(`${code}`, /^ERR_/, `a code on ${error}`);
          codes.add(code);
        }
      }),
      { numRuns: 2000 },
    );
    assert.ok(codes.size >= 4, `the runs came upon ${[...codes].join(', ')}`);
  });
});

describe('dates', () => {
  const second = fc
    .integer({ min: Date.UTC(0, 0, 1) / 1000 - 1900 * 366 * 86_400, max: Date.UTC(9999, 11, 31) / 1000 })
    .map((seconds) => seconds * 1000)
    .filter((ms) => new Date(ms).getUTCFullYear() >= 0);

  test('survive being written and read, to the second', () => {
    fc.assert(
      fc.property(second, fc.nat(999), (ms, fraction) => {
        assert.equal(parseHttpDate(formatHttpDate(ms + fraction)), ms);
      }),
    );
  });

  test('are the same in all three forms within 50 years of now', () => {
    const now = Date.UTC(2026, 5, 15);
    const near = fc
      .integer({ min: Date.UTC(1976, 6, 1) / 1000, max: Date.UTC(2076, 5, 1) / 1000 })
      .map((seconds) => seconds * 1000);
    const LONG = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
    fc.assert(
      fc.property(near, (ms) => {
        const [, weekday, day = '', month, year = '', time] =
          /^(\w+), (\d+) (\w+) (\d+) (\S+) GMT$/.exec(formatHttpDate(ms)) ?? [];
        const rfc850 = `${LONG[new Date(ms).getUTCDay()]}, ${day}-${month}-${year.slice(2)} ${time} GMT`;
        const asctime = `${weekday} ${month} ${day.replace(/^0/, ' ')} ${time} ${year}`;
        assert.equal(parseHttpDate(rfc850, now), ms, rfc850);
        assert.equal(parseHttpDate(asctime, now), ms, asctime);
      }),
    );
  });
});

describe('digests', () => {
  const LENGTHS = { md5: 16, sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const;
  const digest: fc.Arbitrary<Digest> = fc
    .constantFrom('md5' as const, 'sha1' as const, 'sha256' as const, 'sha384' as const, 'sha512' as const)
    .chain((algorithm) =>
      fc
        .uint8Array({ minLength: LENGTHS[algorithm], maxLength: LENGTHS[algorithm] })
        .map((bytes) => ({ algorithm, hex: Buffer.from(bytes).toString('hex') })),
    );

  test('survive being written in hex and in base64', () => {
    fc.assert(
      fc.property(digest, (each) => {
        const base64 = Buffer.from(each.hex, 'hex').toString('base64');
        assert.deepEqual(parseDigest(`${each.algorithm}:${each.hex.toUpperCase()}`), each);
        assert.deepEqual(parseDigest(`${each.algorithm}-${base64}`), each);
      }),
    );
  });

  test('survive Repr-Digest as far as it has names for them', () => {
    fc.assert(
      fc.property(fc.uniqueArray(digest, { selector: ({ algorithm }) => algorithm }), (digests) => {
        const field = formatReprDigest(digests);
        const headers: HeaderPairs = field === undefined ? [] : [['Repr-Digest', field]];
        const named = ['sha256', 'sha512'].flatMap((name) =>
          digests.filter((each) => each.algorithm === name),
        );
        assert.deepEqual(declaredDigests(headers), named);
      }),
    );
  });

  test('conflict exactly where one algorithm has two values', () => {
    const few = fc.array(
      fc.record({
        algorithm: fc.constantFrom('md5' as const, 'sha256' as const),
        hex: fc.constantFrom('00', '01'),
      }),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(few, few, (a, b) => {
        const pairs = a.flatMap((left) => b.map((right) => [left, right] as const));
        const pair = pairs.find(
          ([left, right]) => left.algorithm === right.algorithm && left.hex !== right.hex,
        );
        assert.deepEqual(conflicts(a, b), pair?.[0]);
      }),
    );
  });
});

describe('Cache-Control', () => {
  test('gives back what was written into it', () => {
    const name = fc.string({ unit: fc.constantFrom(...'abcxyz-_.09'), minLength: 1 });
    const argument = fc.oneof(
      fc.constant(true as const),
      fc.string({ unit: fc.constantFrom('a', ' ', ',', '"', '\\', '=', ';') }),
    );
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, argument), { selector: ([each]) => each }), (directives) => {
        const field = directives.map(([each, value]) =>
          value === true ? each : `${each}="${value.replace(/["\\]/g, '\\$&')}"`,
        );
        assert.deepEqual([...parseCacheControl(field.join(', '))], directives);
      }),
    );
  });

  test('never becomes laxer by one more max-age', () => {
    const age = fc.oneof(fc.nat(100).map(String), fc.constantFrom('x', ''));
    fc.assert(
      fc.property(fc.array(age, { minLength: 1 }), (ages) => {
        const control = parseCacheControl(ages.map((each) => `max-age=${each}`).join(','));
        assert.equal(
          deltaSeconds(control.get('max-age')),
          Math.min(...ages.map((each) => Number(each) || 0)),
        );
      }),
    );
  });
});

describe('lists of names', () => {
  const list = fc.array(fc.constantFrom('a', 'A', 'b', 'C', 'c', 'd')).map((names) => names.join(','));
  const set = (text: string) => new Set(listMembers(text.toLowerCase()));

  test('are united by mergeList and told apart by without', () => {
    fc.assert(
      fc.property(list, list, (a, b) => {
        const merged = mergeList(a, b);
        assert.deepEqual(set(merged), new Set([...set(a), ...set(b)]));
        assert.equal(listMembers(merged).length, set(merged).size, 'nothing twice');
        assert.equal(mergeList(merged, b), merged);
        assert.deepEqual(set(without(merged, a)), new Set([...set(b)].filter((each) => !set(a).has(each))));
      }),
    );
  });
});
