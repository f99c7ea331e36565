// docs/guides/origin.md

import createDebug from 'debug';
import type { Declined, Entry, LeaderClaim } from '../cache/cache.ts';
import type { ResponseHead } from '../http/body.ts';
import { formatHttpDate } from '../http/date.ts';
import { freshened } from '../http/freshened.ts';
import { fieldValue, storedHeaders } from '../http/headers.ts';
import type { Origin } from '../origin/origin.ts';
import type { OriginRequest, OriginResponse } from '../origin/request.ts';
import type { TappedHead } from '../response/tap/head.ts';
import { inTime } from './in-time.ts';
import { conditions } from './revalidation.ts';

const debug = createDebug('cache-filter:fill');

/** What is stale, and what makes of a 304 that it stays. */
export interface Asking {
  /** As it is stored; undefined where nothing is. */
  previous: Entry | undefined;
  /** Lower-case names of fields that are not stored. */
  dropHeaders: ReadonlySet<string>;
  /** Why something with this head may not be kept. */
  refusal(head: TappedHead): unknown;
}

/**
 * Asks the origin for a body, or whether it still has the one that is stored (RFC 9111, 4.3): then what it says of it, and how many bytes that
 * has. Rejects as `Origin.fetch` does.
 */
export async function ask(
  origin: Origin,
  request: OriginRequest,
  { previous, dropHeaders, refusal }: Asking,
): Promise<OriginResponse | { update: ResponseHead; size: number }> {
  const asking = previous === undefined ? [] : conditions(previous.head);
  if (previous === undefined || asking.length === 0) return origin.fetch(request);
  const { size, head: stored } = previous;
  const response = await origin.fetch({ ...request, headers: [...request.headers, ...asking] });
  if (response.status !== 304) return response;
  response.body.on('error', () => undefined).destroy();
  const update = { status: 304, headers: storedHeaders(headOf(response).headers, dropHeaders) };
  const head = freshened(stored, update);
  const stays = head !== undefined && refusal({ ...head, all: head.headers, length: size }) === undefined;
  // It is about something else, or what it says forbids to keep what there is.
  return stays ? { update, size } : origin.fetch(request);
}

/** Brings up to date what is stored. A cache that fails is one that declines. */
export async function renew(
  claim: LeaderClaim,
  update: ResponseHead,
  { version, timeoutMs }: { version: string | undefined; timeoutMs: number },
): Promise<Entry | Declined> {
  try {
    const refreshing = claim.refresh(update, version === undefined ? {} : { version });
    return await inTime(refreshing, timeoutMs, (late) => {
      if (!('declined' in late)) late.release(false);
    });
  } catch (error) {
    debug('the cache failed to renew: %o', error);
    return { declined: 'store-down' };
  }
}

/** What is known of a response before its body, with the time at which it came. */
export function headOf({ status, statusMessage, headers }: OriginResponse): TappedHead {
  const dated =
    fieldValue(headers, 'date') === undefined
      ? [...headers, ['Date', formatHttpDate(Date.now())] as const]
      : headers;
  const declared = fieldValue(headers, 'content-length');
  const length = declared !== undefined && /^\d+$/.test(declared) ? Number(declared) : undefined;
  return {
    status,
    ...(statusMessage === '' ? {} : { statusMessage }),
    headers: dated,
    all: dated,
    ...(length === undefined ? {} : { length }),
  };
}
