import type { Claim, Key } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';

/** Somebody waits for what is being fetched. */
interface Waiting {
  count: number;
  /** Called when nobody does any more. */
  left: Set<() => void>;
}

/** What a filter fetches at this moment, and who waits for it to begin. */
export class Leads {
  readonly #most: number;
  #running = 0;
  /** How many requests are claiming a key; at most one of each key will lead. */
  readonly #claiming = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting>();

  /** @param most so many at a time */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whether a request for this key must not lead. */
  isFull(key: Key): boolean {
    return !this.#claiming.has(idOf(key)) && this.#running + this.#claiming.size >= this.#most;
  }

  /** Claims the key. Who leads is counted until it says `ended()`; a place is kept while that is being found out. */
  async claim(key: Key, claim: () => Promise<Claim | undefined>): Promise<Claim | undefined> {
    const name = idOf(key);
    this.#claiming.set(name, (this.#claiming.get(name) ?? 0) + 1);
    try {
      const claimed = await claim();
      if (claimed?.role === 'leader') this.#running++;
      return claimed;
    } finally {
      const left = (this.#claiming.get(name) ?? 0) - 1;
      if (left > 0) this.#claiming.set(name, left);
      else this.#claiming.delete(name);
    }
  }

  /** One more leads, who goes on with what another has begun. */
  inherited(): void {
    this.#running++;
  }

  /** One who led does no more. */
  ended(): void {
    this.#running--;
  }

  /**
   * Whether a request of this filter waits for the fill of the key to begin.
   * @param deserted called, once, when none does any more
   */
  isAwaited(key: Key, deserted: () => void): boolean {
    return this.#waiting.get(idOf(key))?.left.add(deserted) !== undefined;
  }

  /** Waits for somebody else's fill to begin. */
  async awaiting<T>(key: Key, wait: () => Promise<T>): Promise<T> {
    const name = idOf(key);
    const waiting = this.#waiting.get(name) ?? { count: 0, left: new Set() };
    this.#waiting.set(name, waiting);
    waiting.count++;
    try {
      return await wait();
    } finally {
      if (--waiting.count === 0) {
        this.#waiting.delete(name);
        for (const left of waiting.left) left();
      }
    }
  }
}
