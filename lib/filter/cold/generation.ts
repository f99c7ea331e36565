import type { ByteRange, HeaderPairs, ResponseHead } from '../../http/body.ts';
import { parseHttpDate } from '../../http/date.ts';
import { fieldValue, storedHeaders } from '../../http/headers.ts';
import { parseContentRange } from '../../http/ranges.ts';
import type { OriginResponse } from '../../origin/request.ts';

/** Fields that say something of one part only (RFC 9110, 14.4; RFC 9530, 2; RFC 1864). */
const OF_A_PART: ReadonlySet<string> = new Set(['content-range', 'content-digest', 'content-md5']);

/** What a 206 says of the file that it is a part of. */
export interface Part {
  range: ByteRange;
  size: number;
  /** What a 200 would have said, as far as that is known. */
  head: ResponseHead;
}

/** undefined where the answer is no 206 of a single part of a file of known size. */
export function partOf({ status, headers }: Pick<OriginResponse, 'status' | 'headers'>): Part | undefined {
  const found = status === 206 ? parseContentRange(fieldValue(headers, 'content-range')) : undefined;
  const isMultipart = /^multipart\//i.test(fieldValue(headers, 'content-type') ?? '');
  if (found?.total === undefined || isMultipart) return undefined;
  const { total: size, ...range } = found;
  const whole = headers.filter(
    ([name]) => !OF_A_PART.has(name.toLowerCase()) && !/^content-length$/i.test(name),
  );
  return { range, size, head: { status: 200, headers: whole } };
}

/** What of a head may be kept. */
export function keptOf({ headers, ...head }: ResponseHead, drop: ReadonlySet<string>): ResponseHead {
  return { ...head, headers: storedHeaders(storedHeaders(headers, OF_A_PART), drop) };
}

/**
 * What says in If-Range which state of a file is meant (RFC 9110, 13.1.5): a strong entity tag, or a Last-Modified that is strong, as it
 * is at least a second older than Date (8.8.2.2). undefined: parts of it can't be put together.
 */
export function validatorOf(headers: HeaderPairs): string | undefined {
  const etag = fieldValue(headers, 'etag')?.trim();
  if (etag !== undefined) return /^"[^"]*"$/.test(etag) ? etag : undefined;
  const modified = fieldValue(headers, 'last-modified')?.trim();
  const [changed, date] = [modified, fieldValue(headers, 'date')?.trim()].map((text) =>
    text === undefined ? undefined : parseHttpDate(text),
  );
  if (changed === undefined || date === undefined || date - changed < 1000) return undefined;
  return modified;
}

/** Whether an answer is of the very file that has this head, and of so many bytes. */
export function isOfSame(part: Part, head: ResponseHead, size: number): boolean {
  const { headers } = part.head;
  const encoding = (of: HeaderPairs) => fieldValue(of, 'content-encoding');
  return (
    part.size === size &&
    validatorOf(headers) === validatorOf(head.headers) &&
    encoding(headers) === encoding(head.headers)
  );
}
