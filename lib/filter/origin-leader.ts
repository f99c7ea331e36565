// docs/guides/origin.md

import { LRUCache } from 'lru-cache';
import type { Fill, LeaderClaim } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';
import type { OriginError } from '../errors.ts';
import { isAnswer } from '../origin/places.ts';
import type { OriginResponse } from '../origin/request.ts';
import type { Reason } from '../reasons.ts';
import { isCutOff, type Sent, send } from '../response/send.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';
import { fromFill, UNVERIFIED } from './from-fill.ts';
import type { AnswerUnderWay } from './inherit.ts';
import type { Leads } from './leads.ts';
import type { Leader } from './misses.ts';
import { isOriginError, Pull, type PullListener, type PullOptions, type PullTools } from './pull.ts';
import type { Relay } from './relay.ts';
import type { Running } from './running.ts';
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
}

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
    journal.miss(exchange);
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
      declined: (response) => response.body.destroy(),
      failed: () => undefined,
    });
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
    listener: Pick<PullListener, 'begun' | 'declined' | 'failed' | 'sent'>,
    options: PullOptions = {},
  ): Pull {
    const { leads, pulls, remember } = this.#tools;
    const { key } = errand;
    const pull = new Pull(
      this.#tools,
      errand,
      claim,
      supply,
      {
        begun: (fill) => listener.begun(fill),
        declined: (response, reason) => listener.declined(response, reason),
        failed: (error) => {
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
    const { relay } = this.#tools;
    return new Promise((resolve) => {
      const over = (done: Promise<unknown> | unknown) =>
        void Promise.resolve(done).then(() => resolve(), resolve);
      const listener: { -readonly [Name in 'begun' | 'declined' | 'failed' | 'sent']?: PullListener[Name] } =
        {
          begun: (fill: Fill) => {
            const sent = this.#send(exchange, fill);
            listener.sent = sent;
            over(sent);
          },
          declined: (response: OriginResponse, reason: Reason) =>
            over(relay.hand(exchange, response, { ...exchange.forwarded, detail: reason })),
          failed: (error: Error) =>
            over(relay.fail(exchange, error, { ...exchange.forwarded, detail: 'origin-failed' })),
        };
      const pull = this.pull(exchange, claim, supply, listener as Required<typeof listener>);
      exchange.signal.addEventListener('abort', () => void pull.deserted());
    });
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
