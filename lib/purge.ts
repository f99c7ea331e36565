import createDebug from 'debug';
import { type Exchange, keyOf } from './exchange.ts';
import type { Config } from './options.ts';
import { failVisibly } from './response/flow.ts';
import { Tap } from './response/tap/tap.ts';
import { matchRoute } from './routes/route.ts';

const debug = createDebug('cache-filter:filter');

/**
 * Lets the application answer, and holds its 2xx (not a 206) back until the purge has happened: whoever sees the answer can rely on it.
 * Any other answer changes nothing (behaviours 38, 40 and 41 of Glance's cache). Resolves when the answer is on its way.
 */
export function purgeAfter(exchange: Exchange, purge: () => Promise<number>): Promise<void> {
  const { promise, resolve } = deferred();
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
  exchange.signal.addEventListener('abort', resolve, { once: true });
  exchange.info.status = 'bypass';
  try {
    exchange.next();
  } catch (error) {
    tap.fail(error as Error);
    throw error;
  }
  return promise;
}

/** The keys that a URL may have, wherever above its last segment the filter is mounted. */
export function keysOf(config: Config, url: string): Set<string> {
  const { pathname } = new URL(url, 'http://localhost');
  const keys = new Set<string>();
  for (let at = 0; at >= 0; at = pathname.indexOf('/', at + 1)) {
    const match = matchRoute(config.routes, { method: 'GET', path: pathname.slice(at), query: '' });
    if (match !== undefined) keys.add(keyOf(config, match, pathname.slice(0, at)).primary);
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
