// docs/guides/origin.md

import { LRUCache } from 'lru-cache';
import type { Declined, Entry, Fill, LeaderClaim } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';
import type { OriginError } from '../errors.ts';
import type { RevalidateEvent } from '../events.ts';
import { isAnswer } from '../origin/places.ts';
import type { OriginResponse } from '../origin/request.ts';
import type { Reason } from '../reasons.ts';
import { isCutOff, type Sent, send } from '../response/send.ts';
import { run } from '../steps.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';
import { fromFill, UNVERIFIED } from './from-fill.ts';
import type { AnswerUnderWay } from './inherit.ts';
import type { Leads } from './leads.ts';
import type { Leader } from './misses.ts';
import { isOriginError } from './outcome.ts';
import { Pull, type PullListener, type PullOptions, type PullTools } from './pull.ts';
import type { Relay } from './relay.ts';
import { isGone, outcomeOf } from './revalidation.ts';
import type { Running } from './running.ts';
import type { Standby } from './standby.ts';
import type { Stored } from './stored.ts';
import type { Supplier, Supply } from './supplier.ts';

/** How long those who waited for what the origin did not give are told the same, in milliseconds. */
const FAILED_MS = 1_000;

export interface OriginLeaderTools extends PullTools {
  supplier: Supplier;
  relay: Relay;
  leads: Leads;
  /** What is fetched at the moment. */
  pulls: Running;
  remember(errand: Errand, reason: Reason): void;
  standby: Standby;
  stored: Stored;
  /** How to answer from an entry that was not fresh at first. */
  late(exchange: Exchange, entry: Entry): Promise<() => unknown>;
  /** Begins again with a request for what is not stored. */
  again(exchange: Exchange): Promise<() => unknown>;
}

type Told = 'begun' | 'renewed' | 'declined' | 'failed' | 'sent';

/** Has the origin give what is missing, into a fill that everybody reads. */
export class OriginLeader implements Leader {
  readonly #tools: OriginLeaderTools;
  readonly #failed = new LRUCache<string, { error: OriginError; at: number }>({ max: 1_000, ttl: FAILED_MS });

  constructor(tools: OriginLeaderTools) {
    this.#tools = tools;
  }

  async lead(exchange: Exchange, claim: LeaderClaim): Promise<unknown> {
    const { supplier, relay, journal } = this.#tools;
    const status = exchange.forwarded;
    let supply: Awaited<ReturnType<Supplier['find']>>;
    try {
      supply = await supplier.find(exchange);
    } catch (error) {
      await this.#refrain(claim);
      return relay.fail(exchange, error, status);
    }
    // Of what is stale it is to be found out yet.
    if (claim.previous === undefined || supply === undefined || isAnswer(supply)) journal.miss(exchange);
    if (supply === undefined || isAnswer(supply)) {
      await this.#refrain(claim);
      if (supply !== undefined) return relay.answer(exchange, supply);
      exchange.mark(status);
      return exchange.next();
    }
    return this.#answer(exchange, claim, supply);
  }

  async inherit(exchange: Exchange, claim: LeaderClaim, _answer: AnswerUnderWay): Promise<void> {
    const supply = await this.#tools.supplier.find(exchange).catch(() => undefined);
    if (supply === undefined || isAnswer(supply)) return this.#refrain(claim);
    this.pull(exchange, claim, supply, {
      begun: () => undefined,
      renewed: () => undefined,
      declined: (response) => response.body.destroy(),
      failed: () => undefined,
    });
  }

  instead(exchange: Exchange): Promise<(() => unknown) | undefined> {
    return this.#tools.standby.instead(exchange);
  }

  failedSince(exchange: Exchange, since: number): Error | undefined {
    const failed = this.#failed.get(idOf(exchange.key));
    return failed !== undefined && failed.at >= since ? failed.error : undefined;
  }

  /** Begins to fetch. It goes on when whoever asked is gone, as `clientAbort` says. */
  pull(
    errand: Errand,
    claim: LeaderClaim,
    supply: Supply,
    listener: Pick<PullListener, 'begun' | 'renewed' | 'declined' | 'failed' | 'sent'>,
    options: PullOptions = {},
  ): Pull {
    const { journal, leads, pulls, remember, standby } = this.#tools;
    const { key } = errand;
    const isStale = claim.previous !== undefined;
    const { mark } = standby;
    const found = (outcome: RevalidateEvent['outcome'], came: { status?: number; error?: unknown }) => {
      if (isStale) journal.revalidated(errand, { outcome, ...came });
    };
    const pull = new Pull(
      this.#tools,
      errand,
      claim,
      supply,
      {
        begun: (fill) => {
          standby.worked(errand);
          found('replaced', { status: 200 });
          listener.begun(fill);
        },
        renewed: (entry) => {
          standby.worked(errand);
          found('renewed', { status: 304 });
          listener.renewed(entry);
        },
        declined: (response, reason) => {
          const { status } = response;
          found(isGone(status) ? 'gone' : status === 200 ? 'replaced' : 'failed', { status });
          if (!isGone(status)) return listener.declined(response, reason);
          void standby
            .heard(errand, response, { mark, wasStored: isStale })
            .then((heard) => listener.declined(heard, reason));
        },
        failed: (error) => {
          found('failed', { error });
          if (isOriginError(error)) this.#failed.set(idOf(key), { error, at: performance.now() });
          listener.failed(error);
        },
        get sent() {
          return listener.sent;
        },
        remember: (reason) => remember(errand, reason),
        ended: () => leads.ended(),
        awaited: (deserted) => leads.isAwaited(key, deserted),
      },
      options,
    );
    pulls.add(pull, pull.run());
    return pull;
  }

  /** The request that began it reads like everybody else. */
  #answer(exchange: Exchange, claim: LeaderClaim, supply: Supply): Promise<void> {
    const { journal, relay, standby } = this.#tools;
    const isStale = claim.previous !== undefined;
    return new Promise((resolve) => {
      const over = (done: Promise<unknown> | unknown) =>
        void Promise.resolve(done).then(() => resolve(), resolve);
      const listener: { -readonly [Name in Told]?: PullListener[Name] } = {
        begun: (fill: Fill) => {
          if (isStale) journal.miss(exchange);
          const sent = this.#send(exchange, fill);
          listener.sent = sent;
          over(sent);
        },
        renewed: (entry: Entry | Declined) => over(this.#answerRenewed(exchange, entry)),
        declined: (response: OriginResponse, reason: Reason) => {
          const hand = () => {
            if (isStale) journal.miss(exchange, reason);
            return relay.hand(exchange, response, { ...exchange.forwarded, detail: reason });
          };
          const { status } = response;
          if (outcomeOf(status, exchange.staleUntil - Date.now()) !== 'stale') return over(hand());
          return over(
            standby.stale(exchange, status).then((stale) => {
              if (stale === undefined) return hand();
              response.body.on('error', () => undefined).destroy();
              return stale();
            }),
          );
        },
        failed: (error: Error) => {
          const fail = () => {
            if (isStale) journal.miss(exchange, 'origin-failed');
            return relay.fail(exchange, error, { ...exchange.forwarded, detail: 'origin-failed' });
          };
          const isAllowed = outcomeOf(undefined, exchange.staleUntil - Date.now()) === 'stale';
          if (!isOriginError(error) || !isAllowed) return over(fail());
          return over(standby.stale(exchange).then((stale) => (stale ?? fail)()));
        },
      };
      const pull = this.pull(exchange, claim, supply, listener as Required<typeof listener>);
      exchange.signal.addEventListener('abort', () => void pull.deserted());
    });
  }

  /** The origin has confirmed what is stored, whether that could be written down or not. */
  async #answerRenewed(exchange: Exchange, renewed: Entry | Declined): Promise<unknown> {
    const { stored, late, again } = this.#tools;
    const isThere = !('declined' in renewed) || !['changed', 'superseded'].includes(renewed.declined);
    const entry = 'declined' in renewed ? isThere && (await run(stored.openConfirmed(exchange))) : renewed;
    if (!entry) return (await again(exchange))();
    exchange.asOf = { fwd: 'stale', fwdStatus: 304 };
    return (await late(exchange, entry))();
  }

  async #send(exchange: Exchange, fill: Fill): Promise<Sent> {
    const reader = fill.reader();
    const sent = await send(exchange.asked, exchange.res, reader, {
      headers: (unverified) =>
        exchange.statusField({ ...exchange.forwarded, stored: true, ...(unverified ? UNVERIFIED : {}) }),
      ...fromFill(exchange, reader),
      signal: exchange.signal,
    });
    if (isCutOff(sent)) exchange.left();
    this.#tools.journal.served(exchange, 'fill', reader.size, sent);
    return sent;
  }

  async #refrain(claim: LeaderClaim): Promise<void> {
    this.#tools.leads.ended();
    await claim.abandon().catch(() => undefined);
  }
}
