import createDebug from 'debug';
import type { FillInfo, Invalidation } from './cache.ts';
import { concerns } from './invalidation.ts';

const debug = createDebug('cache-filter:store');

/** Beyond so many purges it is simpler to purge all. */
const MOST_PURGES = 1_000;

/** A purge that is not done yet. */
export interface Pending {
  readonly what: Invalidation;
  /** What was stored at this time or before has to go; in milliseconds since the epoch. */
  readonly since: number;
  /** Fills of other processes have been cut off. */
  cut: boolean;
}

/** Purges that the store could not do: what they are about counts as gone, and they are made up for as soon as that is possible. */
export class Unpurged {
  #purges: readonly Pending[] = [];

  get size(): number {
    return this.#purges.length;
  }

  add(what: Invalidation): void {
    const pending = (of: Invalidation) => ({ what: of, since: Date.now(), cut: false });
    this.#purges =
      this.#purges.length < MOST_PURGES ? [...this.#purges, pending(what)] : [pending({ all: true })];
  }

  /** Whether an entry should have gone. */
  covers({ key, tags, storedAt }: FillInfo): boolean {
    return this.#purges.some(({ what, since }) => storedAt <= since && concerns(what, key, tags));
  }

  /** Those that still can't be done stay. Never rejects. */
  async makeUp(purge: (pending: Pending) => Promise<unknown>): Promise<void> {
    for (const pending of this.#purges) {
      try {
        await purge(pending);
      } catch (error) {
        debug('%o still can not be purged: %o', pending.what, error);
        continue;
      }
      // Not by position: meanwhile all of them may have become one.
      this.#purges = this.#purges.filter((each) => each !== pending);
    }
  }
}
