import type { ResponseHead } from '../http/body.ts';
import { deltaSeconds, parseCacheControl } from '../http/cache-control.ts';
import { parseHttpDate } from '../http/date.ts';
import { fieldValue, fieldValues } from '../http/headers.ts';

/**
 * How long an entry may be served.
 * `'response'`: what the response says (s-maxage, max-age, Expires; none or 0: not stored).
 * `'immutable'`: for ever, whatever the response says; for URLs whose content never changes.
 * `{ ttlMs }`: that long, whatever the response says.
 */
export type Freshness = 'response' | 'immutable' | { ttlMs: number };

/** What is wrong with a value given as freshness; undefined when nothing is. */
export function freshnessProblem(value: unknown): string | undefined {
  if (value === 'response' || value === 'immutable') return undefined;
  if (typeof value === 'object' && value !== null) {
    const { ttlMs, ...rest } = value as { ttlMs?: unknown };
    if (typeof ttlMs === 'number' && ttlMs > 0 && Object.keys(rest).length === 0) return undefined;
  }
  return "must be 'response', 'immutable' or { ttlMs: a number of milliseconds above 0 }";
}

/**
 * How long the response is fresh from the moment it arrived, in milliseconds (RFC 9111, 4.2.1, for a shared cache);
 * 0: not at all; undefined: it does not say. Time that it spent in other caches (Age) is already taken off.
 */
export function freshnessLifetime(
  head: ResponseHead,
  freshness: Freshness,
  storedAt: number,
): number | undefined {
  if (freshness === 'immutable') return Number.POSITIVE_INFINITY;
  if (typeof freshness === 'object') return freshness.ttlMs;
  const control = parseCacheControl(fieldValue(head.headers, 'cache-control'));
  const seconds = deltaSeconds(control.get('s-maxage')) ?? deltaSeconds(control.get('max-age'));
  const elapsed = initialAge(head, storedAt);
  if (seconds !== undefined) return Math.max(0, seconds * 1000 - elapsed);
  const expires = fieldValues(head.headers, 'expires')[0];
  if (expires === undefined) return undefined;
  // An Expires that is no date means "already expired" (RFC 9111, 5.3).
  const until = parseHttpDate(expires) ?? 0;
  const from = parseHttpDate(fieldValues(head.headers, 'date')[0] ?? '') ?? storedAt;
  return Math.max(0, until - from - elapsed);
}

/** The age that the response had when it arrived, in milliseconds (RFC 9111, 4.2.3). */
export function initialAge(head: ResponseHead, storedAt: number): number {
  const age = (deltaSeconds(fieldValues(head.headers, 'age')[0]) ?? 0) * 1000;
  const date = parseHttpDate(fieldValues(head.headers, 'date')[0] ?? '');
  return Math.max(age, date === undefined ? 0 : storedAt - date - 1000, 0);
}
