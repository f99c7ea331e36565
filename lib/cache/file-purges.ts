import createDebug from 'debug';
import { StoreError } from '../errors.ts';
import type { Layout } from '../fs/layout.ts';
import type { Breaker } from './breaker.ts';
import type { FillInfo, Invalidation } from './cache.ts';
import type { FileEntries } from './file-entries.ts';
import type { FileFills } from './fill/file-fills.ts';
import { concerned, storedUntil } from './janitor.ts';
import type { FileParts } from './parts/file-parts.ts';
import type { FileQueue } from './queue.ts';
import { type Pending, Unpurged } from './unpurged.ts';

const debug = createDebug('cache-filter:store');

/** What purges have to do with. */
export interface PurgesOwner {
  layout: Layout;
  entries: FileEntries;
  fills: FileFills;
  parts: FileParts;
  queue: FileQueue;
  breaker(): Breaker;
}

/** Takes away what is to be invalidated; what the store does not let go of counts as gone until it does. */
export class FilePurges {
  readonly #owner: PurgesOwner;
  readonly #unpurged = new Unpurged();

  constructor(owner: PurgesOwner) {
    this.#owner = owner;
  }

  /** Some are not done yet. */
  get waiting(): boolean {
    return this.#unpurged.size > 0;
  }

  /** Whether the entry should have gone. */
  hides(info: FillInfo): boolean {
    return this.#unpurged.size > 0 && this.#unpurged.covers(info);
  }

  /**
   * How many entries there were; 0 where the store is down, and it is made up for.
   * @throws StoreError where not all could be removed. It is not found all the same, and tried again
   */
  async invalidate(what: Invalidation): Promise<number> {
    const breaker = this.#owner.breaker();
    if (breaker.down) {
      this.#remember(what);
      this.#owner.parts.cut(what);
      await this.#owner.fills.cut(what);
      return 0;
    }
    try {
      const count = await this.#purge(what);
      // What is not there now may come back with all that is in it.
      await breaker.look();
      if (breaker.down) this.#remember(what);
      return count;
    } catch (error) {
      this.#remember(what);
      breaker.failed(error, 'change');
      throw new StoreError('what is to be purged is not served any more, but could not be removed yet', {
        cause: error,
      });
    }
  }

  /** Does what could not be done before, as far as it can be now. Never rejects. */
  async makeUp(): Promise<void> {
    await this.#unpurged.makeUp((pending) => this.#purgeLate(pending));
  }

  #remember(what: Invalidation): void {
    this.#unpurged.add(what);
    this.#owner.breaker().retry();
  }

  /** Claims first, the records second: a commit in between finds its claim gone, or has its record removed. */
  async #purge(what: Invalidation): Promise<number> {
    const { fills, parts, layout } = this.#owner;
    const doomed = await outcome(fills.doom(what));
    const cut = await outcome(parts.doom(what));
    const removed = await outcome(this.#remove(concerned(layout, what)));
    await this.#purgeQueue(what);
    // Whatever could be done has been, by now.
    for (const { error } of [doomed, cut, removed]) if (error !== undefined) throw error;
    return removed.result ?? 0;
  }

  /** What was stored since the purge came is not meant. */
  async #purgeLate(pending: Pending): Promise<void> {
    const { fills, parts, layout } = this.#owner;
    const { what, since } = pending;
    await parts.doom(what, since);
    if (!pending.cut) await fills.doom(what);
    pending.cut = true;
    await this.#remove(storedUntil(layout, since, concerned(layout, what)));
    await this.#purgeQueue(what);
  }

  /** How many of the entries there were. @throws what the first one fails with that can't be removed, when all have been tried */
  async #remove(names: AsyncIterable<string>): Promise<number> {
    const all: string[] = [];
    for await (const name of names) all.push(name);
    let count = 0;
    let failure: Error | undefined;
    for (const name of all) {
      const { result, error } = await outcome(this.#owner.entries.remove(name));
      if (result === true) count++;
      failure ??= error;
    }
    if (failure !== undefined) throw failure;
    return count;
  }

  async #purgeQueue(what: Invalidation): Promise<void> {
    await this.#owner.queue
      .purge(what)
      .catch((error: unknown) => debug('the queue stays as it is: %o', error));
  }
}

/** The result of something, or why there is none. */
function outcome<T>(promise: Promise<T>): Promise<{ result?: T; error?: Error }> {
  return promise.then(
    (result) => ({ result }),
    (error: Error) => ({ error }),
  );
}
