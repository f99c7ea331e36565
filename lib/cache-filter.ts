import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Cache, Entry, LeaderClaim, VerifyOptions } from './cache/cache.ts';
import { FileCache } from './cache/file-cache.ts';
import { idOf } from './cache/key.ts';
import { type RefusedError, SupersededError } from './errors.ts';
import { Exchange, hasBody, hasContentRange, type Next } from './filter/exchange.ts';
import type { CacheFilter } from './filter/filter.ts';
import {
  type Following,
  follow,
  leave,
  reluctanceOf,
  unclaim,
  unshareable,
  waitFor,
} from './filter/follow.ts';
import { answerFrom, ttl } from './filter/hit.ts';
import { inTime, tryInTime } from './filter/in-time.ts';
import { type FilterStats, Journal } from './filter/journal.ts';
import { lead } from './filter/lead.ts';
import { Leads } from './filter/leads.ts';
import { type LeadAnswer, OwnAnswer } from './filter/own-answer.ts';
import { Purger, type PurgeTarget, purgeAfter } from './filter/purge.ts';
import { Running } from './filter/running.ts';
import { Uses } from './filter/uses.ts';
import type { AnyRequest, AnyResponse } from './http/message.ts';
import { type CacheFilterOptions, type Config, resolveOptions } from './options.ts';
import { currentVersion, judge, type Verdict, wantsAround } from './policy/policy.ts';
import type { Reason } from './reasons.ts';
import { RouteTable } from './routes/table.ts';
import { isPromise, run, type Steps, wait } from './steps.ts';

/** So many processes may die or give way, one after the other, before they have begun what a request waits for. */
const MOST_LOSSES = 5;

/** How long a key is remembered whose responses can't be kept, in milliseconds. */
const UNCACHEABLE_MS = 10_000;

/**
 * Middleware that keeps the responses of the handlers behind it, and answers from there.
 *
 * @throws OptionError for an option that can't be used as given, DirectoryError for a directory that can't be used
 */
export function cacheFilter<Req extends AnyRequest = IncomingMessage, R = unknown>(
  options: CacheFilterOptions<Req, R>,
): CacheFilter<Req> {
  const config = resolveOptions(options);
  const story = new Story(config);
  const filter = function cacheFilter(req: Req, res: AnyResponse, next: Next): void {
    story.begin(req, res, next);
  };
  return Object.assign(filter, {
    purge: (what: PurgeTarget) => story.purge(what),
    verify: (options?: VerifyOptions) => story.cache.verify(options),
    stats: () => story.stats(),
    idle: () => story.idle(),
    close: () => story.close(),
    [Symbol.asyncDispose]: () => story.close(),
    cache: story.cache,
  });
}

/** The life of a request, in the order in which it happens. */
class Story {
  readonly cache: Cache;
  readonly #config: Config;
  readonly #routes: RouteTable;
  readonly #journal: Journal;
  readonly #purger: Purger;
  readonly #running = new Running();
  readonly #leads: Leads;
  readonly #uncacheable = new LRUCache<string, Reason>({ max: 10_000, ttl: UNCACHEABLE_MS });
  readonly #uses: Uses;
  /** Routes whose resources have a version, as far as `metadata` has shown. */
  readonly #versioned = new Set<string>();
  #closing: Promise<void> | undefined;

  constructor(config: Config) {
    this.#config = config;
    this.cache = config.cache ?? new FileCache(config.store);
    this.#routes = new RouteTable(config.routes);
    this.#journal = new Journal(config);
    this.#purger = new Purger(config, this.cache);
    this.#leads = new Leads(config.maxFills);
    this.#uses = new Uses(config.minUses);
  }

  /** 1. What the request means; most requests mean nothing to us. */
  begin(req: AnyRequest, res: AnyResponse, next: Next): void {
    let exchange: Exchange | undefined;
    try {
      const match = this.#routes.match(req.method ?? '', req.url ?? '');
      if (match !== undefined) exchange = new Exchange(this.#config, req, res, next, match);
    } catch (error) {
      next(error);
      return;
    }
    if (exchange === undefined) {
      next();
      return;
    }
    const obstacle = this.#closing !== undefined ? 'closed' : res.headersSent ? 'head-sent' : undefined;
    if (obstacle !== undefined) {
      this.#pass(exchange, obstacle);
      return;
    }
    const answered = run(this.#answer(exchange));
    if (isPromise(answered)) this.#running.add(exchange, answered as Promise<void>);
  }

  /** What a hook throws is the application's to answer for. */
  *#answer(exchange: Exchange): Steps<void> {
    let goOn: () => unknown;
    try {
      goOn = yield* this.#consider(exchange);
    } catch (error) {
      goOn = () => exchange.next(error);
    }
    // Outside of the try: an error in the handlers behind us is not ours.
    yield* wait(goOn());
  }

  /** Decides, and says how to go on. */
  *#consider(exchange: Exchange): Steps<() => unknown> {
    if (exchange.match.action === 'purge') return () => this.#purgeAfter(exchange);
    if (hasBody(exchange.req)) return () => this.#pass(exchange, 'request-body');
    if (hasContentRange(exchange.req)) return () => this.#pass(exchange, 'range');

    // 2. The application's own way around.
    const { bypass, hookTimeoutMs } = this.#config;
    if (bypass !== undefined && (yield* wantsAround(bypass, exchange.context, hookTimeoutMs)))
      return () => this.#pass(exchange, 'bypass');

    // 3. What is there, opened before anything is promised.
    const entry = yield* this.#open(exchange);
    if (exchange.storeIsLate) return () => this.#pass(exchange, 'store-down', 'uri-miss');
    if (entry === undefined) return yield* wait(this.#miss(exchange));

    // 4. Whether this caller may have it.
    if (!exchange.mayShare(entry.head)) {
      entry.release(false);
      return () => this.#pass(exchange, 'credentials');
    }
    const verdict = yield* this.#judge(exchange, entry);
    // 5. Answer from it; where its bytes no longer are what was stored, it has gone.
    if (verdict.do === 'serve')
      return (yield* answerFrom(exchange, entry, this.#journal)) ?? (yield* wait(this.#miss(exchange)));
    entry.release(false);
    return yield* wait(this.#obey(exchange, verdict));
  }

  *#open(exchange: Exchange): Steps<Entry | undefined> {
    const { key } = exchange;
    const { storeTimeoutMs } = this.#config;
    const late = (entry: Entry | undefined) => entry?.release(false);
    const entry = yield* tryInTime(exchange, storeTimeoutMs, () => this.cache.open(key), late);
    if (entry === undefined) return undefined;
    const purged = this.#purger.isPurged(entry.info);
    if (!purged && ttl(exchange, entry, Date.now()) > 0) return entry;
    entry.release(false);
    exchange.staleSince = entry.info.storedAt;
    exchange.info.reason = purged ? 'purge' : 'expired';
    return undefined;
  }

  *#judge(exchange: Exchange, entry: Entry | undefined): Steps<Verdict> {
    const { metadata, authorize } = this.#config;
    if (metadata === undefined && typeof authorize !== 'function') return { do: 'serve' };
    const stored =
      entry === undefined
        ? { digests: [] }
        : { size: entry.size, digests: entry.info.digests, entry: entry.info };
    try {
      const verdict = yield* judge(this.#config, exchange.context, stored);
      if ('version' in verdict) this.#versioned.add(exchange.match.route.name);
      return verdict;
    } catch (error) {
      entry?.release(false);
      throw error;
    }
  }

  /** What follows from a verdict other than to serve. */
  async #obey(exchange: Exchange, verdict: Exclude<Verdict, { do: 'serve' }>): Promise<() => unknown> {
    const { reason } = verdict;
    exchange.info.reason = reason;
    if (verdict.drop) await this.#drop(exchange).catch(() => undefined);
    if (verdict.do === 'refuse') return () => this.#refuse(exchange, reason, verdict.error);
    exchange.version = verdict.version;
    return verdict.drop ? this.#miss(exchange) : () => this.#pass(exchange, reason);
  }

  /** 6. Nothing to serve: lead, follow, or leave it to the application. */
  async #miss(exchange: Exchange): Promise<() => unknown> {
    exchange.keepAsked();
    const { key, asked } = exchange;
    const unwilling =
      reluctanceOf(this.#config, asked) ?? (this.#uses.areTooFew(key) ? 'min-uses' : undefined);
    for (let attempt = 0, losses = 0; ; ) {
      const lasting = this.#uncacheable.get(idOf(exchange.key));
      if (lasting !== undefined) return () => this.#pass(exchange, lasting, 'uri-miss');
      const reluctance = unwilling ?? (this.#leads.isFull(key) ? 'fills-full' : undefined);
      const { staleSince: newerThan } = exchange;
      const options = { join: reluctance !== undefined, ...(newerThan === undefined ? {} : { newerThan }) };
      const claiming = () => this.cache.claim(key, options);
      const claim = await this.#leads.claim(key, async () =>
        run(tryInTime(exchange, this.#config.storeTimeoutMs, claiming, unclaim)),
      );
      if (claim === undefined) return () => this.#pass(exchange, reluctance ?? 'store-down', 'uri-miss');
      if (claim.role === 'declined') return () => this.#pass(exchange, claim.reason, 'uri-miss');
      if (claim.role === 'leader') return () => this.#lead(exchange, claim);
      if (claim.role === 'entry') return this.#late(exchange, claim.entry);
      // A fill that ended with nothing to share let its followers go all at once: one of them leads now, the rest pass.
      const following = () => this.#follow(exchange, claim);
      const answer = attempt === 0 ? await this.#leads.awaiting(key, following) : undefined;
      if (answer !== undefined) return answer;
      // Where nothing is known of it yet, that is no reason to let all go.
      if (claim.again && losses++ < MOST_LOSSES) {
        const stored = await run(this.#open(exchange));
        if (stored !== undefined) return this.#late(exchange, stored);
        continue;
      }
      if (attempt++ === 0) continue;
      leave(claim);
      return () => this.#pass(exchange, 'collapse', 'uri-miss');
    }
  }

  /** Committed between looking and claiming: a hit after all. */
  async #late(exchange: Exchange, entry: Entry): Promise<() => unknown> {
    const verdict = await run(this.#judge(exchange, entry));
    if (verdict.do === 'serve' && exchange.mayShare(entry.head)) {
      const answer = await run(answerFrom(exchange, entry, this.#journal));
      // One that is damaged, and can't be removed, is none.
      return answer ?? (() => this.#pass(exchange, 'store-down', 'uri-miss'));
    }
    entry.release(false);
    return verdict.do === 'serve' ? () => this.#pass(exchange, 'credentials') : this.#obey(exchange, verdict);
  }

  /** 7. The handler answers, into a fill that everybody reads. */
  async #lead(exchange: Exchange, claim: LeaderClaim): Promise<void> {
    // Known before the application reads what it sends: a version must never be newer than its bytes.
    if (exchange.version === undefined && this.#versioned.has(exchange.match.route.name)) {
      exchange.version = await currentVersion(this.#config, exchange.context).catch((error: unknown) => {
        this.#journal.hookFailed(exchange, 'metadata', error);
        return undefined;
      });
    }
    this.#journal.miss(exchange);
    await this.#fetch(exchange, claim, new OwnAnswer(exchange, this.#journal));
  }

  #fetch(exchange: Exchange, claim: LeaderClaim, answer: LeadAnswer): Promise<void> {
    const { key } = exchange;
    return lead(this.#config, exchange, claim, answer, {
      journal: this.#journal,
      remember: (reason) => this.#uncacheable.set(idOf(key), reason),
      ended: () => this.#leads.ended(),
      awaited: (deserted) => this.#leads.isAwaited(key, deserted),
    });
  }

  /** Reads what somebody else fetches; undefined where there is nothing to share. The same gate as for a hit comes first. */
  async #follow(exchange: Exchange, claim: Following): Promise<(() => unknown) | undefined> {
    let verdict: Verdict;
    try {
      verdict = await run(this.#judge(exchange, undefined));
    } catch (error) {
      leave(claim);
      throw error;
    }
    if (verdict.do !== 'serve') {
      leave(claim);
      return this.#obey(exchange, verdict);
    }
    const fill = await waitFor(claim, this.#config.collapseTimeoutMs, exchange.signal);
    // Nobody is left to answer.
    if (exchange.signal.aborted) {
      fill?.release();
      return () => undefined;
    }
    if (fill === undefined) return undefined;
    const reason = unshareable(exchange, fill, verdict.version);
    if (reason !== undefined) {
      fill.release();
      return () => this.#pass(exchange, reason, 'uri-miss');
    }
    exchange.version = verdict.version;
    return () =>
      follow(this.#config, exchange, fill, this.#journal, (inherited, answer) => {
        this.#leads.inherited();
        return this.#fetch(exchange, inherited, answer);
      });
  }

  /** The policy has said no; how that is told is up to the application's error handler. */
  #refuse(exchange: Exchange, reason: Reason, error: RefusedError): unknown {
    this.#journal.refuse(exchange, reason, error.status);
    const field = exchange.mark({ detail: reason });
    // Express's and Connect's final handler starts from an empty header, and sets these.
    Object.assign(error.headers, Object.fromEntries(field));
    return exchange.next(error);
  }

  /** The application answers, untouched. */
  #pass(exchange: Exchange, reason: Reason, fwd: 'bypass' | 'uri-miss' = 'bypass'): void {
    if (fwd === 'bypass') this.#journal.bypass(exchange, reason);
    else this.#journal.miss(exchange, reason);
    exchange.mark({ fwd: exchange.staleSince === undefined ? fwd : 'stale', detail: reason });
    // What becomes of it is not ours to wait for.
    exchange.next();
  }

  /** A matched DELETE: done when whoever sees its answer can rely on it. */
  #purgeAfter(exchange: Exchange): Promise<void> {
    exchange.info.status = 'bypass';
    return purgeAfter(exchange, () => this.#drop(exchange));
  }

  /** Whatever the cache says, this filter does not serve it any more. */
  #drop({ key }: Exchange): Promise<number> {
    return inTime(this.purge({ key: key.primary }), this.#config.storeTimeoutMs);
  }

  async purge(target: PurgeTarget): Promise<number> {
    this.#uncacheable.clear();
    return this.#purger.purge(target);
  }

  async stats(): Promise<FilterStats> {
    return this.#journal.stats(await this.cache.stats(), this.#running.size);
  }

  idle(): Promise<void> {
    return this.#running.idle();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#running.end(this.#config.closeTimeoutMs, new SupersededError('the filter was closed'));
    if (this.#config.cache === undefined) await this.cache.close();
  }
}
