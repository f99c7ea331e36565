import { IncompleteError } from '../errors.ts';
import type { Config } from '../options.ts';
import { TooLateError } from './in-time.ts';

/** The handler took too long. */
export class TooSlowError extends IncompleteError {
  /** It did nothing for too long; otherwise it took too long in all. */
  readonly stalled: boolean;

  constructor(stalled: boolean, milliseconds: number) {
    const limit = stalled ? 'stallTimeoutMs' : 'maxFillMs';
    super(
      stalled
        ? `the application made no progress for ${milliseconds} ms (${limit})`
        : `the application took longer than ${milliseconds} ms (${limit})`,
    );
    this.stalled = stalled;
  }
}

/**
 * How long a handler may take, between two steps and in all. Time in which the cache asks it to wait is no time between two steps; that has
 * an end of its own, which leaves the slowest client of a fill without a disk its time.
 */
export class Patience {
  readonly #stall: NodeJS.Timeout | undefined;
  readonly #whole: NodeJS.Timeout | undefined;
  readonly #wait: NodeJS.Timeout | undefined;
  #waiting = false;

  /** @param ended called at most once for each limit, until `stop()` */
  constructor(
    limits: Pick<Config, 'stallTimeoutMs' | 'maxFillMs' | 'storeTimeoutMs' | 'sendTimeoutMs'>,
    ended: (error: TooSlowError | TooLateError) => void,
  ) {
    const { stallTimeoutMs, maxFillMs, storeTimeoutMs, sendTimeoutMs } = limits;
    if (stallTimeoutMs > 0) {
      this.#stall = setTimeout(() => {
        if (!this.#waiting) ended(new TooSlowError(true, stallTimeoutMs));
      }, stallTimeoutMs).unref();
    }
    if (maxFillMs !== undefined)
      this.#whole = setTimeout(() => ended(new TooSlowError(false, maxFillMs)), maxFillMs).unref();
    if (storeTimeoutMs > 0 && sendTimeoutMs > 0) {
      this.#wait = setTimeout(() => {
        if (this.#waiting) ended(new TooLateError(storeTimeoutMs + sendTimeoutMs));
      }, storeTimeoutMs + sendTimeoutMs).unref();
    }
  }

  /** It has done something. */
  progress(): void {
    if (!this.#waiting) this.#stall?.refresh();
  }

  /** It is asked to wait. */
  pause(): void {
    this.#waiting = true;
    this.#wait?.refresh();
  }

  /** It can go on. */
  resume(): void {
    this.#waiting = false;
    this.#stall?.refresh();
  }

  stop(): void {
    clearTimeout(this.#stall);
    clearTimeout(this.#whole);
    clearTimeout(this.#wait);
  }
}
