import type { Exchange } from './exchange.ts';

/** How long `close()` waits for what it has ended to come to its end, in milliseconds. */
const GRACE_MS = 1_000;

/** The requests that the filter has yet to finish with. */
export class Running {
  readonly #exchanges = new Map<Exchange, Promise<void>>();

  get size(): number {
    return this.#exchanges.size;
  }

  /** @param done does not reject for what is the filter's to answer for */
  add(exchange: Exchange, done: Promise<void>): void {
    this.#exchanges.set(
      exchange,
      done.finally(() => this.#exchanges.delete(exchange)),
    );
  }

  /** Resolves when there is none. */
  async idle(): Promise<void> {
    while (this.#exchanges.size > 0) await Promise.allSettled(this.#exchanges.values());
  }

  /** Waits for all, and ends with `reason` what runs after `timeoutMs`. */
  async end(timeoutMs: number, reason: Error): Promise<void> {
    if (await this.#idleWithin(timeoutMs)) return;
    for (const exchange of this.#exchanges.keys()) exchange.stop(reason);
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
