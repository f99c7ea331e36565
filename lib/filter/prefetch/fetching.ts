import type { Cache, Fill, FillReader } from '../../cache/cache.ts';
import { IncompleteError, PrefetchError } from '../../errors.ts';
import type { Config } from '../../options.ts';
import { isAnswer } from '../../origin/places.ts';
import type { Reason } from '../../reasons.ts';
import type { Gate } from '../gate.ts';
import { lifetimeLeft } from '../hit.ts';
import { inTime } from '../in-time.ts';
import type { Leads } from '../leads.ts';
import type { OriginLeader } from '../origin-leader.ts';
import type { Supplier } from '../supplier.ts';
import type { Job, Prefetched } from './job.ts';
import type { Unattended } from './unattended.ts';

/** How often it is looked how far a fill is, in milliseconds. */
const LOOK_MS = 250;

export interface FetchingTools {
  config: Config;
  cache: Cache;
  gate: Gate;
  leads: Leads;
  leader: OriginLeader;
  supplier: Supplier;
}

/** Sees to it, once, that something is stored. Rejects with why it is not. */
export class Fetching {
  readonly #tools: FetchingTools;

  constructor(tools: FetchingTools) {
    this.#tools = tools;
  }

  async run(errand: Unattended, job: Job): Promise<Prefetched> {
    const { cache, config, gate, leads } = this.#tools;
    const { key } = errand;
    const stored = await inTime(Promise.resolve(cache.open(key)), config.storeTimeoutMs, (late) =>
      late?.release(false),
    );
    const isFresh = stored !== undefined && lifetimeLeft(errand.match.route, stored, Date.now()) > 0;
    stored?.release(false);
    if (stored !== undefined && isFresh) return { key, size: stored.size, fetched: false };
    const verdict = await gate.judgeUnattended(errand);
    if (verdict.do !== 'serve')
      throw new PrefetchError(
        `metadata says of ${job.wanted.path} that it is ${verdict.reason}`,
        verdict.reason,
      );
    const options = stored === undefined ? {} : { newerThan: stored.info.storedAt };
    const claim = await leads.claim(key, () => cache.claim(key, options));
    switch (claim?.role) {
      case 'entry':
        claim.entry.release(false);
        return { key, size: claim.entry.size, fetched: false };
      case 'follower': {
        const fill = await claim.fill;
        if (fill === undefined)
          throw new PrefetchError(
            `${key.primary} is fetched by somebody else, who can't share it`,
            'collapse',
          );
        return { ...(await this.#watch(fill, job)), key, fetched: false };
      }
      case 'leader': {
        const supply = await this.#tools.supplier.find(errand).catch(async (error: unknown) => {
          leads.ended();
          await claim.abandon();
          throw error;
        });
        if (supply === undefined || isAnswer(supply)) {
          leads.ended();
          await claim.abandon();
          throw new PrefetchError(
            `the origin function says of no origin that it has ${job.wanted.path}`,
            'answered',
          );
        }
        if (job.stop.signal.aborted) {
          leads.ended();
          await claim.abandon();
          throw job.stop.signal.reason as Error;
        }
        const begun = await this.#begun(errand, job, claim, supply);
        // What there was is what the origin has.
        if ('renewed' in begun) return { key, size: begun.renewed, fetched: false };
        return { ...(await this.#watch(begun, job)), key, fetched: true };
      }
    }
    throw new PrefetchError(`${key.primary} can't be stored now`, claim?.reason ?? 'store-down');
  }

  #begun(
    ...[errand, job, claim, supply]: [
      Unattended,
      Job,
      Parameters<OriginLeader['pull']>[1],
      Parameters<OriginLeader['pull']>[2],
    ]
  ): Promise<FillReader | { renewed: number }> {
    return new Promise((resolve, reject) => {
      const pull = this.#tools.leader.pull(
        errand,
        claim,
        supply,
        {
          begun: (fill: Fill) => resolve(fill.reader()),
          renewed: (entry) => {
            if ('declined' in entry)
              return reject(new PrefetchError(`${errand.key.primary} can't be renewed now`, entry.declined));
            entry.release(false);
            resolve({ renewed: entry.size });
          },
          declined: (response, reason: Reason) => {
            response.body.destroy();
            const answered = reason === 'not-200' ? response.status : undefined;
            const status = answered === undefined ? '' : ` (${answered})`;
            reject(
              new PrefetchError(
                `what the origin gave of ${job.wanted.path} is not kept: ${reason}${status}`,
                reason,
                answered,
              ),
            );
          },
          failed: reject,
        },
        { unattended: true },
      );
      job.stop.signal.addEventListener('abort', () => pull.stop(job.stop.signal.reason as Error));
    });
  }

  /** Keeps the fill alive until it is over. */
  async #watch(fill: FillReader, job: Job): Promise<{ size: number }> {
    const look = () => {
      const bytes = fill.available(0);
      if (bytes === job.bytes && job.size === fill.size) return;
      job.bytes = bytes;
      job.size = fill.size;
      job.changed();
    };
    const timer = setInterval(look, LOOK_MS);
    const leave = () => fill.release();
    job.stop.signal.addEventListener('abort', leave, { once: true });
    try {
      look();
      const end = await Promise.race([fill.ended, aborted(job.stop.signal)]);
      if (end !== 'complete') throw new IncompleteError(`the fill did not come to its end (${end})`);
      look();
      return { size: job.bytes };
    } finally {
      clearInterval(timer);
      job.stop.signal.removeEventListener('abort', leave);
      fill.release();
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
