import createDebug from 'debug';
import type { Declined, Fill, FillOptions, LeaderClaim } from './cache/cache.ts';
import { HookError, IncompleteError, StoreError, SupersededError } from './errors.ts';
import { type FillTrace, fillTracing } from './events.ts';
import type { Exchange } from './exchange.ts';
import { UNVERIFIED } from './follow.ts';
import type { HeaderPairs, ResponseHead } from './http/body.ts';
import { formatHttpDate } from './http/date.ts';
import { type Digest, declaredDigests } from './http/digest.ts';
import { fieldValue, fieldValues, storedHeaders } from './http/headers.ts';
import type { Journal } from './journal.ts';
import type { Config } from './options.ts';
import { extended } from './policy/hooks.ts';
import { wanted } from './policy/policy.ts';
import { isLasting, refusal, unprovable } from './policy/storable.ts';
import type { Reason } from './reasons.ts';
import { cutRange } from './response/cut.ts';
import { failVisibly } from './response/flow.ts';
import { send } from './response/send.ts';
import type { TappedHead } from './response/tap/head.ts';
import { Tap } from './response/tap/tap.ts';
import { isPromise } from './steps.ts';

const debug = createDebug('cache-filter:fill');

/** Told by a leader what became of its claim. */
export interface LeadListener {
  journal: Journal;
  /** The application's answer was not kept, and the next one will not be. */
  remember(reason: Reason): void;
}

/**
 * One leader: its handler writes to a virtual response, the bytes go to a fill, and its client reads from the fill like everybody else.
 * Resolves when both are done. Never rejects.
 */
export function lead(
  config: Config,
  exchange: Exchange,
  claim: LeaderClaim,
  listener: LeadListener,
): Promise<void> {
  return new Lead(config, exchange, claim, listener).run();
}

class Lead {
  readonly #config: Config;
  readonly #exchange: Exchange;
  readonly #claim: LeaderClaim;
  readonly #listener: LeadListener;
  readonly #trace: FillTrace;
  readonly #tap: Tap;
  readonly #signal: AbortSignal;
  readonly #ranged: boolean;
  #head: TappedHead | undefined;
  #fill: Fill | undefined;
  #failure: Error | undefined;
  /** What the body must hash to, as far as that is known from elsewhere. */
  #expected: Digest[] = [];
  #settled = false;
  /** The leader's own answer, once it is on its way. */
  #sent: Promise<unknown> | undefined;
  #done!: () => void;

  constructor(config: Config, exchange: Exchange, claim: LeaderClaim, listener: LeadListener) {
    this.#config = config;
    this.#exchange = exchange;
    this.#claim = claim;
    this.#listener = listener;
    const { req, key, match } = exchange;
    this.#trace = { req, key, id: match.id, route: match.route.name };
    if (match.digest !== undefined) this.#expected.push(match.digest);
    // Before the tap: afterwards the client's leaving is hard to hear.
    this.#signal = exchange.signal;
    this.#ranged = exchange.asked.headers.range !== undefined;
    this.#tap = new Tap(
      exchange.req,
      exchange.res,
      {
        head: (head) => this.#decide(head),
        failed: (error) => this.#failed(error),
        aside: () => this.#aside(),
      },
      // The whole is fetched, whatever part of it this client wants.
      this.#ranged ? { hide: ['range', 'if-range'] } : {},
    );
  }

  run(): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    const { closing } = this.#exchange;
    closing.addEventListener('abort', () => this.#tap.fail(closing.reason as Error));
    this.#listener.journal.miss(this.#exchange);
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
    const { match, credentials } = this.#exchange;
    const reason =
      refusal(head, { ...match.route, credentials }, Date.now()) ??
      // Where a hook may know a digest it is asked first.
      (this.#config.digest === undefined ? this.#unprovable(head) : undefined);
    if (reason === undefined) void this.#begin(head);
    else this.#decline(head, reason);
  }

  #unprovable(head: TappedHead): Reason | undefined {
    return unprovable(head, this.#config.integrity, this.#expected.length > 0);
  }

  /** Why the application does not want it kept, or can't say; undefined where it does. */
  async #unwanted(head: TappedHead): Promise<Reason | undefined> {
    const { shouldStore, digest } = this.#config;
    if (shouldStore === undefined && digest === undefined) return undefined;
    const { status, headers, length } = head;
    const context = extended(this.#exchange.context, {
      head: { status, headers, ...(length === undefined ? {} : { length }) },
    });
    try {
      const wishes = await wanted(this.#config, context);
      if (wishes === undefined) return 'should-store';
      if (wishes.digest !== undefined) this.#expected.push(wishes.digest);
      return this.#unprovable(head);
    } catch (error) {
      const hook = error instanceof HookError ? error.hook : 'shouldStore or digest';
      this.#listener.journal.hookFailed(this.#exchange, hook, error);
      return 'hook-error';
    }
  }

  async #begin(head: TappedHead): Promise<void> {
    const unwanted = await this.#unwanted(head);
    if (unwanted !== undefined) return this.#declineLate(head, unwanted);
    const { match, tag, version } = this.#exchange;
    const own = withDate(head, this.#exchange.res.sendDate);
    const { status, statusMessage, removed = [], merged = [] } = head;
    const common = { status, ...(statusMessage === undefined ? {} : { statusMessage }), removed, merged };
    const started = await this.#start(
      { ...common, headers: storedHeaders(own, this.#config.dropHeaders) },
      {
        ...(head.length === undefined ? {} : { size: head.length }),
        ...(version === undefined ? {} : { version }),
        minBytes: match.route.minEntryBytes,
        maxBytes: match.route.maxEntryBytes,
        algorithms: [...declaredDigests(head.headers), ...this.#expected]
          .map(({ algorithm }) => algorithm)
          .concat(match.route.digests),
        tags: [tag],
      },
    );
    if ('declined' in started) return this.#declineLate(head, started.declined);
    this.#fill = started;
    if (this.#failure !== undefined) return this.#abort(this.#failure);
    this.#exchange.info.stored = true;
    this.#sent = this.#serve(started, { ...common, headers: own }, fieldValue(head.headers, 'cache-status'));
    this.#tap.divert({
      write: (chunk) => started.write(chunk),
      drained: () => started.drained(),
      end: () => void this.#commit(started, head),
    });
  }

  /** The leader's own client reads like everybody else, but for the parts of the head that are never stored. */
  async #serve(fill: Fill, head: ResponseHead, existing: string | undefined): Promise<void> {
    const exchange = this.#exchange;
    const reader = fill.reader();
    const sent = await send(exchange.asked, this.#tap.wire, reader, {
      head: { ...head, headers: head.headers.filter(([name]) => !FRAMING.has(name.toLowerCase())) },
      headers: (partial) =>
        exchange.statusField(
          { ...this.#forwarded(), stored: true, ...(partial ? UNVERIFIED : {}) },
          existing,
        ),
      provisional: true,
      trailers: () => this.#tap.trailers,
      signal: this.#signal,
    });
    this.#listener.journal.served(exchange, 'fill', reader.size, sent);
  }

  /** A cache that fails is one that declines: the response goes on. */
  async #start(head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
    try {
      return await this.#claim.start(head, options);
    } catch (error) {
      debug('%s: the cache failed to begin: %o', this.#exchange.key.primary, error);
      return { declined: 'store-down' };
    }
  }

  async #commit(fill: Fill, head: TappedHead): Promise<void> {
    const digests = [
      ...declaredDigests(head.headers),
      ...declaredDigests(this.#tap.trailers),
      ...this.#expected,
    ];
    try {
      const length = head.length === undefined ? {} : { length: head.length };
      const { size } = await fill.commit({ digests, ...length });
      this.#settle({ size });
    } catch (error) {
      this.#settle({ reason: reasonOf(error), error });
    }
    await this.#end();
  }

  /** The answer is not kept; it goes to the client as it comes. */
  #decline(head: TappedHead, reason: Reason): void {
    this.#settle({ reason });
    if (isLasting(reason)) this.#listener.remember(reason);
    const status = { ...this.#forwarded(), detail: reason };
    const field = this.#exchange.statusField(status, fieldValue(head.all, 'cache-status'));
    const ranged = this.#ranged ? cutRange(this.#exchange.asked, head) : {};
    const failed = this.#failure !== undefined;
    void this.#abandon().then(() => this.#done());
    this.#tap.pass({ ...ranged, headers: { ...Object.fromEntries(field), ...ranged.headers } });
    // It failed while the cache was still making up its mind: nobody else will tell the client.
    if (failed) failVisibly(this.#tap.wire);
  }

  /** The same, when the handler's own call is over. */
  #declineLate(head: TappedHead, reason: Reason): void {
    try {
      this.#decline(head, reason);
    } catch (error) {
      // What Node refuses to send, it would have refused the handler.
      debug('%s: the response could not be passed on: %o', this.#exchange.key.primary, error);
      failVisibly(this.#tap.wire);
    }
  }

  /** What became of the response, told once. */
  #settle(outcome: { size: number } | { reason: Reason; error?: unknown }): void {
    if (this.#settled) return;
    this.#settled = true;
    const { journal } = this.#listener;
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

  async #abandon(): Promise<void> {
    await this.#claim.abandon().catch((error: unknown) => debug('%s: %o', this.#exchange.key.primary, error));
  }

  #forwarded(): { fwd: 'uri-miss' | 'stale' } {
    return { fwd: this.#exchange.staleSince === undefined ? 'uri-miss' : 'stale' };
  }

  #failed(error: Error): void {
    this.#failure = error;
    this.#settle({ reason: 'unfinished', error });
    if (this.#head === undefined) {
      // Nothing to read from yet: the client sees what it would see without us.
      failVisibly(this.#tap.wire);
      void this.#abandon().then(() => this.#done());
    } else if (this.#fill !== undefined) {
      void this.#abort(error);
    }
  }

  async #abort(error: Error): Promise<void> {
    const reason = new IncompleteError('the application did not finish its response', { cause: error });
    await this.#fill
      ?.abort(reason)
      .catch((failure: unknown) => debug('%s: %o', this.#exchange.key.primary, failure));
    // Before its first reader has begun, nobody else will tell the client.
    if (this.#sent === undefined) failVisibly(this.#tap.wire);
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#sent;
    this.#done();
  }
}

/** Said by whoever sends the message, not by what is sent. */
const FRAMING: ReadonlySet<string> = new Set(['cache-status', 'content-length', 'transfer-encoding']);

/** With the time at which the answer was made, which later hits repeat (RFC 9110, 6.6.1). */
function withDate(head: TappedHead, sendDate: boolean): HeaderPairs {
  if (!sendDate || fieldValues(head.all, 'date').length > 0) return head.headers;
  return [...head.headers, ['Date', formatHttpDate(Date.now())]];
}

function reasonOf(error: unknown): Reason {
  if (error instanceof StoreError) return error.reason;
  return error instanceof SupersededError ? 'purge' : 'unproven';
}
