import type { HeaderPairs } from '../http/body.ts';
import type { OriginRequest, OriginResponse } from './request.ts';

/** A 401, and the request that it answers. */
export interface Challenge {
  status: number;
  headers: HeaderPairs;
  /** Without redirects: the host that is asked is always the target's own. */
  url: URL;
  method: string;
  /** What `known` gave for this request, and has been refused now. */
  sent?: HeaderPairs | undefined;
  signal: AbortSignal;
}

/** Asks as `Origin.fetch` does, but within the turn of the request that was challenged. */
export type AuthenticateFetch = (request: OriginRequest) => Promise<OriginResponse>;

export interface Authenticate {
  /** The fields to repeat a request with; undefined: the 401 is the answer. What it throws fails the request. */
  (challenge: Challenge, fetch: AuthenticateFetch): Promise<HeaderPairs | undefined>;
  /** The fields that a request will need, as far as earlier challenges have told: it saves the round trip. */
  known?(request: { method: string; url: URL }): HeaderPairs | undefined;
}
