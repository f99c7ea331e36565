import type { ByteRange } from './body.ts';

/** What a Range header asks of a body: all of it, nothing it has, or these parts in this order. */
export type RangeRequest =
  | { kind: 'whole' }
  | { kind: 'unsatisfiable' }
  | { kind: 'ranges'; ranges: ByteRange[] };

const MAX_RANGES = 64;

/** One member of a byte-range-set, its digits as they came; `first` is empty in `-500`, `last` in `500-`. */
interface RangeSpec {
  first: string;
  last: string;
}

/**
 * What a Range header asks of a body of `size` bytes (RFC 9110 14.1.2, 14.2). A header that is absent, malformed, in
 * another unit, of more than `maxRanges` ranges, or asking for more bytes than the body has is ignored (`whole`), as
 * RFC 9110 14.2 and 17.15 allow. Satisfiable ranges are clipped to the body, the others among them left out.
 */
export function parseRange(
  header: string | undefined,
  size: number,
  maxRanges: number = MAX_RANGES,
): RangeRequest {
  const specs = rangeSpecs(header, maxRanges);
  if (specs === undefined) return { kind: 'whole' };
  const ranges = specs.map((spec) => resolve(spec, size)).filter((range) => range.start < range.end);
  if (ranges.length === 0) return { kind: 'unsatisfiable' };
  const asked = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  return asked > size ? { kind: 'whole' } : { kind: 'ranges', ranges };
}

/**
 * Where the first range of a header starts, for a body whose size is not known; undefined where that needs the size
 * (`bytes=-500`) or the header is to be ignored. At most `Number.MAX_SAFE_INTEGER`.
 */
export function firstPosition(header: string | undefined): number | undefined {
  const first = rangeSpecs(header, MAX_RANGES)?.[0]?.first;
  return first ? Math.min(Number(first), Number.MAX_SAFE_INTEGER) : undefined;
}

/**
 * The first range of a header, for a body whose size is not known: `start` is undefined for one that counts from the end, `end` for one
 * that goes on to it. undefined where the header is to be ignored.
 */
export function firstRange(
  header: string | undefined,
): { start: number | undefined; end: number | undefined } | undefined {
  const spec = rangeSpecs(header, MAX_RANGES)?.[0];
  if (spec === undefined) return undefined;
  const at = (digits: string, more: number) =>
    digits === '' ? undefined : Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 2 ** 32) + more;
  return { start: at(spec.first, 0), end: spec.first === '' ? undefined : at(spec.last, 1) };
}

/** A Content-Range value (RFC 9110 14.4); without a range the one of a 416. */
export function contentRange(range: ByteRange | undefined, size: number): string {
  return range === undefined ? `bytes */${size}` : `bytes ${range.start}-${range.end - 1}/${size}`;
}

/**
 * The part of a representation that a 206 says it has (RFC 9110 14.4), and how large the whole is, where that is known.
 * undefined for what is no such field: another unit, no range, one that is turned around or beyond the whole.
 */
export function parseContentRange(
  value: string | undefined,
): { start: number; end: number; total?: number } | undefined {
  const [, first = '', last = '', whole = ''] =
    /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/i.exec(value?.trim() ?? '') ?? [];
  if (first === '') return undefined;
  const [start, end, total] = [Number(first), Number(last) + 1, Number(whole)];
  if (start >= end || end > Number.MAX_SAFE_INTEGER) return undefined;
  if (whole === '*') return { start, end };
  return end <= total && total <= Number.MAX_SAFE_INTEGER ? { start, end, total } : undefined;
}

/**
 * The framing of a 206 with several ranges (RFC 9110 14.6): each part is its `preamble`, then the bytes of its `range`;
 * `closing` comes after the last.
 *
 * @param contentType of the whole body
 * @param boundary a token of at most 70 characters that the body doesn't contain
 * @returns the Content-Type and the Content-Length of the response, with what to send
 */
export function multipartByteranges(
  ranges: ByteRange[],
  size: number,
  contentType: string | undefined,
  boundary: string,
): { contentType: string; length: number; parts: { preamble: Buffer; range: ByteRange }[]; closing: Buffer } {
  const parts = ranges.map((range, index) => {
    const lines = [
      ...(index > 0 ? [''] : []),
      `--${boundary}`,
      ...(contentType === undefined ? [] : [`Content-Type: ${contentType}`]),
      `Content-Range: ${contentRange(range, size)}`,
      '',
      '',
    ];
    // Node reads and writes header fields as latin1.
    return { preamble: Buffer.from(lines.join('\r\n'), 'latin1'), range };
  });
  const closing = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1');
  const length = parts.reduce(
    (sum, { preamble, range }) => sum + preamble.length + range.end - range.start,
    closing.length,
  );
  return { contentType: `multipart/byteranges; boundary=${boundary}`, length, parts, closing };
}

/** The ranges of a header (RFC 9110 14.1.1); undefined if it is to be ignored. */
function rangeSpecs(header: string | undefined, maxRanges: number): RangeSpec[] | undefined {
  const set = /^[ \t]*bytes=(.*)$/is.exec(header ?? '')?.[1];
  if (set === undefined) return undefined;
  const specs: RangeSpec[] = [];
  for (const member of set.split(',')) {
    // RFC 9110 5.6.1.2: a recipient puts up with empty members.
    if (/^[ \t]*$/.test(member)) continue;
    const [, first = '', last = ''] = /^[ \t]*(\d*)-(\d*)[ \t]*$/.exec(member) ?? [];
    if (first === '' && last === '') return undefined;
    // As numbers, positions past 2 ** 53 that are one apart would be the same.
    if (first !== '' && last !== '' && BigInt(last) < BigInt(first)) return undefined;
    if (specs.push({ first, last }) > maxRanges) return undefined;
  }
  return specs.length > 0 ? specs : undefined;
}

/** The bytes of a body of `size` bytes that a spec names; empty if there are none. */
function resolve({ first, last }: RangeSpec, size: number): ByteRange {
  // RFC 9110 14.1.2: a suffix longer than the body is the whole body.
  if (first === '') return { start: Math.max(0, size - Number(last)), end: size };
  return { start: Number(first), end: last === '' ? size : Math.min(Number(last) + 1, size) };
}
