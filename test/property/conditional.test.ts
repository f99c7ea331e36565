import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { evaluate, ifRangeHolds, type Validators } from '../../lib/http/conditional.ts';
import { formatHttpDate } from '../../lib/http/date.ts';

const NOW = Date.UTC(2026, 0, 1);

const opaque = fc
  .string({ unit: fc.constantFrom('a', ',', ' ', '\\', '*', 'W/', 'ü'), maxLength: 4 })
  .map((text) => `"${text}"`);
const tag = fc.record({ weak: fc.boolean(), opaque });
type Tag = { weak: boolean; opaque: string };
const written = ({ weak, opaque: text }: Tag) => (weak ? `W/${text}` : text);
const list = fc.oneof(
  fc.constant('*' as const),
  fc.tuple(fc.array(tag, { maxLength: 4 }), fc.constantFrom(',', ', ', ' ,\t,')),
);
/** Days from `NOW`, so few that equal ones come up often; `x` is no date. */
const day = fc.oneof(fc.integer({ min: -2, max: 2 }), fc.constant('x' as const));
const httpDate = (days: number | 'x') => (days === 'x' ? 'x' : formatHttpDate(NOW + days * 86_400_000));

const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const request = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE'),
  ifMatch: some(list),
  ifNoneMatch: some(list),
  ifModifiedSince: some(day),
  ifUnmodifiedSince: some(day),
});
const representation = fc.record({ etag: some(tag), lastModified: some(day) });

function validatorsOf({
  etag,
  lastModified,
}: {
  etag: Tag | undefined;
  lastModified: number | 'x' | undefined;
}): Validators {
  return {
    ...(etag && { etag: written(etag) }),
    ...(lastModified !== undefined && { lastModified: httpDate(lastModified) }),
  };
}

describe('evaluate', () => {
  test('takes the steps of RFC 9110 13.2.2, however the conditions are written', () => {
    fc.assert(
      fc.property(request, representation, ({ method, ...conditions }, { etag, lastModified }) => {
        const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
        const headers: IncomingHttpHeaders = {};
        const listText = (value: NonNullable<typeof ifMatch>) =>
          value === '*' ? '*' : value[0].map(written).join(value[1]);
        if (ifMatch !== undefined) headers['if-match'] = listText(ifMatch);
        if (ifNoneMatch !== undefined) headers['if-none-match'] = listText(ifNoneMatch);
        if (ifModifiedSince !== undefined) headers['if-modified-since'] = httpDate(ifModifiedSince);
        if (ifUnmodifiedSince !== undefined) headers['if-unmodified-since'] = httpDate(ifUnmodifiedSince);

        const steps = (): ReturnType<typeof evaluate> => {
          const reads = method === 'GET' || method === 'HEAD';
          const dated = typeof lastModified === 'number';
          if (ifMatch !== undefined) {
            const holds =
              ifMatch === '*' ||
              ifMatch[0].some((each) => etag && !each.weak && !etag.weak && each.opaque === etag.opaque);
            if (!holds) return 'failed';
          } else if (typeof ifUnmodifiedSince === 'number' && dated && lastModified > ifUnmodifiedSince) {
            return 'failed';
          }
          if (ifNoneMatch !== undefined) {
            const holds = ifNoneMatch !== '*' && !ifNoneMatch[0].some((each) => each.opaque === etag?.opaque);
            return holds ? 'proceed' : reads ? 'not-modified' : 'failed';
          }
          if (reads && typeof ifModifiedSince === 'number' && dated && lastModified <= ifModifiedSince) {
            return 'not-modified';
          }
          return 'proceed';
        };
        assert.equal(evaluate(method, headers, validatorsOf({ etag, lastModified })), steps());
      }),
      { numRuns: 5000 },
    );
  });
});

describe('ifRangeHolds', () => {
  test('holds exactly for the same strong tag and the same date', () => {
    fc.assert(
      fc.property(fc.oneof(tag, day), representation, (condition, { etag, lastModified }) => {
        const isTag = typeof condition === 'object';
        const expected = isTag
          ? !condition.weak && etag !== undefined && !etag.weak && condition.opaque === etag.opaque
          : condition !== 'x' && condition === lastModified;
        const headers = { 'if-range': isTag ? written(condition) : httpDate(condition) };
        assert.equal(ifRangeHolds(headers, validatorsOf({ etag, lastModified })), expected);
      }),
      { numRuns: 2000 },
    );
  });
});
