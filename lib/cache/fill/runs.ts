import type { Invalidation, Key } from '../cache.ts';
import { concerns } from '../invalidation.ts';
import { idOf } from '../key.ts';

/** One key being fetched by this process, from the claim to the end of its fill. */
export class Run<F> {
  readonly key: Key;
  /** What followers get; undefined: nothing. */
  readonly fill: Promise<F | undefined>;
  /** Where there is nothing to share: nothing is known of what it would have been, so that who has waited may claim again. */
  isOpen = false;
  #settle!: (fill: F | undefined) => void;
  /** Known once the fill begins. */
  #tags: readonly string[] | undefined;
  /** Tags that were invalidated before it was known whether they are its own. */
  readonly #suspects = new Set<string>();
  /** One of them was. */
  #isPurged = false;

  constructor(key: Key) {
    this.key = key;
    this.fill = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** The fill has begun: followers get it. Whether a tag of its own was invalidated before. */
  begin(fill: F, tags: readonly string[]): boolean {
    this.#tags = tags;
    this.#isPurged = tags.some((tag) => this.#suspects.has(tag));
    this.#settle(fill);
    return this.#isPurged;
  }

  get hasBegun(): boolean {
    return this.#tags !== undefined;
  }

  /** The fill, for one more follower: not for one that came after it was purged. */
  async shared(): Promise<F | undefined> {
    const late = this.#suspects.size > 0;
    const fill = await this.fill;
    return late && this.#isPurged ? undefined : fill;
  }

  /** There is nothing to share, or no more of it. */
  end(): void {
    this.#settle(undefined);
  }

  /** Whether it fetches what is to be invalidated. */
  isConcerned(what: Invalidation): boolean {
    if ('tag' in what && this.#tags === undefined) this.#suspects.add(what.tag);
    return concerns(what, this.key, this.#tags ?? []);
  }
}

/** What this process fetches; at most one run a key can be joined. */
export class Runs<R extends Pick<Run<unknown>, 'key' | 'isConcerned'>> {
  readonly #byKey = new Map<string, R>();

  of(key: Key): R | undefined {
    return this.#byKey.get(idOf(key));
  }

  all(): R[] {
    return [...this.#byKey.values()];
  }

  add(run: R): void {
    this.#byKey.set(idOf(run.key), run);
  }

  /** Nobody joins it any more. */
  remove(run: R): void {
    if (this.of(run.key) === run) this.#byKey.delete(idOf(run.key));
  }

  /** Takes out, and returns, what fetches something that is to be invalidated. */
  cut(what: Invalidation): R[] {
    const runs = [...this.#byKey.values()].filter((run) => run.isConcerned(what));
    for (const run of runs) this.remove(run);
    return runs;
  }
}
