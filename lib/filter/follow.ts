import { AsyncResource } from 'node:async_hooks';
import type { Claim, FillReader, LeaderClaim } from '../cache/cache.ts';
import { parseCacheControl } from '../http/cache-control.ts';
import { isConditional } from '../http/conditional.ts';
import { firstPosition, parseRange } from '../http/ranges.ts';
import type { Config } from '../options.ts';
import type { Reason } from '../reasons.ts';
import { isCutOff, send } from '../response/send.ts';
import type { Exchange } from './exchange.ts';
import { fromFill, UNVERIFIED } from './from-fill.ts';
import { AnswerUnderWay, mayInherit } from './inherit.ts';
import type { Journal } from './journal.ts';

/** A range waits for a fill if it begins at most this far ahead of it, in bytes. */
const RANGE_AHEAD_BYTES: number = 16 * 2 ** 20;

/** A claim on what somebody else fetches. */
export type Following = Claim & { role: 'follower' };

/**
 * Streams a fill to one more client.
 * @param inherit goes on with the fill by this request's own handler, where that of its leader can't
 */
export async function follow(
  config: Config,
  exchange: Exchange,
  fill: FillReader,
  journal: Journal,
  inherit: (claim: LeaderClaim, answer: AnswerUnderWay) => Promise<void>,
): Promise<void> {
  journal.collapsed(exchange);
  const answer = new AnswerUnderWay(exchange, fill);
  let leading: Promise<void> | undefined;
  if (mayInherit(config, exchange)) {
    // In the context of this request: it is the other's failure that calls.
    const heir = AsyncResource.bind((claim: LeaderClaim) => {
      if (!answer.isOver) journal.handedOver(exchange, claim.inherited?.bytes ?? 0);
      leading = answer.isOver ? claim.abandon().catch(() => undefined) : inherit(claim, answer);
    });
    fill.inherit((claim) => heir(claim));
  }
  const { size } = fill;
  answer.sent = Promise.resolve(
    send(exchange.asked, answer.wire, fill, {
      headers: (unverified) =>
        exchange.statusField({ fwd: 'uri-miss', collapsed: true, ...(unverified ? UNVERIFIED : {}) }),
      ...fromFill(exchange, fill),
      signal: exchange.signal,
    }),
  );
  const sent = await answer.sent;
  if (isCutOff(sent)) exchange.left();
  journal.served(exchange, 'collapsed', size, sent);
  await leading;
}

/** Why a request should not begin a fill, though it may follow one. */
export function reluctanceOf(
  { coldRange }: Pick<Config, 'coldRange'>,
  { method, headers }: Exchange['asked'],
): Reason | undefined {
  if (method === 'HEAD') return 'head';
  // RFC 9111, 5.2.1.5: what is there already may be used, but the answer to this request is not to be kept.
  if (parseCacheControl(headers['cache-control']).has('no-store')) return 'no-store';
  if (isConditional(headers)) return 'conditional';
  if (headers.range === undefined || headers.range === '' || coldRange === 'direct') return undefined;
  const start = firstPosition(headers.range);
  return coldRange === 'bypass' || start === undefined || start > RANGE_AHEAD_BYTES ? 'range' : undefined;
}

/**
 * Why this client can't have what is being fetched; undefined where it can.
 * @param version that `metadata` says the resource is at
 */
export function unshareable(
  exchange: Exchange,
  fill: FillReader,
  version: string | undefined,
): Reason | undefined {
  const { asked } = exchange;
  if (!exchange.mayShare(fill.head)) return 'credentials';
  if (version !== undefined && fill.info.version !== version) return 'mismatch';
  if (asked.headers.range === undefined || fill.size === undefined) return undefined;
  const request = parseRange(asked.headers.range, fill.size);
  const start = request.kind === 'ranges' ? Math.max(...request.ranges.map((range) => range.start)) : 0;
  return start > RANGE_AHEAD_BYTES && fill.available(start - RANGE_AHEAD_BYTES) === 0 ? 'range' : undefined;
}

/** Lets go of what was promised. */
export function leave(claim: Following): void {
  void claim.fill.then((fill) => fill?.release());
}

/** Lets go of what was claimed too late. */
export function unclaim(claim: Claim | undefined): void {
  if (claim === undefined) return;
  if (claim.role === 'follower') leave(claim);
  else if (claim.role === 'entry') claim.entry.release(false);
  else if (claim.role === 'leader') void claim.abandon().catch(() => undefined);
}

/** The fill, unless it takes too long or the client leaves; it is released then, when it comes after all. */
export function waitFor(
  { fill }: Following,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<FillReader | undefined> {
  return new Promise((resolve) => {
    let given = false;
    const give = (reader?: FillReader) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      if (given) reader?.release();
      given = true;
      resolve(reader);
    };
    const giveUp = () => give();
    const timer = setTimeout(giveUp, timeoutMs);
    if (signal.aborted) giveUp();
    else signal.addEventListener('abort', giveUp, { once: true });
    void fill.then(give);
  });
}
