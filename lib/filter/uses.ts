import { LRUCache } from 'lru-cache';
import type { Key } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';

/** For so many keys it is known how often they have been asked for. */
const COUNTED_KEYS = 100_000;

/** How often keys have been asked for, as this process counts. */
export class Uses {
  readonly #fewest: number;
  readonly #counted = new LRUCache<string, number>({ max: COUNTED_KEYS });

  /** @param fewest how often a key is asked for before it is worth a fill */
  constructor(fewest: number) {
    this.#fewest = fewest;
  }

  /** Counts one more; whether they are still too few. */
  areTooFew(key: Key): boolean {
    if (this.#fewest <= 1) return false;
    const name = idOf(key);
    const uses = (this.#counted.get(name) ?? 0) + 1;
    this.#counted.set(name, uses);
    return uses < this.#fewest;
  }
}
