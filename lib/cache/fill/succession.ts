import type { LeaderClaim } from '../cache.ts';

/** Goes on with a fill whose writer can't. */
export type Heir = (claim: LeaderClaim) => void;

/** So many times a fill is handed over: a source that fails each time is not asked once for every reader. */
const MOST_HEIRS = 3;

/** Those who would go on with a fill, in the order in which they offered. */
export class Succession {
  readonly #heirs = new Set<Heir>();
  #handed = 0;

  /** What is returned takes the offer back. */
  offer(heir: Heir): () => void {
    this.#heirs.add(heir);
    return () => this.#heirs.delete(heir);
  }

  /** The next in line; undefined where there is nobody, or it was handed over often enough. */
  next(): Heir | undefined {
    const [heir] = this.#heirs;
    if (heir === undefined || this.#handed === MOST_HEIRS) return undefined;
    this.#handed++;
    this.#heirs.delete(heir);
    return heir;
  }

  /** It was not needed after all: somebody else was first. */
  takeBack(heir: Heir): void {
    this.#handed--;
    this.#heirs.add(heir);
  }
}
