// docs/reference/filter.md

import type { IncomingMessage } from 'node:http';
import type { Cache, Verified, VerifyOptions } from '../cache/cache.ts';
import type { AnyRequest, AnyResponse } from '../http/message.ts';
import type { Next } from './exchange.ts';
import type { FilterStats } from './journal.ts';
import type { Prefetched, PrefetchInfo } from './prefetch/job.ts';
import type { PrefetchOptions } from './prefetch/prefetcher.ts';
import type { Wanted } from './prefetch/unattended.ts';
import type { PurgeTarget } from './purge.ts';

/** The middleware, with what an application can ask of it. */
export interface CacheFilter<Req extends AnyRequest = IncomingMessage> {
  (req: Req, res: AnyResponse, next: Next): void;
  /**
   * Makes entries unreachable, and fills that run for them too. Resolves to how many entries there were.
   * @throws OptionError (as a rejection) for a target that is none
   */
  purge(what: PurgeTarget): Promise<number>;
  /**
   * Reads what is stored, all of it, and drops what is not what was stored.
   * @throws OptionError
   */
  verify(options?: VerifyOptions): AsyncIterable<Verified>;
  /**
   * Has something fetched from the origin ahead of time: an id (see the options `urlFor` and `routes`), or a path below the mount point. What
   * is stored already, or being fetched, is not fetched again. It is kept on disk that it is to be fetched, until it has been. Resolves when
   * it is stored.
   * @throws PrefetchError, OriginError, OptionError, QueueFullError (as rejections): why it is not
   */
  prefetch(what: string | Wanted, options?: PrefetchOptions): Promise<Prefetched>;
  /** What is still to be fetched ahead of time, and how far that is. */
  prefetches(): PrefetchInfo[];
  /** What was done since the filter was made, and what its cache holds. */
  stats(): Promise<FilterStats>;
  /** Resolves when no request is being answered by the filter, no fill runs, and nothing is left to be fetched ahead of time. */
  idle(): Promise<void>;
  /** Waits for what runs, up to `closeTimeoutMs`, then ends it. Idempotent. Afterwards the filter lets everything pass. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** To list, pin, queue, prune and clean. */
  readonly cache: Cache;
}
