import type { IncomingMessage } from 'node:http';
import type { Cache, VerifyOptions } from './cache/cache.ts';
import { FileCache } from './cache/file-cache.ts';
import { PrefetchError, SupersededError } from './errors.ts';
import { Around } from './filter/around.ts';
import type { Errand } from './filter/errand.ts';
import { Exchange, hasBody, hasContentRange, type Next } from './filter/exchange.ts';
import type { CacheFilter } from './filter/filter.ts';
import { Gate } from './filter/gate.ts';
import { HandlerLeader } from './filter/handler-leader.ts';
import { answerFrom } from './filter/hit.ts';
import { inTime } from './filter/in-time.ts';
import { type FilterStats, Journal } from './filter/journal.ts';
import { Leads } from './filter/leads.ts';
import { Misses } from './filter/misses.ts';
import type { Prefetched, PrefetchInfo } from './filter/prefetch/job.ts';
import type { PrefetchOptions } from './filter/prefetch/prefetcher.ts';
import type { Wanted } from './filter/prefetch/unattended.ts';
import { Pulling } from './filter/pulling.ts';
import { Purger, type PurgeTarget, purgeAfter } from './filter/purge.ts';
import { Running } from './filter/running.ts';
import { Stored } from './filter/stored.ts';
import type { AnyRequest, AnyResponse } from './http/message.ts';
import { type CacheFilterOptions, type Config, resolveOptions } from './options.ts';
import { type Verdict, wantsAround } from './policy/policy.ts';
import type { Reason } from './reasons.ts';
import { RouteTable } from './routes/table.ts';
import { isPromise, run, type Steps, wait } from './steps.ts';

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
    prefetch: (what: string | Wanted, options?: PrefetchOptions) => story.prefetch(what, options),
    prefetches: () => story.prefetches(),
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
  /** What is fetched for whoever may want it. */
  readonly #pulls = new Running();
  readonly #pulling: Pulling | undefined;
  readonly #gate: Gate;
  readonly #stored: Stored;
  readonly #around: Around;
  readonly #misses: Misses;
  #closing: Promise<void> | undefined;

  constructor(config: Config) {
    this.#config = config;
    this.cache = config.cache ?? new FileCache(config.store);
    this.#routes = new RouteTable(config.routes);
    this.#journal = new Journal(config);
    this.#purger = new Purger(config, this.cache, (what) => this.#pulling?.invalidate(what));
    this.#gate = new Gate(config, this.#journal);
    this.#stored = new Stored(config, this.cache, this.#purger);
    const remember = (errand: Errand, reason: Reason) => this.#misses.remember(errand, reason);
    const leads = new Leads(config.maxFills);
    const pulling =
      config.origin === undefined
        ? undefined
        : new Pulling(config, {
            cache: this.cache,
            journal: this.#journal,
            gate: this.#gate,
            stored: this.#stored,
            purger: this.#purger,
            leads,
            pulls: this.#pulls,
            remember,
            late: (exchange, entry) => this.#misses.late(exchange, entry),
            again: (exchange) => this.#misses.take(exchange),
            drop: (errand) => this.#drop(errand),
          });
    this.#pulling = pulling;
    this.#around = new Around(this.#journal, pulling?.relay);
    const common = {
      cache: this.cache,
      journal: this.#journal,
      gate: this.#gate,
      stored: this.#stored,
      around: this.#around,
      leads,
    };
    this.#misses = new Misses(config, {
      ...common,
      leader: pulling?.leader ?? new HandlerLeader(config, common, remember),
      cold: pulling?.cold,
      obey: (exchange, verdict) => this.#obey(exchange, verdict),
    });
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
      this.#around.pass(exchange, obstacle);
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
    const around = this.#around;
    if (exchange.match.action === 'purge') return () => this.#purgeAfter(exchange);
    if (hasBody(exchange.req)) return () => around.pass(exchange, 'request-body');
    if (hasContentRange(exchange.req)) return () => around.pass(exchange, 'range');

    // 2. The application's own way around.
    const { bypass, hookTimeoutMs } = this.#config;
    if (bypass !== undefined && (yield* wantsAround(bypass, exchange.context, hookTimeoutMs)))
      return () => around.pass(exchange, 'bypass');

    // 3. What is there, opened before anything is promised.
    const entry = exchange.match.route.store ? yield* this.#stored.open(exchange) : undefined;
    if (entry === undefined) return yield* wait(this.#miss(exchange));

    // 4. Whether this caller may have it.
    if (!exchange.mayShare(entry.head)) {
      entry.release(false);
      return () => around.unshared(exchange);
    }
    const verdict = yield* this.#gate.judge(exchange, entry);
    // 5. Answer from it; where its bytes no longer are what was stored, it has gone.
    if (verdict.do === 'serve') {
      const answer = yield* answerFrom(exchange, entry, this.#journal);
      if (answer === undefined) return yield* wait(this.#miss(exchange));
      exchange.version = verdict.version;
      if (exchange.isStale) this.#pulling?.renew(exchange);
      return answer;
    }
    entry.release(false);
    return yield* wait(this.#obey(exchange, verdict));
  }

  /** 6. and 7. Nothing to serve: lead, follow, or leave it to whoever has it. */
  async #miss(exchange: Exchange): Promise<() => unknown> {
    if (this.#pulling !== undefined) {
      this.#pulling.requireNoLoop(exchange);
      // The origin does not ask who it is that wants it: we do.
      const verdict = await run(this.#gate.judge(exchange, undefined));
      if (verdict.do !== 'serve') return this.#obey(exchange, verdict);
      exchange.version = verdict.version;
    }
    if (!exchange.match.route.store) return () => this.#around.forward(exchange, 'route');
    if (exchange.storeIsLate) return () => this.#around.forward(exchange, 'store-down');
    return this.#misses.take(exchange);
  }

  /** What follows from a verdict other than to serve. */
  async #obey(exchange: Exchange, verdict: Exclude<Verdict, { do: 'serve' }>): Promise<() => unknown> {
    const { reason } = verdict;
    exchange.info.reason = reason;
    if (verdict.drop) await this.#drop(exchange).catch(() => undefined);
    if (verdict.do === 'refuse') return () => this.#around.refuse(exchange, reason, verdict.error);
    exchange.version = verdict.version;
    return verdict.drop ? this.#miss(exchange) : () => this.#around.pass(exchange, reason);
  }

  /** A matched DELETE: done when whoever sees its answer can rely on it. */
  #purgeAfter(exchange: Exchange): Promise<unknown> {
    exchange.info.status = 'bypass';
    const { forwardMethods } = this.#config;
    if (this.#pulling !== undefined && forwardMethods.includes(exchange.req.method ?? ''))
      return this.#forwardPurge(exchange, this.#pulling);
    return purgeAfter(exchange, () => this.#drop(exchange));
  }

  /** The same, by the origin: with our credentials, so that the policy has the first word. */
  async #forwardPurge(exchange: Exchange, { relay }: Pulling): Promise<unknown> {
    let verdict: Verdict;
    try {
      verdict = await run(this.#gate.judge(exchange, undefined));
    } catch (error) {
      return exchange.next(error);
    }
    if (verdict.do === 'refuse') return this.#around.refuse(exchange, verdict.reason, verdict.error);
    if (verdict.do === 'pass') return purgeAfter(exchange, () => this.#drop(exchange));
    return relay.forwardPurge(exchange, () => this.#drop(exchange));
  }

  /** Whatever the cache says, this filter does not serve it any more. */
  #drop({ key }: Errand): Promise<number> {
    return inTime(this.purge({ key: key.primary }), this.#config.storeTimeoutMs);
  }

  async purge(target: PurgeTarget): Promise<number> {
    this.#misses.forget();
    return this.#purger.purge(target);
  }

  async prefetch(what: string | Wanted, options?: PrefetchOptions): Promise<Prefetched> {
    if (this.#closing !== undefined) throw new SupersededError('the filter was closed');
    if (this.#pulling !== undefined) return this.#pulling.prefetcher.add(what, options);
    throw new PrefetchError('there is nothing to prefetch from: give the filter an origin', 'no-origin');
  }

  prefetches(): PrefetchInfo[] {
    return this.#pulling?.prefetcher.list() ?? [];
  }

  async stats(): Promise<FilterStats> {
    return this.#journal.stats(await this.cache.stats(), this.#running.size);
  }

  async idle(): Promise<void> {
    const isBusy = () => this.#running.size + this.#pulls.size > 0 || this.#pulling?.isBusy === true;
    do await Promise.all([this.#running.idle(), this.#pulls.idle(), this.#pulling?.idle()]);
    while (isBusy());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { closeTimeoutMs } = this.#config;
    this.#pulling?.prefetcher.close();
    const reason = new SupersededError('the filter was closed');
    await Promise.all([this.#running, this.#pulls].map((all) => all.end(closeTimeoutMs, reason)));
    this.#pulling?.close();
    if (this.#config.cache === undefined) await this.cache.close();
  }
}
