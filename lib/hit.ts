import type { Entry } from './cache/cache.ts';
import type { Exchange } from './exchange.ts';
import type { HeaderPairs } from './http/body.ts';
import { wantedReprDigest } from './http/digest.ts';
import type { Journal } from './journal.ts';
import { freshnessLifetime, initialAge } from './policy/freshness.ts';
import { send } from './response/send.ts';
import { type Steps, wait } from './steps.ts';

/** A body in memory of at most this size is handed to the connection in one go; a larger one goes at the client's pace. In bytes. */
const AT_ONCE_BYTES = 2 ** 20;

/** Answers from a stored entry: the head as it was, and what verified bytes let us add. */
export function* hit(exchange: Exchange, entry: Entry, journal: Journal): Steps<void> {
  journal.hit(exchange);
  const left = ttl(exchange, entry);
  const status = { hit: true, ...(Number.isFinite(left) ? { ttl: Math.floor(left / 1000) } : {}) };
  const atOnce = entry.bytes !== undefined && entry.size <= AT_ONCE_BYTES;
  const settled = !atOnce || journal.watchesAnswers;
  const sent = yield* wait(
    send(exchange.asked, exchange.res, entry, {
      headers: () => [...exchange.statusField(status), ['Age', String(ageOf(entry))]],
      supplement: supplementOf(entry, exchange),
      settled,
      ...(settled ? { signal: exchange.signal } : {}),
    }),
  );
  journal.served(exchange, 'hit', entry.size, sent);
}

/** How much longer the entry is fresh, in milliseconds. */
export function ttl({ match }: Exchange, { head, info }: Entry): number {
  return (freshnessLifetime(head, match.route.freshness, info.storedAt) ?? 0) - (Date.now() - info.storedAt);
}

/** RFC 9111, 4.2.3, in whole seconds. */
function ageOf({ head, info }: Entry): number {
  return Math.floor((initialAge(head, info.storedAt) + Math.max(0, Date.now() - info.storedAt)) / 1000);
}

/** A strong validator, and the digest itself (RFC 9530), where the response has none. */
function supplementOf({ info }: Entry, { res, asked }: Exchange): HeaderPairs {
  const sha256 = info.digests.find(({ algorithm }) => algorithm === 'sha256');
  if (sha256 === undefined) return [];
  const { headers } = asked;
  // Middleware outside that rewrites bodies (compression) makes of it what has other bytes: parts of the two must not be put together.
  if (Object.hasOwn(res, 'write') && headers['accept-encoding'] !== undefined) {
    return [['ETag', `W/"sha256-${sha256.hex}"`]];
  }
  const etag = ['ETag', `"sha256-${sha256.hex}"`] as const;
  const want = headers['want-repr-digest'];
  const digest = wantedReprDigest(Array.isArray(want) ? want.join(',') : want, info.digests);
  return digest === undefined ? [etag] : [etag, ['Repr-Digest', digest]];
}
