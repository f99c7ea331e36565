import { AsyncResource } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import createDebug from 'debug';
import type { Declined, Fill, FillOptions, LeaderClaim } from '../cache/cache.ts';
import { IncompleteError } from '../errors.ts';
import { type FillTrace, fillTracing } from '../events.ts';
import type { ResponseHead } from '../http/body.ts';
import { storedHeaders } from '../http/headers.ts';
import type { Config } from '../options.ts';
import { goesOn } from '../policy/client-abort.ts';
import { isLasting } from '../policy/storable.ts';
import type { Reason } from '../reasons.ts';
import { ClientGone } from '../response/flow.ts';
import { type TappedHead, withDate } from '../response/tap/head.ts';
import { Tap } from '../response/tap/tap.ts';
import { isPromise } from '../steps.ts';
import { Admission } from './admission.ts';
import type { Exchange } from './exchange.ts';
import { inTime, type TooLateError, unbegin } from './in-time.ts';
import type { Journal } from './journal.ts';
import { failureOf, isFinal, type Outcome, rejectionOf } from './outcome.ts';
import type { LeadAnswer } from './own-answer.ts';
import { Patience, type TooSlowError } from './patience.ts';

const debug = createDebug('cache-filter:fill');

/** Told by a leader what became of its claim, and asked by it who waits for that. */
export interface LeadListener {
  journal: Journal;
  /** The application's answer was not kept, and the next one will not be. */
  remember(reason: Reason): void;
  /** The handler does no more for a fill. Called once. */
  ended(): void;
  /** Calls back, once, when nobody waits any more for the fill to begin; false: nobody does. */
  awaited(deserted: () => void): boolean;
}

/**
 * One leader: its handler writes to a virtual response, the bytes go to a fill, and its client reads from the fill like everybody else.
 * Resolves when both are done. Never rejects.
 */
export function lead(
  config: Config,
  exchange: Exchange,
  claim: LeaderClaim,
  answer: LeadAnswer,
  listener: LeadListener,
): Promise<void> {
  return new Lead(config, exchange, claim, answer, listener).run();
}

class Lead {
  readonly #config: Config;
  readonly #exchange: Exchange;
  readonly #claim: LeaderClaim;
  readonly #answer: LeadAnswer;
  readonly #listener: LeadListener;
  readonly #admission: Admission;
  readonly #trace: FillTrace;
  readonly #tap: Tap;
  readonly #patience: Patience;
  /** Of this request, whoever makes something happen. */
  readonly #context = new AsyncResource('cache-filter');
  #head: TappedHead | undefined;
  #fill: Fill | undefined;
  #failure: Error | undefined;
  /** Bytes that the handler has written. */
  #bytes = 0;
  #ended = false;
  #abandoned: Promise<void> | undefined;
  /** What became of the response. */
  #outcome: Outcome | undefined;
  #done!: () => void;

  constructor(
    config: Config,
    exchange: Exchange,
    claim: LeaderClaim,
    answer: LeadAnswer,
    listener: LeadListener,
  ) {
    this.#config = config;
    this.#exchange = exchange;
    this.#claim = claim;
    this.#answer = answer;
    this.#listener = listener;
    const { req, res, key, match } = exchange;
    const { inherited } = claim;
    this.#trace = { req, key, id: match.id, route: match.route.name };
    if (inherited !== undefined) this.#trace.inherited = inherited.bytes;
    this.#admission = new Admission(config, exchange, listener.journal);
    this.#tap = new Tap(
      req,
      res,
      {
        head: (head) => this.#context.runInAsyncScope(() => this.#decide(head)),
        failed: (error) => this.#failed(error),
        aside: () => this.#aside(),
      },
      answer.tap,
    );
    this.#patience = new Patience(config, (error) => this.#tooSlow(error));
  }

  run(): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    const { closing, signal } = this.#exchange;
    closing.addEventListener('abort', () => this.#tap.fail(closing.reason as Error));
    signal.addEventListener('abort', () => void this.#clientLeft());
    try {
      const result = fillTracing.start.runStores(this.#trace, () => this.#exchange.next());
      // A bare handler may be async. What it throws stays its own to answer for, as without us; the fill only must not wait for it.
      if (isPromise(result)) {
        result.then(undefined, (error: unknown) => {
          this.#threw(error);
          throw error;
        });
      }
    } catch (error) {
      this.#threw(error);
      queueMicrotask(() => {
        throw error;
      });
    }
    fillTracing.end.publish(this.#trace);
    return done;
  }

  #threw(error: unknown): void {
    this.#tap.fail(
      error instanceof Error ? error : new IncompleteError(`the application threw ${String(error)}`),
    );
  }

  /** The head is complete: kept or passed on. */
  #decide(head: TappedHead): void {
    this.#head = head;
    this.#patience.pause();
    // Given up for lost, it has come after all.
    const late = this.#outcome !== undefined && 'reason' in this.#outcome ? this.#outcome.reason : undefined;
    const reason = late ?? this.#admission.refusal(head);
    if (reason === undefined) void this.#begin(head);
    else this.#decline(head, reason);
  }

  async #begin(head: TappedHead): Promise<void> {
    const unwanted = await this.#admission.unwanted(head);
    if (unwanted !== undefined) return this.#declineLate(head, unwanted);
    const own = withDate(head, this.#exchange.res.sendDate);
    const { status, statusMessage, removed = [], merged = [] } = head;
    const common = { status, ...(statusMessage === undefined ? {} : { statusMessage }), removed, merged };
    const kept = { ...common, headers: storedHeaders(own, this.#config.dropHeaders) };
    const started = await this.#start(kept, this.#admission.terms(head));
    if ('declined' in started) return this.#declineLate(head, started.declined);
    this.#fill = started;
    this.#exchange.info.stored = true;
    this.#answer.begin(started, { ...common, headers: own }, this.#tap);
    if (this.#failure !== undefined) {
      // Those who waited for the beginning have yet to come.
      await turn();
      return this.#letGo(started, this.#failure);
    }
    // Before what the handler has written by now: it may be more than the cache can take at once.
    this.#patience.resume();
    this.#tap.divert({
      write: (chunk) => this.#write(started, chunk),
      drained: async () => {
        await started.drained();
        this.#patience.resume();
      },
      end: () => void this.#commit(started, head),
    });
    started.onDeserted(() => void this.#deserted(started));
  }

  #write(fill: Fill, chunk: Uint8Array): boolean {
    this.#bytes += chunk.byteLength;
    this.#patience.progress();
    const room = fill.write(chunk);
    if (!room) this.#patience.pause();
    return room;
  }

  /** A cache that fails is one that declines: the response goes on. */
  async #start(head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
    try {
      return await inTime(this.#claim.start(head, options), this.#config.storeTimeoutMs, unbegin);
    } catch (error) {
      debug('%s: the cache failed to begin: %o', this.#exchange.key.primary, error);
      return { declined: 'store-down' };
    }
  }

  async #commit(fill: Fill, head: TappedHead): Promise<void> {
    this.#ended = true;
    this.#patience.stop();
    const digests = this.#admission.digests(head, this.#tap.trailers);
    try {
      const length = head.length === undefined ? {} : { length: head.length };
      const { size } = await fill.commit({ digests, ...length });
      this.#settle({ size });
    } catch (error) {
      this.#settle({ reason: rejectionOf(error), error });
    }
    await this.#end();
  }

  /** The answer is not kept; it goes to the client as it comes. */
  #decline(head: TappedHead, reason: Reason): void {
    const failed = this.#failure !== undefined;
    this.#settle({ reason });
    if (isLasting(reason)) this.#listener.remember(reason);
    void this.#abandon().then(() => this.#done());
    this.#answer.decline(head, reason, this.#tap);
    // It failed while the cache was still making up its mind: nobody else will tell the client.
    if (failed) this.#answer.fail(this.#tap);
  }

  /** The same, when the handler's own call is over. */
  #declineLate(head: TappedHead, reason: Reason): void {
    try {
      this.#decline(head, reason);
    } catch (error) {
      // What Node refuses to send, it would have refused the handler.
      debug('%s: the response could not be passed on: %o', this.#exchange.key.primary, error);
      this.#answer.fail(this.#tap);
    }
  }

  /** What became of the response, told once. */
  #settle(outcome: Outcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#patience.stop();
    const { journal, ended } = this.#listener;
    ended();
    fillTracing.asyncStart.publish(this.#trace);
    Object.assign(this.#trace, outcome);
    if ('size' in outcome) {
      journal.stored(this.#exchange, outcome.size);
    } else {
      journal.rejected(this.#exchange, outcome.reason, outcome.error);
      if (outcome.error !== undefined) fillTracing.error.publish(this.#trace);
    }
    fillTracing.asyncEnd.publish(this.#trace);
  }

  /** The handler answers past us (`res.stream` on HTTP/2). */
  #aside(): void {
    this.#settle({ reason: 'unfinished' });
    void this.#abandon().then(() => this.#done());
  }

  #abandon(): Promise<void> {
    this.#abandoned ??= this.#claim
      .abandon()
      .catch((error: unknown) => debug('%s: %o', this.#exchange.key.primary, error));
    return this.#abandoned;
  }

  /** It does nothing, or is never done, or the cache lets it do nothing. */
  #tooSlow(error: TooSlowError | TooLateError): void {
    if (this.#head !== undefined || this.#claim.inherited !== undefined) {
      this.#tap.fail(error);
      return;
    }
    // Others may ask in its place. What it says after all is for its own client.
    this.#settle({ reason: 'stalled', error });
    void this.#abandon().then(() => this.#done());
  }

  #failed(error: Error): void {
    this.#failure = error;
    this.#settle({ reason: failureOf(error), error });
    if (this.#head === undefined) {
      this.#answer.fail(this.#tap);
      void this.#abandon().then(() => this.#done());
    } else if (this.#fill !== undefined) {
      void this.#letGo(this.#fill, error);
    }
  }

  /** The handler stopped before the end: somebody who reads along goes on, unless nobody is to. */
  async #letGo(fill: Fill, error: Error): Promise<void> {
    const reason = new IncompleteError('the application did not finish its response', { cause: error });
    const isOver = this.#exchange.closing.aborted || isFinal(error);
    await (isOver ? fill.abort(reason) : fill.orphan(reason)).catch((failure: unknown) =>
      debug('%s: %o', this.#exchange.key.primary, failure),
    );
    await this.#end();
  }

  /** Its own client has gone before there was anything to read; once the fill has begun, readers are counted. */
  async #clientLeft(): Promise<void> {
    if (this.#head !== undefined || this.#failure !== undefined || this.#claim.inherited !== undefined)
      return;
    const isDeserted = () =>
      this.#head === undefined &&
      this.#failure === undefined &&
      !this.#listener.awaited(() => void this.#clientLeft());
    if (this.#outcome === undefined) {
      if (!isDeserted() || (await this.#goesOn()) || !isDeserted()) return;
      this.#settle({ reason: 'discarded' });
    }
    this.#tap.pass();
    await this.#abandon();
    this.#done();
  }

  /** Nobody reads any more. */
  async #deserted(fill: Fill): Promise<void> {
    const sent = await this.#answer.sent;
    // Those who waited for the beginning have yet to come.
    await turn();
    const isDeserted = () => fill.readers === 0 && !this.#ended && this.#failure === undefined;
    if (!isDeserted()) return;
    // Who got all that was asked for, a range say, has not left. What can't be kept is worth nothing to anybody else.
    const { refused } = fill;
    if (refused === undefined && (sent?.complete || (await this.#goesOn()) || !isDeserted())) return;
    this.#failure = new ClientGone('its last client left');
    this.#settle(
      refused === undefined ? { reason: 'discarded' } : { reason: refused.reason, error: refused },
    );
    // The handler sees what it would see without us.
    this.#tap.pass();
    await fill
      .abort(this.#failure)
      .catch((error: unknown) => debug('%s: %o', this.#exchange.key.primary, error));
    await this.#end();
  }

  /** Whether to finish what nobody waits for. In doubt it is finished. */
  async #goesOn(): Promise<boolean> {
    const size = this.#head?.length;
    const came = { bytes: this.#bytes, ...(size === undefined ? {} : { size }) };
    try {
      return await this.#context.runInAsyncScope(() => goesOn(this.#config, this.#exchange.context, came));
    } catch (error) {
      this.#listener.journal.hookFailed(this.#exchange, 'clientAbort', error);
      return true;
    }
  }

  async #end(): Promise<void> {
    await this.#answer.sent;
    this.#done();
  }
}
