// docs/guides/origin.md

import createDebug from 'debug';
import type { Cache, Claim } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';
import type { Config } from '../options.ts';
import { isAnswer } from '../origin/places.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';
import { unclaim } from './follow.ts';
import { inTime } from './in-time.ts';
import type { Journal } from './journal.ts';
import type { Leads } from './leads.ts';
import type { OriginLeader } from './origin-leader.ts';
import { isGone } from './revalidation.ts';
import type { Running } from './running.ts';
import type { Standby } from './standby.ts';
import type { Supplier } from './supplier.ts';

const debug = createDebug('cache-filter:filter');

/** What the renewals need of the filter that they belong to. */
export interface RenewalsTools {
  config: Config;
  cache: Cache;
  journal: Journal;
  supplier: Supplier;
  leads: Leads;
  leader: OriginLeader;
  standby: Standby;
  pulls: Running;
}

/** Brings up to date what was served though it is stale. Nobody waits for it. */
export class Renewals {
  readonly #tools: RenewalsTools;
  readonly #running = new Set<string>();

  constructor(tools: RenewalsTools) {
    this.#tools = tools;
  }

  /** Once a key at a time, in all processes; not where it has only just failed, or as many fills run as may. */
  begin(exchange: Exchange): void {
    const { leads, standby, pulls } = this.#tools;
    const id = idOf(exchange.key);
    const { staleSince } = exchange;
    if (staleSince === undefined || this.#running.has(id)) return;
    if (standby.isSetBack(exchange) || leads.isFull(exchange.key)) return;
    this.#running.add(id);
    const end = new AbortController();
    const renewing = this.#renew(errandOf(exchange, end.signal), staleSince, end.signal)
      .catch((error: unknown) => debug('%s stays stale: %o', exchange.key.primary, error))
      .finally(() => this.#running.delete(id));
    pulls.add({ stop: (reason) => end.abort(reason) }, renewing);
  }

  async #renew(errand: Errand, newerThan: number, signal: AbortSignal): Promise<void> {
    const { cache, config, leads, leader, standby, supplier } = this.#tools;
    const claiming = () => inTime(cache.claim(errand.key, { newerThan }), config.storeTimeoutMs, unclaim);
    const claim: Claim | undefined = await leads.claim(errand.key, claiming);
    if (claim?.role !== 'leader') return unclaim(claim);
    const supply = await supplier.find(errand).catch(() => undefined);
    if (supply === undefined || isAnswer(supply) || signal.aborted) {
      standby.failed(errand);
      leads.ended();
      return claim.abandon();
    }
    await new Promise<void>((resolve) => {
      const pull = leader.pull(errand, claim, supply, {
        renewed: (entry) => {
          if (!('declined' in entry)) entry.release(false);
          resolve();
        },
        begun: () => resolve(),
        declined: (response) => {
          if (!isGone(response.status)) standby.failed(errand);
          response.body.on('error', () => undefined).destroy();
          resolve();
        },
        failed: () => {
          standby.failed(errand);
          resolve();
        },
        // Somebody has what was there before: that all have left is no reason to give up.
        sent: Promise.resolve({ complete: true }),
      });
      signal.addEventListener('abort', () => pull.stop(signal.reason as Error), { once: true });
    });
  }
}

/** The same errand, of nobody: whoever began it may leave, and what is found out says nothing of the answer that was given. */
function errandOf(exchange: Exchange, signal: AbortSignal): Errand {
  const { req, match, key, tag, target, credentials, version, asked, info } = exchange;
  const { range: _, 'if-range': __, ...headers } = asked.headers;
  const { id, route, params, digest } = exchange.context;
  return {
    req,
    match,
    key,
    tag,
    target,
    asked: { method: 'GET', headers },
    credentials,
    version,
    context: {
      req,
      id,
      key: key.primary,
      route,
      params,
      signal,
      ...(digest === undefined ? {} : { digest }),
    },
    info: { ...info },
  };
}
