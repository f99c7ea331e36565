import createDebug from 'debug';
import type { Cache } from '../cache/cache.ts';
import type { Config } from '../options.ts';
import { Origin } from '../origin/origin.ts';
import type { Reason } from '../reasons.ts';
import { Background } from './background.ts';
import { ColdRanges } from './cold-ranges.ts';
import type { Errand } from './errand.ts';
import type { Gate } from './gate.ts';
import type { Journal } from './journal.ts';
import type { Leads } from './leads.ts';
import { OriginLeader } from './origin-leader.ts';
import { Prefetcher } from './prefetch/prefetcher.ts';
import type { Purger } from './purge.ts';
import { Relay } from './relay.ts';
import type { Running } from './running.ts';
import { Supplier } from './supplier.ts';

const debug = createDebug('cache-filter:prefetch');

interface PullingTools {
  cache: Cache;
  journal: Journal;
  gate: Gate;
  leads: Leads;
  purger: Purger;
}

/** All that a filter with an origin has of its own. */
export class Pulling {
  readonly relay: Relay;
  readonly leader: OriginLeader;
  readonly prefetcher: Prefetcher;
  readonly cold: ColdRanges;
  readonly #origin: Origin;

  constructor(
    config: Config,
    { cache, journal, gate, leads, purger }: PullingTools,
    pulls: Running,
    remember: (errand: Errand, reason: Reason) => void,
  ) {
    const origin = new Origin(config.upstream);
    const supplier = new Supplier(config);
    this.#origin = origin;
    this.relay = new Relay(origin, supplier, journal, config);
    this.cold = new ColdRanges({ config, cache, origin, supplier, relay: this.relay, journal, purger });
    const background = new Background(config);
    this.leader = new OriginLeader({
      config,
      origin,
      journal,
      supplier,
      relay: this.relay,
      leads,
      pulls,
      background,
      remember,
    });
    this.prefetcher = new Prefetcher({ config, cache, gate, leads, leader: this.leader, supplier });
    void this.prefetcher.reload().catch((error: unknown) => debug('the queue can not be read: %o', error));
  }

  /** Something is to be fetched, ahead of time or in parts. */
  get isBusy(): boolean {
    return this.prefetcher.list().length > 0;
  }

  async idle(): Promise<void> {
    await Promise.all([this.prefetcher.idle(), this.cold.idle()]);
  }

  /** Ends its connections. */
  close(): void {
    this.prefetcher.close();
    this.cold.close();
    this.#origin.close();
  }
}
