import createDebug from 'debug';
import type { Entry } from './cache/cache.ts';
import type { Exchange } from './exchange.ts';
import type { HeaderPairs } from './http/body.ts';
import { formatReprDigest } from './http/digest.ts';
import { freshnessLifetime, initialAge } from './policy/freshness.ts';
import { send } from './response/send.ts';

const debug = createDebug('cache-filter:filter');

/** Answers from a stored entry: the head as it was, and what verified bytes let us add. */
export async function hit(exchange: Exchange, entry: Entry): Promise<void> {
  exchange.info.status = 'hit';
  const left = ttl(exchange, entry);
  const status = { hit: true, ...(Number.isFinite(left) ? { ttl: Math.floor(left / 1000) } : {}) };
  debug('%s: hit', exchange.key.primary);
  await send(exchange.asked, exchange.res, entry, {
    headers: () => [...exchange.statusField(status), ['Age', String(ageOf(entry))]],
    supplement: supplementOf(entry, exchange),
    signal: exchange.signal,
  });
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
  const digest = formatReprDigest(info.digests.filter(({ algorithm }) => algorithm === 'sha256'));
  const sha256 = info.digests.find(({ algorithm }) => algorithm === 'sha256');
  if (digest === undefined || sha256 === undefined) return [];
  // Middleware outside that rewrites bodies (compression) makes of it what has other bytes: parts of the two must not be put together.
  if (Object.hasOwn(res, 'write') && asked.headers['accept-encoding'] !== undefined) {
    return [['ETag', `W/"sha256-${sha256.hex}"`]];
  }
  return [
    ['ETag', `"sha256-${sha256.hex}"`],
    ['Repr-Digest', digest],
  ];
}
