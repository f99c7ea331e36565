import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Body, ByteRange, HeaderPairs, ResponseHead } from '../http/body.ts';
import { evaluate, ifRangeHolds, isConditional, validatorsOf } from '../http/conditional.ts';
import { fieldValue } from '../http/headers.ts';
import { multipartByteranges, parseRange } from '../http/ranges.ts';

/** What the client asked, as it came. */
export interface Asked {
  method: string;
  headers: IncomingHttpHeaders;
}

/** What the client gets. */
export type Plan =
  | { status: 200; ranges?: undefined }
  | { status: 206; ranges: ByteRange[] }
  | { status: 304 | 412 | 416; ranges?: undefined };

const WHOLE: Plan = { status: 200 };

/** Preconditions first, then the range (RFC 9110, 13.2.2). */
export function decide(
  asked: Asked,
  head: ResponseHead,
  size: number | undefined,
  supplement: HeaderPairs = [],
): Plan {
  const { headers } = asked;
  if (head.status !== 200 || (headers.range === undefined && !isConditional(headers))) return WHOLE;
  const validators = { ...validatorsOf(supplement), ...validatorsOf(head.headers) };
  const outcome = evaluate(asked.method, headers, validators);
  if (outcome !== 'proceed') return { status: outcome === 'failed' ? 412 : 304 };
  if (asked.method !== 'GET' || size === undefined || !ifRangeHolds(headers, validators)) return WHOLE;
  const request = parseRange(headers.range, size);
  if (request.kind === 'unsatisfiable') return { status: 416 };
  return request.kind === 'ranges' ? { status: 206, ranges: request.ranges } : WHOLE;
}

/** How to frame an answer of several ranges; undefined where it is none. */
export function framing(
  plan: Plan,
  body: Body,
  head: ResponseHead,
): ReturnType<typeof multipartByteranges> | undefined {
  if (plan.status !== 206 || plan.ranges.length < 2) return undefined;
  return multipartByteranges(
    plan.ranges,
    body.size ?? 0,
    fieldValue(head.headers, 'content-type'),
    randomBytes(16).toString('hex'),
  );
}
