import type { Cache, Entry } from '../cache/cache.ts';
import type { Config } from '../options.ts';
import type { Steps } from '../steps.ts';
import type { Exchange } from './exchange.ts';
import { lifetimeLeft, staleFor } from './hit.ts';
import { tryInTime } from './in-time.ts';
import type { Purger } from './purge.ts';

/** What is stored, as far as it may be served. */
export class Stored {
  readonly #config: Config;
  readonly #cache: Cache;
  readonly #purger: Purger;

  constructor(config: Config, cache: Cache, purger: Purger) {
    this.#config = config;
    this.#cache = cache;
    this.#purger = purger;
  }

  /** The entry, held, where it is fresh, or may be served while the origin is asked. Otherwise the exchange knows why there is none. */
  *open(exchange: Exchange): Steps<Entry | undefined> {
    const entry = yield* this.#open(exchange);
    if (entry === undefined) return undefined;
    const purged = this.#purger.isPurged(entry.info);
    const now = Date.now();
    exchange.isStale = false;
    if (!purged && lifetimeLeft(exchange.match.route, entry, now) > 0) return entry;
    exchange.staleSince = entry.info.storedAt;
    // Without an origin of its own the filter can't bring anything up to date.
    if (!purged && this.#config.origin !== undefined) {
      const { swrForMs, sieForMs } = staleFor(exchange.match.route, entry, now);
      exchange.staleUntil = now + sieForMs;
      exchange.isStale = swrForMs > 0;
      if (exchange.isStale) return entry;
    }
    entry.release(false);
    exchange.info.reason = purged ? 'purge' : 'expired';
    return undefined;
  }

  /** The entry as it is, held, where the origin has failed and that is allowed. */
  *openStale(exchange: Exchange): Steps<Entry | undefined> {
    if (exchange.staleUntil <= Date.now()) return undefined;
    const entry = yield* this.#open(exchange);
    if (entry === undefined) return undefined;
    const now = Date.now();
    const mayServe =
      lifetimeLeft(exchange.match.route, entry, now) > 0 ||
      staleFor(exchange.match.route, entry, now).sieForMs > 0;
    if (mayServe && !this.#purger.isPurged(entry.info)) return entry;
    entry.release(false);
    return undefined;
  }

  /** The entry that the origin has just confirmed, though that could not be written down. */
  *openConfirmed(exchange: Exchange): Steps<Entry | undefined> {
    const entry = yield* this.#open(exchange);
    if (entry === undefined || !this.#purger.isPurged(entry.info)) return entry;
    entry.release(false);
    return undefined;
  }

  *#open(exchange: Exchange): Steps<Entry | undefined> {
    const late = (entry: Entry | undefined) => entry?.release(false);
    const { storeTimeoutMs } = this.#config;
    return yield* tryInTime(exchange, storeTimeoutMs, () => this.#cache.open(exchange.key), late);
  }
}
