import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../options.ts';

/** How often it is looked whether somebody waits after all, in milliseconds. */
const LOOK_MS = 100;

/** What is fetched for nobody who waits: how much of it at a time, and how fast in all. */
export class Background {
  readonly #most: number;
  readonly #bytesPerMs: number | undefined;
  /** When the next bytes may come, by `performance.now()`. */
  #dueAt = 0;
  #running = 0;

  constructor({ background: { maxFills, maxBytesPerSecond } }: Pick<Config, 'background'>) {
    this.#most = maxFills;
    this.#bytesPerMs = maxBytesPerSecond === undefined ? undefined : maxBytesPerSecond / 1000;
  }

  /** Takes a place, to be given back by `leave`; false: there is none. */
  enter(): boolean {
    if (this.#running >= this.#most) return false;
    this.#running++;
    return true;
  }

  leave(): void {
    this.#running--;
  }

  /**
   * Resolves when so many bytes may have come, or somebody waits for them, which is looked at now and then. Rejects with the reason of the
   * signal.
   */
  async spend(bytes: number, signal: AbortSignal, isWanted: () => boolean): Promise<void> {
    if (this.#bytesPerMs === undefined) return;
    const now = performance.now();
    const until = Math.max(now, this.#dueAt);
    this.#dueAt = until + bytes / this.#bytesPerMs;
    while (!isWanted()) {
      const left = until - performance.now();
      if (left <= 0) return;
      await pause(Math.min(left, LOOK_MS), undefined, { ref: false, signal }).catch(() =>
        signal.throwIfAborted(),
      );
    }
  }
}
