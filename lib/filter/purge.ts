import createDebug from 'debug';
import type { Cache, EntryInfo, Invalidation } from '../cache/cache.ts';
import { concerns } from '../cache/invalidation.ts';
import { show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import { publish } from '../events.ts';
import type { Config } from '../options.ts';
import { failVisibly } from '../response/flow.ts';
import { Tap } from '../response/tap/tap.ts';
import { matchRoute } from '../routes/route.ts';
import type { Exchange } from './exchange.ts';
import { keyOf, tagOf } from './keys.ts';

const debug = createDebug('cache-filter:filter');

/**
 * Lets the application answer, and holds its 2xx (not a 206) back until the purge has happened: whoever sees the answer can rely on it.
 * Any other answer changes nothing (behaviours 38, 40 and 41 of Glance's cache). Resolves when the answer is on its way.
 */
export function purgeAfter(exchange: Exchange, purge: () => Promise<number>): Promise<void> {
  const { promise, resolve } = deferred();
  const { signal } = exchange;
  const purged = () =>
    purge().catch((error: unknown) =>
      debug('%s: the cache refused to purge: %o', exchange.key.primary, error),
    );
  const release = async (): Promise<void> => {
    await purged();
    try {
      tap.pass();
    } catch (error) {
      // What Node refuses to send, it would have refused the handler.
      debug('%s: the response could not be passed on: %o', exchange.key.primary, error);
      failVisibly(tap.wire);
    }
    resolve();
  };
  const tap = new Tap(exchange.req, exchange.res, {
    head: ({ status }) => {
      const succeeded = status >= 200 && status < 300 && status !== 206;
      if (succeeded) return;
      resolve();
      tap.pass();
    },
    // The head may come before the deed: held until the handler has ended.
    held: (ended) => {
      // An answer that is too long to be held goes out, and what was stored meanwhile is purged when it ends.
      if (!ended) exchange.res.once('close', () => void purged());
      void release();
    },
    failed: () => {
      failVisibly(tap.wire);
      resolve();
    },
    aside: resolve,
  });
  signal.addEventListener('abort', resolve, { once: true });
  try {
    exchange.next();
  } catch (error) {
    tap.fail(error as Error);
    throw error;
  }
  return promise;
}

/** What to purge: a resource by its id (on one route, or on all), an entry by its key, or what a URL names. */
export type PurgeTarget = { id: string; route?: string } | { key: string } | { url: string } | { all: true };

const MAX_TOMBSTONES = 10_000;

/** Takes away what must not be served any more. */
export class Purger {
  readonly #config: Config;
  readonly #cache: Cache;
  /** Purges that run, or that the cache refused, with their time: what was stored before is never served again. */
  readonly #tombstones = new Map<string, { what: Invalidation; since: number }>();

  constructor(config: Config, cache: Cache) {
    this.#config = config;
    this.#cache = cache;
  }

  /** Whether it was to go, and the cache could not do it. */
  isPurged({ key, tags, storedAt }: Pick<EntryInfo, 'key' | 'tags' | 'storedAt'>): boolean {
    if (this.#tombstones.size === 0) return false;
    return [...this.#tombstones.values()].some(
      ({ what, since }) => storedAt <= since && concerns(what, key, tags),
    );
  }

  /** How many entries are gone. Rejects with an OptionError for a target that is none, else with what the cache failed with; nothing of it is served all the same. */
  async purge(target: PurgeTarget): Promise<number> {
    let count = 0;
    for (const what of this.#invalidations(target)) count += await this.#invalidate(what);
    return count;
  }

  #invalidations(target: PurgeTarget): Invalidation[] {
    const { namespace, routes } = this.#config;
    const given = Object(target) as {
      id?: unknown;
      route?: unknown;
      key?: unknown;
      url?: unknown;
      all?: unknown;
    };
    if (given.all === true) return [namespace === '' ? { all: true } : { prefix: `${namespace}:` }];
    if (typeof given.key === 'string') return [{ key: given.key }];
    if (typeof given.url === 'string') return [...keysOf(this.#config, given.url)].map((key) => ({ key }));
    const { id, route } = given;
    const names = new Set(routes.map(({ name }) => name));
    const known = route === undefined || (typeof route === 'string' && names.has(route));
    if (typeof id === 'string' && known) {
      const chosen = typeof route === 'string' ? [route] : [...names];
      return chosen.map((name) => ({ tag: tagOf(this.#config, name, id) }));
    }
    throw new OptionError(
      'purge',
      known
        ? `purge takes { id }, { key }, { url } or { all: true }, each a string; got ${show(target)}`
        : `there is no route named ${show(route)}; there are ${[...names].join(', ')}`,
    );
  }

  async #invalidate(what: Invalidation): Promise<number> {
    const name = JSON.stringify(what);
    const tombstone = { what, since: Date.now() };
    this.#tombstones.set(name, tombstone);
    // With so many that the cache refuses, none of what it has is to be trusted.
    if (this.#tombstones.size > MAX_TOMBSTONES) this.#bury(tombstone.since);
    const entries = await this.#cache.invalidate(what);
    if (this.#tombstones.get(name) === tombstone) this.#tombstones.delete(name);
    debug('purged %d: %o', entries, what);
    publish('cache-filter:purge', () => ({ what, entries }));
    return entries;
  }

  #bury(since: number): void {
    const what = { all: true } as const;
    this.#tombstones.clear();
    this.#tombstones.set(JSON.stringify(what), { what, since });
  }
}

/** The keys that a URL may have, wherever above its last segment the filter is mounted. */
function keysOf(config: Config, url: string): Set<string> {
  if (!URL.canParse(url, 'http://localhost')) {
    throw new OptionError(
      'purge',
      `purge takes as url a path or a whole URL, such as '/files/42'; got ${show(url)}`,
    );
  }
  const { pathname, host } = new URL(url, 'http://localhost');
  const keys = new Set<string>();
  for (let at = 0; at >= 0; at = pathname.indexOf('/', at + 1)) {
    const match = matchRoute(config.routes, { method: 'GET', path: pathname.slice(at), query: '' });
    if (match !== undefined) keys.add(keyOf(config, match, pathname.slice(0, at), { host }).primary);
  }
  return keys;
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
