import { LRUCache } from 'lru-cache';
import type { Cache, Entry, LeaderClaim } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';
import type { Config } from '../options.ts';
import type { Verdict } from '../policy/policy.ts';
import type { Reason } from '../reasons.ts';
import { ClientGone } from '../response/flow.ts';
import { run } from '../steps.ts';
import type { Around } from './around.ts';
import type { ColdRanges } from './cold-ranges.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';
import { type Following, follow, leave, reluctanceOf, unclaim, unshareable, waitFor } from './follow.ts';
import type { Gate } from './gate.ts';
import { answerFrom } from './hit.ts';
import { tryInTime } from './in-time.ts';
import type { AnswerUnderWay } from './inherit.ts';
import type { Journal } from './journal.ts';
import type { Leads } from './leads.ts';
import type { Stored } from './stored.ts';
import { Uses } from './uses.ts';

/** So many processes may die or give way, one after the other, before they have begun what a request waits for. */
const MOST_LOSSES = 5;

/** How long a key is remembered whose responses can't be kept, in milliseconds. */
const UNCACHEABLE_MS = 10_000;

/** Fetches what was claimed. */
export interface Leader {
  /** Resolves when that and the answer to this request are done. Never rejects. */
  lead(exchange: Exchange, claim: LeaderClaim): Promise<unknown>;
  /** Goes on with what somebody else has begun; the answer to this request is on its way. */
  inherit(exchange: Exchange, claim: LeaderClaim, answer: AnswerUnderWay): Promise<void>;
  /** What it failed with for this key since then (by `performance.now()`), where everybody else would fail with the same. */
  failedSince?(exchange: Exchange, since: number): Error | undefined;
  /** How to answer without fetching anything, where that is possible now. */
  instead?(exchange: Exchange): Promise<(() => unknown) | undefined>;
}

/** What misses have to do with. */
export interface Surroundings {
  cache: Cache;
  journal: Journal;
  gate: Gate;
  stored: Stored;
  around: Around;
  leads: Leads;
  leader: Leader;
  cold?: ColdRanges | undefined;
  /** What follows from a verdict other than to serve. */
  obey(exchange: Exchange, verdict: Exclude<Verdict, { do: 'serve' }>): Promise<() => unknown>;
}

/** Requests for what is not stored. */
export class Misses {
  readonly #config: Config;
  readonly #with: Surroundings;
  readonly #uncacheable = new LRUCache<string, Reason>({ max: 10_000, ttl: UNCACHEABLE_MS });
  readonly #uses: Uses;
  /** What becomes of a range that is not answered with what is missing: all is fetched, if it is near the beginning. */
  readonly #whole: Pick<Config, 'coldRange'>;

  constructor(config: Config, surroundings: Surroundings) {
    this.#config = config;
    this.#with = surroundings;
    this.#uses = new Uses(config.minUses);
    this.#whole = { coldRange: config.coldRange === 'bypass' ? 'bypass' : 'fill' };
  }

  /** The answer for the key was not kept, and the next one will not be. */
  remember({ key }: Errand, reason: Reason): void {
    this.#uncacheable.set(idOf(key), reason);
  }

  /** What was not kept may be from now on. */
  forget(): void {
    this.#uncacheable.clear();
  }

  /** Leads, follows, or leaves it to whoever has it. */
  async take(exchange: Exchange): Promise<() => unknown> {
    const { cache, around, cold, leads, leader, stored } = this.#with;
    exchange.keepAsked();
    const { key, asked } = exchange;
    const inParts = exchange.staleSince === undefined && cold?.concerns(exchange) === true;
    const reluctant = this.#reluctance(exchange, asked);
    const counts = inParts || reluctant === undefined;
    const tooFew = counts && this.#uses.areTooFew(key) ? 'min-uses' : undefined;
    if (inParts && tooFew === undefined) {
      const answer = (await leader.instead?.(exchange)) ?? (await this.#cold(exchange));
      if (answer !== undefined) return answer;
    }
    const unwilling = reluctant ?? tooFew;
    for (let attempt = 0, losses = 0; ; ) {
      const instead = await leader.instead?.(exchange);
      if (instead !== undefined) return instead;
      const lasting = this.#uncacheable.get(idOf(key));
      if (lasting !== undefined) return () => around.forward(exchange, lasting);
      const reluctance = unwilling ?? (leads.isFull(key) ? 'fills-full' : undefined);
      const { staleSince: newerThan } = exchange;
      const options = { join: reluctance !== undefined, ...(newerThan === undefined ? {} : { newerThan }) };
      const claiming = () => cache.claim(key, options);
      const claim = await leads.claim(key, async () =>
        run(tryInTime(exchange, this.#config.storeTimeoutMs, claiming, unclaim)),
      );
      if (claim === undefined) return () => around.forward(exchange, reluctance ?? 'store-down');
      if (claim.role === 'declined') return () => around.forward(exchange, claim.reason);
      if (claim.role === 'leader') return () => leader.lead(exchange, claim);
      if (claim.role === 'entry') return this.late(exchange, claim.entry);
      // A fill that ended with nothing to share let its followers go all at once: one of them leads now, the rest pass.
      const following = () => this.#follow(exchange, claim);
      const since = performance.now();
      const answer = attempt === 0 ? await leads.awaiting(key, following) : undefined;
      if (answer !== undefined) return answer;
      const failure = leader.failedSince?.(exchange, since);
      if (failure !== undefined) return () => around.fail(exchange, failure);
      // Where nothing is known of it yet, that is no reason to let all go.
      if (claim.again && losses++ < MOST_LOSSES) {
        const entry = await run(stored.open(exchange));
        if (entry !== undefined) return this.late(exchange, entry);
        continue;
      }
      if (attempt++ === 0) continue;
      leave(claim);
      return () => around.forward(exchange, 'collapse');
    }
  }

  /** Why a request should not fetch. A condition of its own is no reason where what is stored is only to be brought up to date. */
  #reluctance({ staleSince }: Exchange, asked: Exchange['asked']): Reason | undefined {
    const reason = reluctanceOf(this.#whole, asked);
    const mayRenew = staleSince !== undefined && this.#config.origin !== undefined;
    return mayRenew && reason === 'conditional' ? undefined : reason;
  }

  /** Answered with what is missing of it; undefined where that can't be. */
  async #cold(exchange: Exchange): Promise<(() => unknown) | undefined> {
    const answer = await this.#with.cold?.take(exchange);
    return typeof answer === 'object' ? this.late(exchange, answer.entry) : answer;
  }

  /** Committed between looking and claiming, or brought up to date: a hit after all. */
  async late(exchange: Exchange, entry: Entry): Promise<() => unknown> {
    const { around, gate, journal, obey } = this.#with;
    const verdict = await run(gate.judge(exchange, entry));
    if (verdict.do === 'serve' && exchange.mayShare(entry.head)) {
      const answer = await run(answerFrom(exchange, entry, journal));
      // One that is damaged, and can't be removed, is none.
      return answer ?? (() => around.forward(exchange, 'store-down'));
    }
    entry.release(false);
    return verdict.do === 'serve' ? () => around.unshared(exchange) : obey(exchange, verdict);
  }

  /** Reads what somebody else fetches; undefined where there is nothing to share. The same gate as for a hit comes first. */
  async #follow(exchange: Exchange, claim: Following): Promise<(() => unknown) | undefined> {
    const { around, gate, journal, leader, leads, obey } = this.#with;
    let verdict: Verdict;
    try {
      verdict = await run(gate.judge(exchange, undefined));
    } catch (error) {
      leave(claim);
      throw error;
    }
    if (verdict.do !== 'serve') {
      leave(claim);
      return obey(exchange, verdict);
    }
    const fill = await waitFor(claim, this.#config.collapseTimeoutMs, exchange.signal);
    if (exchange.signal.aborted) {
      fill?.release();
      const { reason } = exchange.signal;
      // Otherwise nobody is left to answer.
      if (!(reason instanceof ClientGone)) throw reason;
      return () => undefined;
    }
    if (fill === undefined) return undefined;
    const reason = unshareable(exchange, fill, verdict.version);
    if (reason !== undefined) {
      fill.release();
      const part = reason === 'range' ? await this.#cold(exchange) : undefined;
      return part ?? (() => around.forward(exchange, reason));
    }
    exchange.version = verdict.version;
    return () =>
      follow(this.#config, exchange, fill, journal, (inherited, answer) => {
        leads.inherited();
        return leader.inherit(exchange, inherited, answer);
      });
  }
}
