import { IncompleteError } from './errors.ts';
import type { Config } from './options.ts';

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

/** How long a handler may take, between two steps and in all. Time in which it was asked to wait is no time between two steps. */
export class Patience {
  readonly #stall: NodeJS.Timeout | undefined;
  readonly #whole: NodeJS.Timeout | undefined;
  #waiting = false;

  /** @param ended called at most once for each limit, until `stop()` */
  constructor(
    { stallTimeoutMs, maxFillMs }: Pick<Config, 'stallTimeoutMs' | 'maxFillMs'>,
    ended: (error: TooSlowError) => void,
  ) {
    if (stallTimeoutMs > 0) {
      this.#stall = setTimeout(() => {
        if (!this.#waiting) ended(new TooSlowError(true, stallTimeoutMs));
      }, stallTimeoutMs).unref();
    }
    if (maxFillMs !== undefined)
      this.#whole = setTimeout(() => ended(new TooSlowError(false, maxFillMs)), maxFillMs).unref();
  }

  /** It has done something. */
  progress(): void {
    if (!this.#waiting) this.#stall?.refresh();
  }

  /** It is asked to wait. */
  pause(): void {
    this.#waiting = true;
  }

  /** It can go on. */
  resume(): void {
    this.#waiting = false;
    this.#stall?.refresh();
  }

  stop(): void {
    clearTimeout(this.#stall);
    clearTimeout(this.#whole);
  }
}
