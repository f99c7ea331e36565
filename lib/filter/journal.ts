// docs/reference/events.md

import createDebug from 'debug';
import type { CacheStats } from '../cache/cache.ts';
import { type CacheFilterEvents, isHeard, publish, type RequestEvent, type ServedEvent } from '../events.ts';
import type { Config } from '../options.ts';
import { ask, extended } from '../policy/hooks.ts';
import type { Reason } from '../reasons.ts';
import type { Sent } from '../response/send.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';

const debug = createDebug('cache-filter:filter');

/** What the filter has done since it was made, and what its cache holds. */
export interface FilterStats extends CacheStats {
  requests: {
    /** Answered from a stored entry. */
    hits: number;
    /** Nothing to answer from: they began a fill, followed one, or went on to the application. */
    misses: number;
    /** Left to the application, though an entry may have been there. */
    bypasses: number;
    /** The policy said no. */
    refusals: number;
    /** Of the misses: answered out of a fill that another request began. */
    collapsed: number;
    /** Not done with yet. */
    running: number;
  };
  /** Responses that became entries, and those that were not kept. */
  responses: { stored: number; rejected: number };
  /** Bytes of bodies handed to clients, by where they came from. */
  servedBytes: { hit: number; fill: number; collapsed: number; origin: number };
  /** How often each reason was given. */
  reasons: Partial<Record<Reason, number>>;
}

/** Notes what becomes of each request: for `getCacheInfo`, the counters, the events, the debug log. None of it can fail a response. */
export class Journal {
  readonly #config: Pick<Config, 'onServed' | 'hookTimeoutMs'>;
  readonly #requests = { hits: 0, misses: 0, bypasses: 0, refusals: 0, collapsed: 0 };
  readonly #responses = { stored: 0, rejected: 0 };
  readonly #servedBytes = { hit: 0, fill: 0, collapsed: 0, origin: 0 };
  readonly #reasons: Partial<Record<Reason, number>> = {};

  constructor(config: Pick<Config, 'onServed' | 'hookTimeoutMs'>) {
    this.#config = config;
  }

  /** Somebody wants to know how answers end. */
  get watchesAnswers(): boolean {
    return this.#config.onServed !== undefined || isHeard('cache-filter:served');
  }

  hit(exchange: Exchange): void {
    exchange.info.status = 'hit';
    this.#requests.hits++;
    debug('%s: hit', exchange.key.primary);
    this.#publish('cache-filter:hit', exchange, {});
  }

  /** Nothing to answer from. `reason`: why the application answers instead, unaccompanied. */
  miss(exchange: Exchange, reason?: Reason): void {
    exchange.info.status = 'miss';
    this.#requests.misses++;
    if (reason !== undefined) this.#note(exchange, reason);
    debug('%s: %s', exchange.key.primary, reason ?? 'miss');
    this.#publish('cache-filter:miss', exchange, reason === undefined ? {} : { reason });
  }

  collapsed(exchange: Exchange): void {
    exchange.info.collapsed = true;
    this.#requests.collapsed++;
    this.miss(exchange);
  }

  /** Its handler goes on with what another's began. */
  handedOver(exchange: Exchange, bytes: number): void {
    debug('%s: goes on with a fill that has %d bytes', exchange.key.primary, bytes);
    this.#publish('cache-filter:hand-over', exchange, { bytes });
  }

  bypass(exchange: Exchange, reason: Reason): void {
    exchange.info.status = 'bypass';
    this.#requests.bypasses++;
    this.#note(exchange, reason);
    debug('%s: %s', exchange.key.primary, reason);
    this.#publish('cache-filter:bypass', exchange, { reason });
  }

  refuse(exchange: Exchange, reason: Reason, status: number): void {
    exchange.info.status = 'bypass';
    this.#requests.refusals++;
    this.#note(exchange, reason);
    debug('%s: refused with %d: %s', exchange.key.primary, status, reason);
    this.#publish('cache-filter:refuse', exchange, { reason, status });
  }

  stored(exchange: Errand, size: number): void {
    this.#responses.stored++;
    debug('%s: stored, %d bytes', exchange.key.primary, size);
    this.#publish('cache-filter:store', exchange, { size });
  }

  rejected(exchange: Errand, reason: Reason, error?: unknown): void {
    exchange.info.stored = false;
    this.#responses.rejected++;
    this.#note(exchange, reason);
    debug('%s: not kept: %s %s', exchange.key.primary, reason, error ?? '');
    this.#publish('cache-filter:reject', exchange, { reason, ...(error === undefined ? {} : { error }) });
  }

  /** An answer of the filter's is over. */
  served(exchange: Exchange, source: ServedEvent['source'], size: number | undefined, sent: Sent): void {
    const { status, bytes, complete } = sent;
    this.#servedBytes[source] += bytes;
    if (!this.watchesAnswers) return;
    const came = { source, status, bytes, complete, ...(size === undefined ? {} : { size }) };
    this.#publish('cache-filter:served', exchange, came);
    void this.#tell(exchange, came);
  }

  hookFailed(exchange: Errand, hook: string, error: unknown): void {
    debug('%s: the hook %s failed: %o', exchange.key.primary, hook, error);
    this.#publish('cache-filter:hook-error', exchange, { hook, error });
  }

  stats(cache: CacheStats, running: number): FilterStats {
    return {
      ...cache,
      requests: { ...this.#requests, running },
      responses: { ...this.#responses },
      servedBytes: { ...this.#servedBytes },
      reasons: { ...this.#reasons },
    };
  }

  async #tell(exchange: Exchange, came: Omit<ServedEvent, keyof RequestEvent>): Promise<void> {
    const { onServed, hookTimeoutMs } = this.#config;
    if (onServed === undefined) return;
    try {
      await ask('onServed', onServed, extended(exchange.context, came), hookTimeoutMs);
    } catch (error) {
      this.hookFailed(exchange, 'onServed', error);
    }
  }

  #note(exchange: Errand, reason: Reason): void {
    exchange.info.reason = reason;
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1;
  }

  #publish<Name extends keyof CacheFilterEvents>(
    name: Name,
    { req, match, key }: Errand,
    more: Omit<CacheFilterEvents[Name], keyof RequestEvent>,
  ): void {
    publish(
      name,
      () =>
        ({
          ...(req === undefined ? {} : { req }),
          id: match.id,
          route: match.route.name,
          key,
          ...more,
        }) as CacheFilterEvents[Name],
    );
  }
}
