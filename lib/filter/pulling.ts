import createDebug from 'debug';
import type { Cache, Invalidation } from '../cache/cache.ts';
import type { Config } from '../options.ts';
import { Origin } from '../origin/origin.ts';
import type { Reason } from '../reasons.ts';
import { Background } from './background.ts';
import { ColdRanges } from './cold-ranges.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';
import type { Gate } from './gate.ts';
import type { Leads } from './leads.ts';
import { Negatives } from './negatives.ts';
import { OriginLeader } from './origin-leader.ts';
import { Prefetcher } from './prefetch/prefetcher.ts';
import type { Purger } from './purge.ts';
import { Relay } from './relay.ts';
import { Renewals } from './renewals.ts';
import type { Running } from './running.ts';
import { Standby, type StandbyTools } from './standby.ts';
import { Supplier } from './supplier.ts';

const debug = createDebug('cache-filter:prefetch');

/** What a filter with an origin needs of the rest of it. */
export interface PullingTools extends Omit<StandbyTools, 'negatives'> {
  cache: Cache;
  gate: Gate;
  purger: Purger;
  leads: Leads;
  /** What is fetched at the moment. */
  pulls: Running;
  remember(errand: Errand, reason: Reason): void;
  /** Begins again with a request for what is not stored. */
  again(exchange: Exchange): Promise<() => unknown>;
}

/** All that a filter with an origin has of its own. */
export class Pulling {
  readonly relay: Relay;
  readonly leader: OriginLeader;
  readonly prefetcher: Prefetcher;
  readonly cold: ColdRanges;
  readonly #origin: Origin;
  readonly #supplier: Supplier;
  readonly #negatives: Negatives;
  readonly #renewals: Renewals;

  constructor(config: Config, tools: PullingTools) {
    const origin = new Origin(config.upstream);
    const supplier = new Supplier(config);
    const { journal } = tools;
    this.#origin = origin;
    this.#supplier = supplier;
    this.#negatives = new Negatives({ ttlMs: config.negativeTtlMs, dropHeaders: config.dropHeaders });
    const standby = new Standby({ ...tools, negatives: this.#negatives });
    this.relay = new Relay(origin, supplier, journal, config);
    this.relay.standby = standby;
    this.cold = new ColdRanges({ ...tools, config, origin, supplier, relay: this.relay });
    const background = new Background(config);
    const common = { ...tools, config, supplier, standby, background };
    this.leader = new OriginLeader({ ...common, origin, relay: this.relay });
    this.#renewals = new Renewals({ ...common, leader: this.leader });
    this.prefetcher = new Prefetcher({ ...common, leader: this.leader });
    void this.prefetcher.reload().catch((error: unknown) => debug('the queue can not be read: %o', error));
  }

  /** @throws RefusedError for a request that comes from this filter itself */
  requireNoLoop(exchange: Exchange): void {
    this.#supplier.requireNoLoop(exchange);
  }

  /** Something is to be fetched, ahead of time or in parts. */
  get isBusy(): boolean {
    return this.prefetcher.list().length > 0;
  }

  async idle(): Promise<void> {
    await Promise.all([this.prefetcher.idle(), this.cold.idle()]);
  }

  /** What was served is stale: brings it up to date. */
  renew(exchange: Exchange): void {
    this.#renewals.begin(exchange);
  }

  /** What the origin said does not hold any more. */
  invalidate(what: Invalidation): void {
    this.#negatives.invalidate(what);
  }

  /** Ends its connections. */
  close(): void {
    this.prefetcher.close();
    this.cold.close();
    this.#origin.close();
  }
}
