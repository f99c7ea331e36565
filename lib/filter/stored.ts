import type { Cache, Entry } from '../cache/cache.ts';
import type { Config } from '../options.ts';
import type { Steps } from '../steps.ts';
import type { Exchange } from './exchange.ts';
import { lifetimeLeft } from './hit.ts';
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

  /** The entry, held, where it is fresh. Otherwise the exchange knows why there is none. */
  *open(exchange: Exchange): Steps<Entry | undefined> {
    const { key } = exchange;
    const { storeTimeoutMs } = this.#config;
    const late = (entry: Entry | undefined) => entry?.release(false);
    const entry = yield* tryInTime(exchange, storeTimeoutMs, () => this.#cache.open(key), late);
    if (entry === undefined) return undefined;
    const purged = this.#purger.isPurged(entry.info);
    if (!purged && lifetimeLeft(exchange.match.route, entry, Date.now()) > 0) return entry;
    entry.release(false);
    exchange.staleSince = entry.info.storedAt;
    exchange.info.reason = purged ? 'purge' : 'expired';
    return undefined;
  }
}
