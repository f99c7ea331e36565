import createDebug from 'debug';
import type { Declined, Fill, FillOptions, LeaderClaim } from './cache/cache.ts';
import { IncompleteError, StoreError, SupersededError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { UNVERIFIED } from './follow.ts';
import type { HeaderPairs, ResponseHead } from './http/body.ts';
import { ifRangeHolds, validatorsOf } from './http/conditional.ts';
import { formatHttpDate } from './http/date.ts';
import { declaredDigests } from './http/digest.ts';
import { fieldValue, fieldValues, storedHeaders } from './http/headers.ts';
import { contentRange, parseRange } from './http/ranges.ts';
import type { Config } from './options.ts';
import { isLasting, refusal } from './policy/storable.ts';
import type { Reason } from './reasons.ts';
import { failVisibly } from './response/flow.ts';
import { send } from './response/send.ts';
import type { PassOptions } from './response/tap/body.ts';
import type { TappedHead } from './response/tap/head.ts';
import { Tap } from './response/tap/tap.ts';

const debug = createDebug('cache-filter:fill');

/** Told by a leader what became of its claim. */
export interface LeadOutcome {
  /** The application's answer was not kept. `lasting`: nor will the next one be. */
  refused(reason: Reason, lasting: boolean): void;
}

/**
 * One leader: its handler writes to a virtual response, the bytes go to a fill, and its client reads from the fill like everybody else.
 * Resolves when both are done. Never rejects.
 */
export function lead(
  config: Config,
  exchange: Exchange,
  claim: LeaderClaim,
  outcome: LeadOutcome,
): Promise<void> {
  return new Lead(config, exchange, claim, outcome).run();
}

class Lead {
  readonly #config: Config;
  readonly #exchange: Exchange;
  readonly #claim: LeaderClaim;
  readonly #outcome: LeadOutcome;
  readonly #tap: Tap;
  readonly #ranged: boolean;
  #head: TappedHead | undefined;
  #fill: Fill | undefined;
  #failure: Error | undefined;
  /** The leader's own answer, once it is on its way. */
  #sent: Promise<unknown> | undefined;
  #done!: () => void;

  constructor(config: Config, exchange: Exchange, claim: LeaderClaim, outcome: LeadOutcome) {
    this.#config = config;
    this.#exchange = exchange;
    this.#claim = claim;
    this.#outcome = outcome;
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
    try {
      const result = this.#exchange.next();
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
    const { freshness } = this.#exchange.match.route;
    const { integrity, minEntryBytes, maxEntryBytes } = this.#config;
    const rules = {
      freshness,
      integrity,
      minEntryBytes,
      maxEntryBytes,
      credentials: this.#exchange.credentials,
    };
    const reason = refusal(head, rules, Date.now());
    if (reason === undefined) void this.#begin(head);
    else this.#decline(head, reason);
  }

  async #begin(head: TappedHead): Promise<void> {
    const { match, tag } = this.#exchange;
    const own = withDate(head, this.#exchange.res.sendDate);
    const { status, statusMessage, removed = [], merged = [] } = head;
    const common = { status, ...(statusMessage === undefined ? {} : { statusMessage }), removed, merged };
    const started = await this.#start(
      { ...common, headers: storedHeaders(own, this.#config.dropHeaders) },
      {
        ...(head.length === undefined ? {} : { size: head.length }),
        algorithms: [...declaredDigests(head.headers), ...(match.digest ? [match.digest] : [])]
          .map(({ algorithm }) => algorithm)
          .concat(match.route.digests),
        tags: [tag],
      },
    );
    if ('declined' in started) {
      try {
        this.#decline(head, started.declined);
      } catch (error) {
        // What Node refuses to send, it would have refused the handler.
        debug('%s: the response could not be passed on: %o', this.#exchange.key.primary, error);
        failVisibly(this.#tap.wire);
      }
      return;
    }
    this.#fill = started;
    if (this.#failure !== undefined) return this.#abort(this.#failure);
    this.#exchange.info.stored = true;
    const existing = fieldValue(head.headers, 'cache-status');
    this.#sent = send(this.#exchange.asked, this.#tap.wire, started.reader(), {
      head: { ...common, headers: own.filter(([name]) => !FRAMING.has(name.toLowerCase())) },
      headers: (partial) =>
        this.#exchange.statusField(
          { ...this.#forwarded(), stored: true, ...(partial ? UNVERIFIED : {}) },
          existing,
        ),
      provisional: true,
      trailers: () => this.#tap.trailers,
      signal: this.#exchange.signal,
    });
    this.#tap.divert({
      write: (chunk) => started.write(chunk),
      drained: () => started.drained(),
      end: () => void this.#commit(started, head),
    });
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
    const { match, key } = this.#exchange;
    const digests = [
      ...declaredDigests(head.headers),
      ...declaredDigests(this.#tap.trailers),
      ...(match.digest ? [match.digest] : []),
    ];
    try {
      await fill.commit({ digests, ...(head.length === undefined ? {} : { length: head.length }) });
      debug('%s: committed', key.primary);
    } catch (error) {
      debug('%s: not kept: %s', key.primary, error);
      this.#exchange.info.stored = false;
      this.#exchange.info.reason = reasonOf(error);
    }
    await this.#end();
  }

  /** The answer is not kept; it goes to the client as it comes. */
  #decline(head: TappedHead, reason: Reason): void {
    const { info, key } = this.#exchange;
    debug('%s: not kept: %s', key.primary, reason);
    info.stored = false;
    info.reason = reason;
    this.#outcome.refused(reason, isLasting(reason));
    const status = { ...this.#forwarded(), detail: reason };
    const field = this.#exchange.statusField(status, fieldValue(head.all, 'cache-status'));
    const ranged = this.#ranged ? rangeOf(this.#exchange, head) : {};
    const failed = this.#failure !== undefined;
    void this.#abandon().then(() => this.#done());
    this.#tap.pass({ ...ranged, headers: { ...Object.fromEntries(field), ...ranged.headers } });
    // It failed while the cache was still making up its mind: nobody else will tell the client.
    if (failed) failVisibly(this.#tap.wire);
  }

  /** The handler answers past us (`res.stream` on HTTP/2). */
  #aside(): void {
    this.#exchange.info.stored = false;
    this.#exchange.info.reason = 'unfinished';
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
    this.#exchange.info.stored = false;
    this.#exchange.info.reason = 'unfinished';
    debug('%s: the application failed: %s', this.#exchange.key.primary, error);
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

/** How to cut the range that was asked for out of an answer that was fetched whole and is not kept. */
function rangeOf({ asked }: Exchange, head: TappedHead): PassOptions {
  const { length } = head;
  if (head.status !== 200 || length === undefined || fieldValue(head.all, 'content-encoding') !== undefined)
    return {};
  if (!ifRangeHolds(asked.headers, validatorsOf(head.all))) return {};
  const request = parseRange(asked.headers.range, length);
  const [range, ...more] = request.kind === 'ranges' ? request.ranges : [];
  if (range === undefined || more.length > 0) return {};
  return {
    status: 206,
    range,
    headers: {
      // Of the whole, and said of what is sent.
      'Content-Digest': undefined,
      'Content-MD5': undefined,
      'Content-Range': contentRange(range, length),
      'Content-Length': String(range.end - range.start),
    },
  };
}

function reasonOf(error: unknown): Reason {
  if (error instanceof StoreError) return 'store-down';
  return error instanceof SupersededError ? 'purge' : 'unproven';
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
