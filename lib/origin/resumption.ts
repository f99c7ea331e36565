import { parseHttpDate } from '../http/date.ts';
import { fieldValue } from '../http/headers.ts';
import { parseContentRange } from '../http/ranges.ts';
import type { OriginResponse } from './request.ts';

type Head = Pick<OriginResponse, 'status' | 'headers'>;

/** Which bytes of a representation an answer has; `end` and `total` are undefined where nothing says so. */
export interface Extent {
  start: number;
  end?: number | undefined;
  total?: number | undefined;
}

/** What the rest of a body is asked for with, and recognised by. */
export interface Continuation {
  /** The one after the last byte that is wanted. */
  end: number;
  total?: number | undefined;
  /** Strong (RFC 9110 8.8.1): two bodies that have the same one are the same, byte for byte. */
  validator: { name: 'etag' | 'last-modified'; value: string };
  encoding: string | undefined;
}

/** undefined: a 206 that does not say which part it is. */
export function extentOf({ status, headers }: Head): Extent | undefined {
  if (status === 206) return parseContentRange(fieldValue(headers, 'content-range'));
  const length = fieldValue(headers, 'content-length');
  const total = length !== undefined && /^\d{1,16}$/.test(length) ? Number(length) : undefined;
  return { start: 0, end: total, total };
}

/** undefined: a body that breaks off can't be gone on with. */
export function continuationOf(first: Head, { end, total }: Extent): Continuation | undefined {
  const { status, headers } = first;
  if ((status !== 200 && status !== 206) || end === undefined) return undefined;
  if (/^none$/i.test(fieldValue(headers, 'accept-ranges') ?? '')) return undefined;
  const encoding = fieldValue(headers, 'content-encoding');
  const etag = fieldValue(headers, 'etag');
  if (etag !== undefined && /^"[^"]*"$/.test(etag)) {
    return { end, total, encoding, validator: { name: 'etag', value: etag } };
  }
  // A date says nothing about how it was encoded this time.
  const modified = fieldValue(headers, 'last-modified');
  if (modified === undefined || encoding !== undefined || !isStrong(modified, fieldValue(headers, 'date'))) {
    return undefined;
  }
  return { end, total, encoding, validator: { name: 'last-modified', value: modified } };
}

/** Whether an answer is the very rest that was asked for, from `start` on. */
export function continues(
  answer: Head,
  start: number,
  { end, total, validator, encoding }: Continuation,
): boolean {
  const { status, headers } = answer;
  const range = parseContentRange(fieldValue(headers, 'content-range'));
  return (
    status === 206 &&
    range?.start === start &&
    range.end === end &&
    range.total === total &&
    fieldValue(headers, validator.name) === validator.value &&
    fieldValue(headers, 'content-encoding') === encoding
  );
}

/** RFC 9110 8.8.2.2: within the second of its change, a representation may change again. */
function isStrong(modified: string, date: string | undefined): boolean {
  const [changed, made] = [parseHttpDate(modified), date === undefined ? undefined : parseHttpDate(date)];
  return changed !== undefined && made !== undefined && made - changed >= 1000;
}
