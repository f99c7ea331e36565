import type { ResponseHead } from '../http/body.ts';
import { deltaSeconds, parseCacheControl } from '../http/cache-control.ts';
import { parseHttpDate } from '../http/date.ts';
import { fieldValue, fieldValues } from '../http/headers.ts';

/**
 * How long an entry may be served.
 * `'response'`: what the response says (s-maxage, max-age, Expires; none or 0: not stored).
 * `'immutable'`: for ever, whatever the response says; for URLs whose content never changes.
 * An object: see {@link FreshnessTimes}.
 */
export type Freshness = 'response' | 'immutable' | FreshnessTimes;

/** Times in milliseconds; at least one of them. What is left out is as the response says. */
export interface FreshnessTimes {
  /** How long an entry is fresh, whatever the response says. */
  ttlMs?: number;
  /** Beyond that an answer is given at once, and the origin asked in the background. 0: never. */
  staleWhileRevalidateMs?: number;
  /** Beyond that an answer is given where the origin fails. 0: never. */
  staleIfErrorMs?: number;
}

const TIMES: Record<keyof FreshnessTimes, (time: number) => boolean> = {
  ttlMs: (time) => time > 0,
  staleWhileRevalidateMs: (time) => time >= 0,
  staleIfErrorMs: (time) => time >= 0,
};

/** What is wrong with a value given as freshness; undefined when nothing is. */
export function freshnessProblem(value: unknown): string | undefined {
  if (value === 'response' || value === 'immutable' || areTimes(value)) return undefined;
  return (
    "must be 'response', 'immutable' or { ttlMs: a number of milliseconds above 0, " +
    'staleWhileRevalidateMs, staleIfErrorMs: 0 or more }, one of them at least'
  );
}

function areTimes(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const given = Object.entries(value).filter(([, time]) => time !== undefined);
  return given.length > 0 && given.every(([name, time]) => isTime(name, time));
}

function isTime(name: string, time: unknown): boolean {
  return Object.hasOwn(TIMES, name) && typeof time === 'number' && TIMES[name as keyof FreshnessTimes](time);
}

/** Whether it asks for stale answers, which nobody but an origin of the filter's own can bring up to date. */
export function needsOrigin(freshness: Freshness): boolean {
  if (typeof freshness !== 'object') return false;
  return freshness.staleWhileRevalidateMs !== undefined || freshness.staleIfErrorMs !== undefined;
}

/** Whether it says by itself how long a response is fresh. */
export function isFixed(freshness: Freshness): boolean {
  return freshness === 'immutable' || (typeof freshness === 'object' && freshness.ttlMs !== undefined);
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
  if (typeof freshness === 'object' && freshness.ttlMs !== undefined) return freshness.ttlMs;
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

/** How much longer an entry may be used, in milliseconds; what is over is 0 or less. */
export interface Staleness {
  /** Without asking the origin. Below 0: stale since. */
  freshForMs: number;
  /** While the origin is asked. */
  swrForMs: number;
  /** Where the origin fails. */
  sieForMs: number;
}

/** These forbid to use what is stale, even where the origin can't be reached (RFC 9111, 4.2.4); s-maxage implies the second of them. */
const STRICT = ['must-revalidate', 'proxy-revalidate', 's-maxage', 'no-cache'];

/**
 * What may still be done with a response that arrived at `storedAt`. Beyond its lifetime that is what the option says, and where
 * that has no word about it, what the response does (RFC 5861), unless it also forbids it.
 */
export function staleness(
  head: ResponseHead,
  freshness: Freshness,
  storedAt: number,
  now: number,
): Staleness {
  const freshForMs = (freshnessLifetime(head, freshness, storedAt) ?? 0) - (now - storedAt);
  if (freshness === 'immutable') return { freshForMs, swrForMs: freshForMs, sieForMs: freshForMs };
  const control = parseCacheControl(fieldValue(head.headers, 'cache-control'));
  const isStrict = STRICT.some((name) => control.has(name));
  const { staleWhileRevalidateMs, staleIfErrorMs } = typeof freshness === 'object' ? freshness : {};
  const left = (option: number | undefined, directive: string) => {
    const said = isStrict ? 0 : (deltaSeconds(control.get(directive)) ?? 0) * 1000;
    return freshForMs + (option ?? said);
  };
  return {
    freshForMs,
    swrForMs: left(staleWhileRevalidateMs, 'stale-while-revalidate'),
    sieForMs: left(staleIfErrorMs, 'stale-if-error'),
  };
}

/** The age that the response had when it arrived, in milliseconds (RFC 9111, 4.2.3). */
export function initialAge(head: ResponseHead, storedAt: number): number {
  const age = (deltaSeconds(fieldValues(head.headers, 'age')[0]) ?? 0) * 1000;
  const date = parseHttpDate(fieldValues(head.headers, 'date')[0] ?? '');
  return Math.max(age, date === undefined ? 0 : storedAt - date - 1000, 0);
}
