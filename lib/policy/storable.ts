// docs/guides/nothing-is-cached.md

import type { HeaderPairs, ResponseHead } from '../http/body.ts';
import { parseCacheControl } from '../http/cache-control.ts';
import { declaredDigests } from '../http/digest.ts';
import { fieldValue, listMembers } from '../http/headers.ts';
import type { Reason } from '../reasons.ts';
import { type Freshness, freshnessLifetime, isFixed } from './freshness.ts';

/** A response, as far as it is known before its body. */
export interface Candidate extends ResponseHead {
  /** Every field, those of earlier middleware included; `headers` are the handler's own. */
  all: HeaderPairs;
  /** Bytes of the body, where that is known. */
  length?: number;
}

/** What the route, and the request, ask of a response that is to be kept. */
export interface StoringRules {
  freshness: Freshness;
  /** Lower-case request headers that are part of the key. */
  vary: readonly string[];
  /** Lower-case request headers that whoever answered may have seen; undefined: all of them. By no other can its answer vary. */
  told?: readonly string[];
  minEntryBytes: number;
  maxEntryBytes: number;
  /** The request carried credentials, and nothing but the response can say that others may have its answer. */
  credentials: boolean;
}

/** Why a response may not be kept; undefined where it may. What the handler forbids, no option allows. */
export function refusal(response: Candidate, rules: StoringRules, now: number): Reason | undefined {
  const { headers, all, length } = response;
  if (response.status !== 200) return 'not-200';
  if (fieldValue(headers, 'set-cookie') !== undefined) return 'set-cookie';
  const control = parseCacheControl(fieldValue(all, 'cache-control'));
  if (control.has('private')) return 'private';
  if (control.has('no-store')) return 'no-store';
  // With field names it is no word about lifetimes, which an option may override: these fields are for one user.
  const noCache = control.get('no-cache');
  if (typeof noCache === 'string' || (noCache !== undefined && !isFixed(rules.freshness))) return 'no-store';
  const vary = fieldValue(headers, 'vary');
  if (vary !== undefined && !coveredBy(rules, listMembers(vary))) return 'vary';
  if (fieldValue(all, 'content-encoding') !== fieldValue(headers, 'content-encoding')) return 'encoding';
  if (rules.credentials && !isPublic(response)) return 'credentials';
  // By what a hit will have to go by: the handler's own fields.
  if (!freshnessLifetime(response, rules.freshness, now)) return 'no-freshness';
  if (length !== undefined && length > rules.maxEntryBytes) return 'too-large';
  if (length !== undefined && length < rules.minEntryBytes) return 'too-small';
  return undefined;
}

/** Whether the key has all that the response varies by. An empty Vary was meant to name something. */
function coveredBy({ vary, told }: StoringRules, varies: readonly string[]): boolean {
  const isCovered = (name: string) => vary.includes(name) || (told !== undefined && !told.includes(name));
  return varies.length > 0 && varies.every((name) => name !== '*' && isCovered(name.toLowerCase()));
}

/** Whether the response says that it is for everybody, whoever asked first (RFC 9111, 3.5). */
export function isPublic(head: ResponseHead): boolean {
  const control = parseCacheControl(fieldValue(head.headers, 'cache-control'));
  return control.has('public') || control.has('s-maxage');
}

/** Refusals that will meet the next response for the same key as well. */
const LASTING: ReadonlySet<Reason> = new Set([
  'no-digest',
  'no-freshness',
  'no-length',
  'no-store',
  'private',
  'set-cookie',
  'too-large',
  'too-small',
  'vary',
]);

/** Whether the refusal is about the representation, not about this one request. */
export function isLasting(reason: Reason): boolean {
  return LASTING.has(reason);
}

/** Why nothing would prove the body; undefined where something will. `expected`: a digest is known from elsewhere. */
export function unprovable(
  { headers, length }: Candidate,
  integrity: 'length' | 'digest' | 'end',
  expected: boolean,
): Reason | undefined {
  if (integrity === 'end' || expected) return undefined;
  const trailers = listMembers(fieldValue(headers, 'trailer') ?? '').map((name) => name.toLowerCase());
  const digest = declaredDigests(headers).length > 0 || trailers.some((name) => DIGEST_TRAILERS.has(name));
  if (integrity === 'digest') return digest ? undefined : 'no-digest';
  return digest || length !== undefined ? undefined : 'no-length';
}

const DIGEST_TRAILERS: ReadonlySet<string> = new Set([
  'repr-digest',
  'content-digest',
  'content-md5',
  'docker-content-digest',
]);
