// docs/guides/origin.md

import { AsyncResource } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import createDebug from 'debug';
import type { Declined, Entry, Fill, FillOptions, LeaderClaim } from '../cache/cache.ts';
import { IncompleteError } from '../errors.ts';
import { type FillTrace, fillTracing } from '../events.ts';
import type { ResponseHead } from '../http/body.ts';
import { storedHeaders } from '../http/headers.ts';
import type { Config } from '../options.ts';
import { Download } from '../origin/download.ts';
import type { Origin } from '../origin/origin.ts';
import type { OriginRequest, OriginResponse } from '../origin/request.ts';
import { goesOn } from '../policy/client-abort.ts';
import type { OriginFetch } from '../policy/hooks.ts';
import { isLasting } from '../policy/storable.ts';
import type { Reason } from '../reasons.ts';
import { ClientGone } from '../response/flow.ts';
import type { TappedHead } from '../response/tap/head.ts';
import { Admission } from './admission.ts';
import { ask, headOf, renew } from './asking.ts';
import type { Background } from './background.ts';
import type { Errand } from './errand.ts';
import { inTime, unbegin } from './in-time.ts';
import type { Journal } from './journal.ts';
import { failureOf, type Outcome, rejectionOf } from './outcome.ts';
import { Patience } from './patience.ts';
import { rewritten } from './rewriting.ts';
import { fetching } from './small-fetch.ts';
import type { Supplier, Supply } from './supplier.ts';

const debug = createDebug('cache-filter:fill');

/** What whoever began a pull does with what comes of it. Exactly one of these is called, once. */
export interface PullListener {
  /** What comes can be read, and is kept. */
  begun(fill: Fill): void;
  /**
   * What is stored is what the origin has (304): the entry, held. Declined: it was purged, say, or could not be brought up to date, though
   * it is right.
   */
  renewed(entry: Entry | Declined): void;
  /** It is not kept: the body is the listener's, to be read or destroyed. */
  declined(response: OriginResponse, reason: Reason): void;
  /** There is no answer. */
  failed(error: Error): void;
  /** The answer is not kept, and the next one will not be. */
  remember(reason: Reason): void;
  /** Nothing more is done for the fill. Called once, and last but for the end of the pull itself. */
  ended(): void;
  /** Calls back, once, when nobody waits any more for the fill to begin; false: nobody does. */
  awaited(deserted: () => void): boolean;
  /** What its first client was sent, once that is over; undefined where there is none. */
  readonly sent?: Promise<{ complete: boolean } | undefined> | undefined;
}

export interface PullOptions {
  /** Nobody waits for it, but one who has all the time in the world. */
  unattended?: boolean;
}

export interface PullTools {
  config: Config;
  origin: Origin;
  journal: Journal;
  supplier: Supplier;
  background: Background;
}

/**
 * One body on its way from the origin into a fill. It belongs to no request: whoever asked for it, and whoever comes later, reads from the
 * fill, and may leave.
 */
export class Pull {
  readonly #config: Config;
  readonly #origin: Origin;
  readonly #journal: Journal;
  readonly #errand: Errand;
  readonly #claim: LeaderClaim;
  readonly #supply: Supply;
  readonly #listener: PullListener;
  readonly #admission: Admission;
  readonly #fetch: OriginFetch;
  readonly #trace: FillTrace;
  readonly #patience: Patience;
  readonly #background: Background;
  /** So many readers are none. */
  readonly #fewest: number;
  /** It has a place among what nobody waits for. */
  #isInBackground = false;
  readonly #context = new AsyncResource('cache-filter');
  readonly #end = new AbortController();
  #head: TappedHead | undefined;
  #bytes = 0;
  #isOver = false;
  #outcome: Outcome | undefined;

  constructor(
    { config, origin, journal, supplier, background }: PullTools,
    errand: Errand,
    claim: LeaderClaim,
    supply: Supply,
    listener: PullListener,
    { unattended = false }: PullOptions = {},
  ) {
    this.#background = background;
    this.#fewest = unattended ? 1 : 0;
    this.#config = config;
    this.#origin = origin;
    this.#journal = journal;
    this.#errand = errand;
    this.#claim = claim;
    this.#supply = supply;
    this.#listener = listener;
    this.#fetch = fetching(origin, supplier, errand, this.#end.signal);
    this.#admission = new Admission(config, errand, journal, this.#fetch);
    const { req, key, match } = errand;
    this.#trace = { ...(req === undefined ? {} : { req }), key, id: match.id, route: match.route.name };
    if (claim.inherited !== undefined) this.#trace.inherited = claim.inherited.bytes;
    // That nothing comes is noticed where it should come from.
    this.#patience = new Patience({ ...config, stallTimeoutMs: 0 }, (error) => this.#end.abort(error));
  }

  /** Ends it; whoever reads sees that. */
  stop(reason: Error): void {
    this.#end.abort(reason);
  }

  /** Nobody waits for it to begin any more. */
  async deserted(): Promise<void> {
    if (this.#isBegunOrOver() || this.#claim.inherited !== undefined) return;
    const isDeserted = () => !this.#isBegunOrOver() && !this.#listener.awaited(() => void this.deserted());
    if (!isDeserted() || (await this.#goesOn()) || !isDeserted()) return;
    this.#end.abort(new ClientGone('its last client left'));
  }

  /** Resolves when it is over. Never rejects. */
  async run(): Promise<void> {
    fillTracing.start.runStores(this.#trace, () => undefined);
    fillTracing.end.publish(this.#trace);
    try {
      await this.#run();
    } catch (error) {
      debug('%s: %o', this.#errand.key.primary, error);
    }
    this.#patience.stop();
    if (this.#isInBackground) this.#background.leave();
    this.#listener.ended();
  }

  #isBegunOrOver(): boolean {
    return this.#head !== undefined || this.#isOver;
  }

  async #run(): Promise<void> {
    const request: OriginRequest = {
      method: 'GET',
      targets: this.#supply.targets,
      headers: this.#supply.headers,
      signal: this.#end.signal,
    };
    let response: OriginResponse;
    try {
      const came = await ask(this.#origin, request, {
        previous: this.#claim.previous,
        dropHeaders: this.#config.dropHeaders,
        refusal: (head) => this.#admission.refusal(head),
      });
      if ('update' in came) return await this.#renew(came.update, came.size);
      response = came;
      response = await rewritten(this.#errand, response, {
        fetch: this.#fetch,
        hookTimeoutMs: this.#config.hookTimeoutMs,
      });
    } catch (error) {
      return this.#failBeforeHead(error as Error);
    }
    const head = headOf(response);
    this.#head = head;
    const reason =
      this.#admission.refusal(head) ??
      (await this.#admission.unwanted(head)) ??
      this.#endless(response, head);
    if (reason !== undefined) return this.#decline(response, reason);
    const { status, statusMessage } = head;
    const kept: ResponseHead = {
      status,
      ...(statusMessage === undefined ? {} : { statusMessage }),
      headers: storedHeaders(head.headers, this.#config.dropHeaders),
    };
    const fill = await this.#start(kept, this.#admission.terms(head));
    if ('declined' in fill) return this.#decline(response, fill.declined);
    this.#errand.info.stored = true;
    this.#listener.begun(fill);
    fill.onDeserted(() => void this.#fillDeserted(fill));
    await this.#pour(fill, head, request, response);
  }

  async #renew(update: ResponseHead, size: number): Promise<void> {
    this.#isOver = true;
    const { version } = this.#errand;
    const entry = await renew(this.#claim, update, { version, timeoutMs: this.#config.storeTimeoutMs });
    this.#settle('declined' in entry ? { reason: entry.declined } : { size, renewed: true });
    this.#listener.renewed(entry);
  }

  /** Of what ends when its connection does, nobody knows whether that was its end. */
  #endless({ delimited }: OriginResponse, head: TappedHead): Reason | undefined {
    return delimited === 'close' && this.#admission.digests(head).length === 0 ? 'no-length' : undefined;
  }

  async #pour(fill: Fill, head: TappedHead, request: OriginRequest, response: OriginResponse): Promise<void> {
    try {
      for await (const chunk of new Download(this.#origin, request, response).bytes()) {
        this.#bytes += chunk.byteLength;
        await this.#keepPace(fill, chunk.byteLength);
        if (fill.write(chunk)) continue;
        this.#patience.pause();
        await fill.drained();
        this.#patience.resume();
        this.#end.signal.throwIfAborted();
      }
      this.#end.signal.throwIfAborted();
    } catch (error) {
      return this.#giveUp(
        fill,
        this.#end.signal.aborted ? (this.#end.signal.reason as Error) : (error as Error),
      );
    }
    this.#isOver = true;
    this.#patience.stop();
    const length = head.length === undefined ? {} : { length: head.length };
    try {
      const { size } = await fill.commit({ digests: this.#admission.digests(head), ...length });
      this.#settle({ size });
    } catch (error) {
      this.#settle({ reason: rejectionOf(error), error });
    }
  }

  /** A cache that fails is one that declines: the response goes on. */
  async #start(head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
    try {
      return await inTime(this.#claim.start(head, options), this.#config.storeTimeoutMs, unbegin);
    } catch (error) {
      debug('%s: the cache failed to begin: %o', this.#errand.key.primary, error);
      return { declined: 'store-down' };
    }
  }

  async #giveUp(fill: Fill, error: Error): Promise<void> {
    this.#isOver = true;
    const { refused } = fill;
    if (error instanceof ClientGone)
      this.#settle(
        refused === undefined ? { reason: 'discarded' } : { reason: refused.reason, error: refused },
      );
    else this.#settle({ reason: failureOf(error), error });
    // Nobody else could have done better: what can be tried again has been.
    const reason =
      error instanceof ClientGone
        ? error
        : new IncompleteError('the origin did not give all of it', { cause: error });
    await fill.abort(reason).catch((failure: unknown) => debug('%s: %o', this.#errand.key.primary, failure));
  }

  async #failBeforeHead(error: Error): Promise<void> {
    this.#isOver = true;
    this.#settle(error instanceof ClientGone ? { reason: 'discarded' } : { reason: failureOf(error), error });
    await this.#abandon();
    this.#listener.failed(error);
  }

  async #decline(response: OriginResponse, reason: Reason): Promise<void> {
    this.#isOver = true;
    this.#settle({ reason });
    if (isLasting(reason)) this.#listener.remember(reason);
    // Before those who waited are let go: what they learn of it they learn from its answer.
    this.#listener.declined(response, reason);
    await this.#abandon();
  }

  async #abandon(): Promise<void> {
    await this.#claim.abandon().catch((error: unknown) => debug('%s: %o', this.#errand.key.primary, error));
  }

  /** What became of it, told once. */
  #settle(outcome: Outcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#patience.stop();
    fillTracing.asyncStart.publish(this.#trace);
    Object.assign(this.#trace, outcome);
    if ('size' in outcome) {
      if (outcome.renewed === undefined) this.#journal.stored(this.#errand, outcome.size);
    } else {
      this.#journal.rejected(this.#errand, outcome.reason, outcome.error);
      if (outcome.error !== undefined) fillTracing.error.publish(this.#trace);
    }
    fillTracing.asyncEnd.publish(this.#trace);
  }

  /** Nobody reads any more. */
  async #fillDeserted(fill: Fill): Promise<void> {
    const sent = await this.#listener.sent;
    // Those who waited for the beginning have yet to come.
    await turn();
    const isDeserted = () => fill.readers === 0 && !this.#isOver;
    if (!isDeserted()) return;
    // Who got all that was asked for, a range say, has not left. What can't be kept is worth nothing to anybody else.
    if (fill.refused === undefined && (sent?.complete || (await this.#goesOn()) || !isDeserted())) {
      if (!isDeserted() || this.#enterBackground()) return;
    }
    this.#end.abort(new ClientGone('its last client left'));
  }

  #enterBackground(): boolean {
    this.#isInBackground ||= this.#background.enter();
    return this.#isInBackground;
  }

  /** What somebody waits for comes as fast as it can. */
  async #keepPace(fill: Fill, bytes: number): Promise<void> {
    const isWanted = () => fill.readers > this.#fewest;
    if (this.#isInBackground && isWanted()) {
      this.#isInBackground = false;
      this.#background.leave();
    }
    if (isWanted() || !(this.#isInBackground || this.#fewest > 0)) return;
    this.#patience.pause();
    await this.#background.spend(bytes, this.#end.signal, isWanted);
    this.#patience.resume();
  }

  /** Whether to finish what nobody waits for. In doubt it is finished. */
  async #goesOn(): Promise<boolean> {
    const size = this.#head?.length;
    const came = { bytes: this.#bytes, ...(size === undefined ? {} : { size }) };
    try {
      return await this.#context.runInAsyncScope(() => goesOn(this.#config, this.#errand.context, came));
    } catch (error) {
      this.#journal.hookFailed(this.#errand, 'clientAbort', error);
      return true;
    }
  }
}
