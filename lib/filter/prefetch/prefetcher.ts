// docs/guides/prefetch.md

import createDebug from 'debug';
import { idOf } from '../../cache/key.ts';
import { OptionError, OriginError, PrefetchError, RefusedError, SupersededError } from '../../errors.ts';
import { matchRoute, type RouteMatch } from '../../routes/route.ts';
import { targetOf } from '../../routes/table.ts';
import { Fetching, type FetchingTools } from './fetching.ts';
import { Job, type Prefetched, type PrefetchInfo } from './job.ts';
import { Unattended, type Wanted } from './unattended.ts';

const debug = createDebug('cache-filter:prefetch');

/** Between two attempts, in milliseconds: doubled each time, up to the longest, and a random part of that. */
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

/** Of the answers below 500, those that are about this moment (RFC 9110, 15.5; RFC 6585, 4; RFC 8470, 5.2). */
const PASSING: readonly number[] = [408, 425, 429];

export interface PrefetchOptions {
  /** Told whenever more is known of it. */
  onProgress?: (info: PrefetchInfo) => void;
  /** Gives it up, for all who want it. */
  signal?: AbortSignal;
}

/** Fetches what was asked for ahead of time: some at a time, each as often as it takes, within limits. What is still to be done is on disk. */
export class Prefetcher {
  readonly #tools: FetchingTools;
  readonly #fetching: Fetching;
  readonly #jobs = new Map<string, Job>();
  readonly #waiting: Job[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #running = 0;
  #closed: Error | undefined;

  constructor(tools: FetchingTools) {
    this.#tools = tools;
    this.#fetching = new Fetching(tools);
  }

  /** @throws OptionError (as a rejection) for what no route matches, and whatever the last attempt failed with */
  async add(what: string | Wanted, { onProgress, signal }: PrefetchOptions = {}): Promise<Prefetched> {
    signal?.throwIfAborted();
    const wanted = this.#wantedOf(what);
    const { key } = this.#errandOf(wanted, new AbortController().signal);
    const known = this.#jobs.get(idOf(key));
    if (known === undefined) await this.#tools.cache.queue.add(key, JSON.stringify(wanted));
    const job = this.#jobs.get(idOf(key)) ?? this.#schedule(new Job(key, wanted));
    const unlisten = onProgress === undefined ? undefined : job.listen(onProgress);
    const giveUp = () => this.#fail(job, signal?.reason as Error);
    signal?.addEventListener('abort', giveUp, { once: true });
    return job.done.finally(() => {
      unlisten?.();
      signal?.removeEventListener('abort', giveUp);
    });
  }

  list(): PrefetchInfo[] {
    return [...this.#jobs.values()].map(({ info }) => info);
  }

  /** Goes on with what was left over when the process ended. */
  async reload(): Promise<void> {
    for await (const { key, note } of this.#tools.cache.queue.list()) {
      if (this.#closed !== undefined) return;
      const wanted = wantedIn(note);
      // Whoever queued it with a note of his own will fetch it himself.
      if (wanted === undefined || this.#jobs.has(idOf(key)) || !this.#isOurs(key.primary, wanted)) continue;
      this.#schedule(new Job(key, wanted));
    }
  }

  async idle(): Promise<void> {
    while (this.#jobs.size > 0) await Promise.allSettled([...this.#jobs.values()].map(({ done }) => done));
  }

  /** What is still to be done stays in the queue. */
  close(): void {
    this.#closed = new SupersededError('the filter was closed');
    for (const timer of this.#timers) clearTimeout(timer);
    for (const job of this.#jobs.values()) {
      job.stop.abort(this.#closed);
      job.reject(this.#closed);
    }
    this.#jobs.clear();
    this.#waiting.length = 0;
  }

  #wantedOf(what: string | Wanted): Wanted {
    if (typeof what !== 'string') return checked(what);
    const { urlFor, routes } = this.#tools.config;
    const path =
      urlFor === undefined
        ? routes.map((route) => route.pathOf?.(what)).find((each) => each !== undefined)
        : urlFor(what);
    if (typeof path === 'string' && path.startsWith('/')) return { path };
    throw new OptionError(
      'prefetch',
      `no route says which path has the id '${what.slice(0, 200)}'; give urlFor, or prefetch({ path })`,
    );
  }

  #errandOf(wanted: Wanted, signal: AbortSignal): Unattended {
    return new Unattended(this.#tools.config, this.#matchOf(wanted), wanted, signal);
  }

  #matchOf({ path }: Wanted): RouteMatch {
    const match = matchRoute(this.#tools.config.routes, { method: 'GET', ...targetOf(path) });
    if (match?.action === 'read' && match.route.store) return match;
    throw new OptionError(
      'prefetch',
      `no route that keeps anything matches the path '${path.slice(0, 200)}'`,
    );
  }

  #isOurs(primary: string, wanted: Wanted): boolean {
    try {
      return this.#errandOf(wanted, new AbortController().signal).key.primary === primary;
    } catch {
      return false;
    }
  }

  #schedule(job: Job): Job {
    if (this.#closed !== undefined) throw this.#closed;
    this.#jobs.set(idOf(job.key), job);
    this.#waiting.push(job);
    this.#next();
    return job;
  }

  #next(): void {
    while (this.#running < this.#tools.config.prefetch.concurrency) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#running++;
      void this.#attempt(job).finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }

  async #attempt(job: Job): Promise<void> {
    job.state = 'running';
    job.changed();
    try {
      const errand = this.#errandOf(job.wanted, job.stop.signal);
      const prefetched = await this.#fetching.run(errand, job);
      // A commit takes it out; what was there already does not.
      await this.#remove(job);
      this.#jobs.delete(idOf(job.key));
      job.resolve(prefetched);
    } catch (error) {
      this.#failed(job, error as Error);
    }
  }

  #failed(job: Job, error: Error): void {
    if (!this.#jobs.has(idOf(job.key))) return;
    job.failed++;
    job.error = error;
    job.state = 'waiting';
    debug('%s: attempt %d failed: %o', job.wanted.path, job.failed, error);
    job.changed();
    const isOver = job.failed > this.#tools.config.prefetch.retries || isLasting(error);
    if (isOver) {
      this.#fail(job, error);
      return;
    }
    const pause = Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (job.failed - 1)) * Math.random();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#waiting.push(job);
      this.#next();
    }, pause);
    this.#timers.add(timer);
  }

  #fail(job: Job, error: Error): void {
    if (!this.#jobs.delete(idOf(job.key))) return;
    const at = this.#waiting.indexOf(job);
    if (at >= 0) this.#waiting.splice(at, 1);
    job.stop.abort(error);
    void this.#remove(job).finally(() => job.reject(error));
  }

  async #remove({ key }: Job): Promise<void> {
    await this.#tools.cache.queue
      .remove({ key: key.primary })
      .catch((error: unknown) => debug('%s stays in the queue: %o', key.primary, error));
  }
}

/** Whether another attempt would come to the same. */
function isLasting(error: Error): boolean {
  if (error instanceof PrefetchError) {
    const { answered = 0, reason } = error;
    if (reason === 'not-200') return answered < 500 && !PASSING.includes(answered);
    return !['collapse', 'store-down', 'no-room'].includes(reason);
  }
  if (error instanceof OriginError) return error.reason === 'redirect';
  return error instanceof OptionError || error instanceof RefusedError;
}

function checked(what: Wanted): Wanted {
  const { path, headers } = Object(what) as { path?: unknown; headers?: unknown };
  const isText =
    headers === undefined ||
    (typeof headers === 'object' &&
      headers !== null &&
      Object.values(headers).every((each) => typeof each === 'string'));
  if (typeof path === 'string' && path.startsWith('/') && isText)
    return { path, ...(headers === undefined ? {} : { headers: headers as Record<string, string> }) };
  throw new OptionError(
    'prefetch',
    "prefetch takes an id, or { path: '/files/1', headers: { Accept: '…' } }",
  );
}

function wantedIn(note: string | undefined): Wanted | undefined {
  try {
    return checked(JSON.parse(note ?? '') as Wanted);
  } catch {
    return undefined;
  }
}
