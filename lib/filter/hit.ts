import createDebug from 'debug';
import type { Entry, EntryInfo } from '../cache/cache.ts';
import type { HeaderPairs } from '../http/body.ts';
import { wantedReprDigest } from '../http/digest.ts';
import { type Freshness, freshnessLifetime, initialAge } from '../policy/freshness.ts';
import { decide } from '../response/plan.ts';
import { send } from '../response/send.ts';
import type { ResolvedRoute } from '../routes/route.ts';
import { run, type Steps, wait } from '../steps.ts';
import type { Exchange } from './exchange.ts';
import type { Journal } from './journal.ts';

const debug = createDebug('cache-filter:filter');

/** A body in memory of at most this size is handed to the connection in one go; a larger one goes at the client's pace. In bytes. */
const AT_ONCE_BYTES = 2 ** 20;

/**
 * How to answer from a stored entry. undefined: what the answer begins with is not what was stored. The cache has dropped the entry then, it
 * is released, and nothing has been said yet.
 */
export function* answerFrom(
  exchange: Exchange,
  entry: Entry,
  journal: Journal,
): Steps<(() => unknown) | undefined> {
  return (yield* isSound(exchange, entry)) ? () => run(hit(exchange, entry, journal)) : undefined;
}

function* isSound(exchange: Exchange, entry: Entry): Steps<boolean> {
  if (entry.prepare === undefined || exchange.asked.method === 'HEAD') return true;
  const { asked } = exchange;
  const { status, ranges } = decide(asked, entry.head, entry.size, supplementOf(exchange, entry));
  if (status >= 300) return true;
  try {
    yield* wait(entry.prepare(ranges?.[0]));
    return true;
  } catch (error) {
    debug('%s: nothing to answer from: %o', exchange.key.primary, error);
    entry.release(false);
    return false;
  }
}

/** Answers from a stored entry: the head as it was, and what verified bytes let us add. */
function* hit(exchange: Exchange, entry: Entry, journal: Journal): Steps<void> {
  journal.hit(exchange);
  const { initialAgeMs } = factsOf(exchange.match.route, entry);
  const now = Date.now();
  const { storedAt } = entry.info;
  const left = lifetimeLeft(exchange.match.route, entry, now);
  // RFC 9111, 4.2.3, in whole seconds.
  const age = Math.floor((initialAgeMs + Math.max(0, now - storedAt)) / 1000);
  const status = { hit: true, ...(Number.isFinite(left) ? { ttl: Math.floor(left / 1000) } : {}) };
  const atOnce = entry.bytes !== undefined && entry.size <= AT_ONCE_BYTES;
  const settled = !atOnce || journal.watchesAnswers;
  const sent = yield* wait(
    send(exchange.asked, exchange.res, entry, {
      headers: () => [...exchange.statusField(status), ['Age', String(age)]],
      supplement: supplementOf(exchange, entry),
      settled,
      timeoutMs: exchange.sendTimeoutMs,
      ...(settled ? { signal: exchange.signal } : {}),
    }),
  );
  journal.served(exchange, 'hit', entry.size, sent);
}

/** How much longer the entry is fresh, in milliseconds. */
export function lifetimeLeft(route: Pick<ResolvedRoute, 'freshness'>, entry: Entry, now: number): number {
  return factsOf(route, entry).lifetimeMs - (now - entry.info.storedAt);
}

/** What follows from an entry alone. */
interface Facts {
  freshness: Freshness;
  lifetimeMs: number;
  initialAgeMs: number;
  supplement: HeaderPairs;
}

const facts = new WeakMap<EntryInfo, Facts>();

function factsOf({ freshness }: Pick<ResolvedRoute, 'freshness'>, { head, info }: Entry): Facts {
  let found = facts.get(info);
  if (found === undefined || found.freshness !== freshness) {
    found = {
      freshness,
      lifetimeMs: freshnessLifetime(head, freshness, info.storedAt) ?? 0,
      initialAgeMs: initialAge(head, info.storedAt),
      supplement: validators(info, undefined),
    };
    facts.set(info, found);
  }
  return found;
}

/** Whether the request says nothing that changes what may be added to the head. */
function isPlain({ res, asked: { headers } }: Exchange): boolean {
  return headers['want-repr-digest'] === undefined && !Object.hasOwn(res, 'write');
}

function supplementOf(exchange: Exchange, entry: Entry): HeaderPairs {
  return isPlain(exchange)
    ? factsOf(exchange.match.route, entry).supplement
    : supplementFor(exchange, entry.info);
}

function supplementFor({ res, asked: { headers } }: Exchange, info: EntryInfo): HeaderPairs {
  const want = headers['want-repr-digest'];
  const all = validators(info, Array.isArray(want) ? want.join(',') : want);
  if (!Object.hasOwn(res, 'write') || headers['accept-encoding'] === undefined) return all;
  // Middleware outside that rewrites bodies (compression) makes of it what has other bytes: parts of the two must not be put together.
  return all.filter(([name]) => name === 'ETag').map(([name, value]) => [name, `W/${value}`]);
}

/** A strong validator, and the digest itself (RFC 9530), where the response has none. */
function validators({ digests }: EntryInfo, want: string | undefined): HeaderPairs {
  const sha256 = digests.find(({ algorithm }) => algorithm === 'sha256');
  if (sha256 === undefined) return [];
  const digest = wantedReprDigest(want, digests);
  const etag = ['ETag', `"sha256-${sha256.hex}"`] as const;
  return digest === undefined ? [etag] : [etag, ['Repr-Digest', digest]];
}
