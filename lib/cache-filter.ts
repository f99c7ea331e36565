import type { IncomingMessage } from 'node:http';
import createDebug from 'debug';
import { LRUCache } from 'lru-cache';
import type { Cache, CacheStats, Claim, Entry } from './cache/cache.ts';
import { FileCache } from './cache/file-cache.ts';
import { type RefusedError, SupersededError } from './errors.ts';
import { Exchange, hasBody, mountOf, type Next, tagOf, targetOf } from './exchange.ts';
import { type Following, follow, leave, reluctanceOf, unshareable, waitFor } from './follow.ts';
import { hit, ttl } from './hit.ts';
import type { AnyRequest, AnyResponse } from './http/message.ts';
import { lead } from './lead.ts';
import { type CacheFilterOptions, type Config, resolveOptions } from './options.ts';
import { judge, type Verdict, wantsAround } from './policy/policy.ts';
import { keysOf, purgeAfter } from './purge.ts';
import type { Reason } from './reasons.ts';
import { matchRoute, type RouteMatch, type RouteRequest } from './routes/route.ts';

const debug = createDebug('cache-filter:filter');

/** What to purge: a resource by its id (on one route, or on all), an entry by its key, or what a URL names. */
export type PurgeTarget = { id: string; route?: string } | { key: string } | { url: string } | { all: true };

/** The middleware, with what an application can ask of it. */
export interface CacheFilter<Req extends AnyRequest = IncomingMessage> {
  (req: Req, res: AnyResponse, next: Next): void;
  /** How many entries are gone. Fills that run for them are not kept either. */
  purge(what: PurgeTarget): Promise<number>;
  stats(): Promise<CacheStats>;
  /** Resolves when no request is being answered by the filter and no fill runs. */
  idle(): Promise<void>;
  /** Waits for what runs, up to `closeTimeoutMs`, then ends it. Idempotent. Afterwards the filter lets everything pass. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  readonly cache: Cache;
}

/** How long a key is remembered whose responses can't be kept, in milliseconds. */
const UNCACHEABLE_MS = 10_000;

/** How long `close()` waits for what it has ended to come to its end, in milliseconds. */
const GRACE_MS = 1_000;

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
    stats: () => story.cache.stats(),
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
  readonly #ownsCache: boolean;
  readonly #running = new Map<Exchange, Promise<void>>();
  readonly #uncacheable = new LRUCache<string, Reason>({ max: 10_000, ttl: UNCACHEABLE_MS });
  /** Keys whose purge the disk refused, with the time: what was stored before is never served again. */
  readonly #tombstones = new Map<string, number>();
  #closing: Promise<void> | undefined;

  constructor(config: Config) {
    this.#config = config;
    const { directory, maxBytes, maxEntryBytes } = config;
    this.#ownsCache = config.cache === undefined;
    this.cache = config.cache ?? new FileCache({ directory: directory ?? '', maxBytes, maxEntryBytes });
  }

  /** 1. What the request means; most requests mean nothing to us. */
  begin(req: AnyRequest, res: AnyResponse, next: Next): void {
    let match: RouteMatch | undefined;
    try {
      match = matchRoute(this.#config.routes, routeRequest(req));
    } catch (error) {
      next(error);
      return;
    }
    if (match === undefined) {
      next();
      return;
    }
    const exchange = new Exchange(this.#config, req, res, next, match, mountOf(req));
    const obstacle = this.#closing !== undefined ? 'closed' : res.headersSent ? 'head-sent' : undefined;
    if (obstacle !== undefined) {
      this.#pass(exchange, obstacle);
      return;
    }
    this.#running.set(
      exchange,
      this.#answer(exchange).finally(() => this.#running.delete(exchange)),
    );
  }

  /** Never rejects: what a hook throws is the application's to answer for. */
  async #answer(exchange: Exchange): Promise<void> {
    let goOn: () => unknown;
    try {
      goOn = await this.#consider(exchange);
    } catch (error) {
      goOn = () => exchange.next(error);
    }
    // Outside of the try: an error in the handlers behind us is not ours.
    await goOn();
  }

  /** Decides, and says how to go on. */
  async #consider(exchange: Exchange): Promise<() => unknown> {
    const { match, key } = exchange;
    if (match.action === 'purge') return () => purgeAfter(exchange, () => this.#purgeKey(key.primary));
    if (hasBody(exchange.req)) return () => this.#pass(exchange, 'request-body');

    // 2. The application's own way around.
    if (await wantsAround(this.#config, exchange.context)) return () => this.#pass(exchange, 'bypass');

    // 3. What is there, opened before anything is promised.
    const entry = await this.#open(exchange);
    if (entry === undefined) return this.#miss(exchange);

    // 4. Whether this caller may have it.
    if (!exchange.mayShare(entry.head)) {
      entry.release();
      return () => this.#pass(exchange, 'credentials');
    }
    const verdict = await this.#judge(exchange, entry);
    // 5. Answer from it.
    if (verdict.do === 'serve') return () => hit(exchange, entry);
    entry.release();
    return this.#obey(exchange, verdict);
  }

  async #open(exchange: Exchange): Promise<Entry | undefined> {
    const { key } = exchange;
    const entry = await this.#try(exchange, () => this.cache.open(key));
    if (entry === undefined) return undefined;
    const since = entry.info.storedAt;
    const purged = (this.#tombstones.get(key.primary) ?? Number.NEGATIVE_INFINITY) >= since;
    if (!purged && ttl(exchange, entry) > 0) return entry;
    entry.release();
    exchange.staleSince = since;
    exchange.info.reason = 'expired';
    return undefined;
  }

  async #judge(exchange: Exchange, entry: Entry | undefined): Promise<Verdict> {
    const stored =
      entry === undefined
        ? { digests: [] }
        : { size: entry.size, digests: entry.info.digests, entry: entry.info };
    try {
      return await judge(this.#config, exchange.context, stored);
    } catch (error) {
      entry?.release();
      throw error;
    }
  }

  /** What follows from a verdict other than to serve. */
  async #obey(exchange: Exchange, verdict: Exclude<Verdict, { do: 'serve' }>): Promise<() => unknown> {
    exchange.info.reason = verdict.reason;
    if (verdict.drop) await this.#try(exchange, () => this.#purgeKey(exchange.key.primary));
    if (verdict.do === 'pass')
      return verdict.drop ? this.#miss(exchange) : () => this.#pass(exchange, verdict.reason);
    return () => this.#refuse(exchange, verdict.reason, verdict.error);
  }

  /** 6. Nothing to serve: lead, follow, or leave it to the application. */
  async #miss(exchange: Exchange): Promise<() => unknown> {
    const { key, asked } = exchange;
    const reluctance = reluctanceOf(this.#config, asked);
    const newerThan = exchange.staleSince === undefined ? {} : { newerThan: exchange.staleSince };
    for (let attempt = 0; ; attempt++) {
      const lasting = this.#uncacheable.get(nameOf(exchange));
      if (lasting !== undefined) return () => this.#pass(exchange, lasting, 'uri-miss');
      const claim = await this.#try(exchange, () =>
        this.cache.claim(key, { join: reluctance !== undefined, ...newerThan }),
      );
      if (claim === undefined) return () => this.#pass(exchange, reluctance ?? 'store-down', 'uri-miss');
      if (claim.role === 'declined') return () => this.#pass(exchange, claim.reason, 'uri-miss');
      if (claim.role === 'leader') return () => this.#lead(exchange, claim);
      if (claim.role === 'entry') return this.#late(exchange, claim.entry);
      // A fill that ended with nothing to share let its followers go all at once: one of them leads now, the rest pass.
      const answer = attempt === 0 ? await this.#follow(exchange, claim) : undefined;
      if (answer !== undefined) return answer;
      if (attempt === 0) continue;
      leave(claim);
      return () => this.#pass(exchange, 'collapse', 'uri-miss');
    }
  }

  /** Committed between looking and claiming: a hit after all. */
  async #late(exchange: Exchange, entry: Entry): Promise<() => unknown> {
    const verdict = await this.#judge(exchange, entry);
    if (verdict.do === 'serve' && exchange.mayShare(entry.head)) return () => hit(exchange, entry);
    entry.release();
    return verdict.do === 'serve' ? () => this.#pass(exchange, 'credentials') : this.#obey(exchange, verdict);
  }

  /** 7. The handler answers, into a fill that everybody reads. */
  #lead(exchange: Exchange, claim: Claim & { role: 'leader' }): Promise<void> {
    debug('%s: leading', exchange.key.primary);
    return lead(this.#config, exchange, claim, {
      refused: (reason, lasting) => {
        if (lasting) this.#uncacheable.set(nameOf(exchange), reason);
      },
    });
  }

  /** Reads what somebody else fetches; undefined where there is nothing to share. The same gate as for a hit comes first. */
  async #follow(exchange: Exchange, claim: Following): Promise<(() => unknown) | undefined> {
    let verdict: Verdict;
    try {
      verdict = await this.#judge(exchange, undefined);
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
    const reason = unshareable(exchange, fill);
    if (reason === undefined) return () => follow(exchange, fill);
    fill.release();
    return () => this.#pass(exchange, reason, 'uri-miss');
  }

  /** The policy has said no; how that is told is up to the application's error handler. */
  #refuse(exchange: Exchange, reason: Reason, error: RefusedError): unknown {
    exchange.info.status = 'bypass';
    debug('%s: %s', exchange.key.primary, reason);
    const field = exchange.mark({ detail: reason });
    // Express's and Connect's final handler starts from an empty header, and sets these.
    Object.assign(error.headers, Object.fromEntries(field));
    return exchange.next(error);
  }

  /** A cache never makes a response worse: one that fails has nothing. */
  async #try<T>({ key }: Exchange, run: () => Promise<T> | T): Promise<T | undefined> {
    try {
      return await run();
    } catch (error) {
      debug('%s: the cache failed: %o', key.primary, error);
      return undefined;
    }
  }

  /** The application answers, untouched. */
  #pass(exchange: Exchange, reason: Reason, fwd: 'bypass' | 'uri-miss' = 'bypass'): void {
    exchange.info.status = fwd === 'bypass' ? 'bypass' : 'miss';
    exchange.info.reason = reason;
    debug('%s: %s', exchange.key.primary, reason);
    exchange.mark({ fwd: exchange.staleSince === undefined ? fwd : 'stale', detail: reason });
    // What becomes of it is not ours to wait for.
    exchange.next();
  }

  /** A matched DELETE, or whoever asks by `filter.purge`. */
  async #purgeKey(primary: string): Promise<number> {
    // Nothing that was stored until now is served again, even if the disk refuses to give it up.
    this.#tombstones.set(primary, Date.now());
    for (const name of this.#uncacheable.keys())
      if (name.startsWith(`${primary}\0`)) this.#uncacheable.delete(name);
    const count = await this.cache.invalidate({ key: primary });
    this.#tombstones.delete(primary);
    debug('%s: purged', primary);
    return count;
  }

  async purge(what: PurgeTarget): Promise<number> {
    if ('all' in what) {
      const { namespace } = this.#config;
      return this.cache.invalidate(namespace === '' ? { all: true } : { prefix: `${namespace}:` });
    }
    if ('key' in what) return this.#purgeKey(what.key);
    let count = 0;
    if ('url' in what) {
      for (const key of keysOf(this.#config, what.url)) count += await this.#purgeKey(key);
      return count;
    }
    const names = what.route === undefined ? this.#config.routes.map(({ name }) => name) : [what.route];
    for (const name of new Set(names))
      count += await this.cache.invalidate({ tag: tagOf(this.#config, name, what.id) });
    return count;
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (!(await this.#idleWithin(this.#config.closeTimeoutMs))) {
      const reason = new SupersededError('the filter was closed');
      for (const exchange of this.#running.keys()) exchange.stop(reason);
      // A hook that never settles can't be stopped.
      await this.#idleWithin(GRACE_MS);
    }
    if (this.#ownsCache) await this.cache.close();
  }

  #idleWithin(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), milliseconds);
      void this.idle().then(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }
}

function routeRequest({ method = '', url = '' }: AnyRequest): RouteRequest {
  return { method, ...targetOf(url) };
}

function nameOf({ key }: Exchange): string {
  return `${key.primary}\0${key.variant ?? ''}`;
}
