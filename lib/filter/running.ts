/** What can be ended from outside. */
interface Stoppable {
  stop(reason: Error): void;
}

/** How long `close()` waits for what it has ended to come to its end, in milliseconds. */
const GRACE_MS = 1_000;

/** What the filter has yet to finish with: requests, or bodies that it fetches. */
export class Running {
  readonly #all = new Map<Stoppable, Promise<void>>();

  get size(): number {
    return this.#all.size;
  }

  /** @param done does not reject for what is the filter's to answer for */
  add(one: Stoppable, done: Promise<void>): void {
    this.#all.set(
      one,
      done.finally(() => this.#all.delete(one)),
    );
  }

  /** Resolves when there is none. */
  async idle(): Promise<void> {
    while (this.#all.size > 0) await Promise.allSettled(this.#all.values());
  }

  /** Waits for all, and ends with `reason` what runs after `timeoutMs`. */
  async end(timeoutMs: number, reason: Error): Promise<void> {
    if (await this.#idleWithin(timeoutMs)) return;
    for (const one of this.#all.keys()) one.stop(reason);
    // A hook that never settles can't be stopped.
    await this.#idleWithin(GRACE_MS);
  }

  #idleWithin(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), milliseconds);
      void this.idle().then(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }
}
