import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { firstPosition, multipartByteranges, parseRange } from '../../lib/http/ranges.ts';

/** Positions of a byte-range-spec; either may be missing, not both. */
type Spec = [first: bigint | undefined, last: bigint | undefined];

/** The specs of a header that keeps to the grammar of RFC 9110 14.1. */
function specsOf(header: string): Spec[] | undefined {
  const spec = '(?:[0-9]+-[0-9]*|-[0-9]+)';
  const grammar = new RegExp(`^[\\t ]*bytes=[\\t ,]*${spec}(?:[\\t ]*,[\\t ]*(?:${spec})?)*[\\t ]*$`, 'i');
  if (!grammar.test(header)) return undefined;
  const specs = (header.match(new RegExp(spec, 'g')) ?? []).map((each) => {
    const [first = '', last = ''] = each.split('-');
    return [first === '' ? undefined : BigInt(first), last === '' ? undefined : BigInt(last)] satisfies Spec;
  });
  const backwards = ([first, last]: Spec) => first !== undefined && last !== undefined && last < first;
  return specs.some(backwards) ? undefined : specs;
}

/**
 * RFC 9110 14.2 once more, byte by byte: the slices of `body` that a header asks for, `whole` where it is to be ignored,
 * `unsatisfiable` where the body has none of them.
 */
function model(header: string, body: string, maxRanges: number): string[] | 'whole' | 'unsatisfiable' {
  const specs = specsOf(header);
  if (specs === undefined || specs.length > maxRanges) return 'whole';
  const slices: string[] = [];
  for (const [first, last] of specs) {
    const asked = (at: number) =>
      first === undefined
        ? last !== undefined && BigInt(body.length - at) <= last
        : BigInt(at) >= first && (last === undefined || BigInt(at) <= last);
    const slice = Array.from(body).filter((_, at) => asked(at));
    if (slice.length > 0) slices.push(slice.join(''));
  }
  if (slices.length === 0) return 'unsatisfiable';
  return slices.join('').length > body.length ? 'whole' : slices;
}

const position = fc.oneof(
  { weight: 8, arbitrary: fc.nat(40).map(String) },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 70n }).map(String) },
  { weight: 1, arbitrary: fc.nat(9).map((digit) => `00${digit}`) },
);
const spec = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(position, position).map(([first, last]) => `${first}-${last}`) },
  { weight: 2, arbitrary: position.map((first) => `${first}-`) },
  { weight: 2, arbitrary: position.map((last) => `-${last}`) },
  { weight: 1, arbitrary: fc.constantFrom('', ' ', '\t') },
);
const wellFormed = fc
  .tuple(
    fc.constantFrom('bytes=', 'Bytes='),
    fc.array(spec, { maxLength: 6 }),
    fc.constantFrom(',', ', ', ' ,\t'),
  )
  .map(([unit, specs, comma]) => unit + specs.join(comma));
const nearlyFormed = fc
  .array(fc.constantFrom('0', '5', '12', '-', '-', ',', ',', ' ', '\t', '=', 'x'), { maxLength: 12 })
  .map((pieces) => `bytes=${pieces.join('')}`);
const header = fc.oneof(
  { weight: 5, arbitrary: wellFormed },
  { weight: 3, arbitrary: nearlyFormed },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
);
const body = fc.string({ unit: fc.constantFrom(...'abcdefghij'), maxLength: 40 });

describe('parseRange', () => {
  test('cuts what a byte-by-byte reading of RFC 9110 cuts, for any header and body', () => {
    fc.assert(
      fc.property(header, body, fc.constantFrom(1, 3, 64), (text, content, maxRanges) => {
        const request = parseRange(text, content.length, maxRanges);
        const found =
          request.kind === 'ranges'
            ? request.ranges.map(({ start, end }) => content.slice(start, end))
            : request.kind;
        assert.deepEqual(found, model(text, content, maxRanges));
      }),
      { numRuns: 5000 },
    );
  });

  test('never names bytes that the body has not, nor an empty range', () => {
    fc.assert(
      fc.property(header, fc.maxSafeNat(), (text, size) => {
        const request = parseRange(text, size);
        if (request.kind !== 'ranges') return;
        for (const { start, end } of request.ranges) {
          assert.ok(Number.isSafeInteger(start) && Number.isSafeInteger(end), `${start}-${end} is exact`);
          assert.ok(start >= 0 && start < end && end <= size, `${start}-${end} lies in ${size}`);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('firstPosition', () => {
  test('is the first position of any well-formed header that does not begin with a suffix', () => {
    fc.assert(
      fc.property(header, (text) => {
        const first = specsOf(text)?.[0]?.[0];
        const capped =
          first !== undefined && first > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : first;
        assert.equal(firstPosition(text), capped === undefined ? undefined : Number(capped));
      }),
      { numRuns: 2000 },
    );
  });
});

/** The parts of a multipart body, read the way RFC 2046 5.1.1 writes them. */
function readMultipart(text: string, boundary: string): { fields: string[]; content: string }[] {
  const sections = `\r\n${text}`.split(`\r\n--${boundary}`);
  assert.equal(sections.shift(), '', 'nothing before the first boundary');
  assert.equal(sections.pop(), '--\r\n', 'the last boundary ends the body');
  return sections.map((section) => {
    const split = section.indexOf('\r\n\r\n');
    return { fields: section.slice(2, split).split('\r\n'), content: section.slice(split + 4) };
  });
}

describe('multipartByteranges', () => {
  test('can be read back, part by part, and has the length it says', () => {
    const range = fc
      .tuple(fc.nat(39), fc.nat(39))
      .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) + 1 }));
    const contentType = fc.option(fc.constantFrom('text/plain', 'x/y; z="ü"'), { nil: undefined });
    const content = 'abcdefghijklmnopqrstuvwxyz0123456789ABCD';
    fc.assert(
      fc.property(fc.array(range, { minLength: 1 }), contentType, (ranges, type) => {
        const framing = multipartByteranges(ranges, 40, type, 'xyzzy');
        const whole = Buffer.concat([
          ...framing.parts.flatMap((part) => [
            part.preamble,
            Buffer.from(content.slice(part.range.start, part.range.end)),
          ]),
          framing.closing,
        ]);
        assert.equal(whole.length, framing.length);
        assert.deepEqual(
          readMultipart(whole.toString('latin1'), 'xyzzy'),
          ranges.map(({ start, end }) => ({
            fields: [
              ...(type === undefined ? [] : [`Content-Type: ${type}`]),
              `Content-Range: bytes ${start}-${end - 1}/40`,
            ],
            content: content.slice(start, end),
          })),
        );
      }),
    );
  });
});
