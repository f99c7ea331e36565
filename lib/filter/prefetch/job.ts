import type { Key } from '../../cache/cache.ts';
import type { Wanted } from './unattended.ts';

/** What has become of a prefetch. */
export interface Prefetched {
  key: Key;
  /** Bytes of the body. */
  size: number;
  /** It was fetched; false: it was stored already, or somebody else had begun to fetch it. */
  fetched: boolean;
}

/** How far a prefetch is. */
export interface PrefetchInfo {
  key: Key;
  /** Path and query below the mount point. */
  path: string;
  /** `waiting`: for its turn, or, after an attempt that failed, for the next one. */
  state: 'waiting' | 'running';
  /** Bytes that have come, and of how many where that is known. */
  bytes: number;
  size?: number;
  /** Attempts that failed so far, and what the last one failed with. */
  failed: number;
  error?: Error;
}

/** One key that is to be fetched, for all who want it. */
export class Job {
  readonly key: Key;
  readonly wanted: Wanted;
  readonly done: Promise<Prefetched>;
  readonly stop: AbortController = new AbortController();
  state: PrefetchInfo['state'] = 'waiting';
  bytes = 0;
  size: number | undefined;
  failed = 0;
  error: Error | undefined;
  resolve!: (prefetched: Prefetched) => void;
  reject!: (error: Error) => void;
  readonly #listeners = new Set<(info: PrefetchInfo) => void>();

  constructor(key: Key, wanted: Wanted) {
    this.key = key;
    this.wanted = wanted;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // One that the queue was reloaded with has nobody who waits for it.
    this.done.catch(() => undefined);
  }

  get info(): PrefetchInfo {
    const { key, wanted, state, bytes, size, failed, error } = this;
    return {
      key,
      path: wanted.path,
      state,
      bytes,
      ...(size === undefined ? {} : { size }),
      failed,
      ...(error === undefined ? {} : { error }),
    };
  }

  listen(listener: (info: PrefetchInfo) => void): () => void {
    this.#listeners.add(listener);
    listener(this.info);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener(this.info);
  }
}
