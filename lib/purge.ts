import createDebug from 'debug';
import type { Exchange } from './exchange.ts';
import { failVisibly } from './response/flow.ts';
import { Tap, type TappedHead } from './response/tap/tap.ts';

const debug = createDebug('cache-filter:filter');

/**
 * Lets the application answer, and holds its 2xx (not a 206) back until the purge has happened: whoever sees the answer can rely on it.
 * Any other answer changes nothing (behaviours 38, 40 and 41 of Glance's cache). Resolves when the answer is on its way.
 */
export function purgeAfter(exchange: Exchange, purge: () => Promise<number>): Promise<void> {
  const { promise, resolve } = deferred();
  const decide = async ({ status }: TappedHead): Promise<void> => {
    const succeeded = status >= 200 && status < 300 && status !== 206;
    if (succeeded) {
      await purge().catch((error: unknown) => debug('%s: the cache refused to purge: %o', exchange.key.primary, error));
    }
    tap.pass();
    resolve();
  };
  const tap = new Tap(exchange.req, exchange.res, {
    head: (head) => void decide(head),
    failed: () => {
      failVisibly(tap.wire);
      resolve();
    },
  });
  exchange.info.status = 'bypass';
  try {
    exchange.next();
  } catch (error) {
    tap.fail(error as Error);
    throw error;
  }
  return promise;
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
