import { show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { VerifyOptions } from './cache.ts';

/** How fast something may go that nobody waits for, and until when. */
export class Pace {
  readonly #bytesPerMs: number;
  readonly #signal: AbortSignal | undefined;
  /** When the next bytes may be read, in milliseconds since the epoch. */
  #dueAt = 0;

  /** @throws OptionError */
  constructor({ maxBytesPerSecond = Number.POSITIVE_INFINITY, signal }: VerifyOptions) {
    if (typeof maxBytesPerSecond !== 'number' || !(maxBytesPerSecond > 0)) {
      throw new OptionError(
        'maxBytesPerSecond',
        `maxBytesPerSecond must be a number of bytes above 0, got ${show(maxBytesPerSecond)}; write for example 50 * 2 ** 20`,
      );
    }
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw new OptionError('signal', `signal must be an AbortSignal, got ${show(signal)}`);
    this.#bytesPerMs = maxBytesPerSecond / 1000;
    this.#signal = signal;
  }

  /** The same, which ends with `signal` as well. */
  until(signal: AbortSignal): Pace {
    const signals = this.#signal === undefined ? [signal] : [this.#signal, signal];
    return new Pace({ maxBytesPerSecond: this.#bytesPerMs * 1000, signal: AbortSignal.any(signals) });
  }

  /** Resolves when so many bytes may be read; rejects with the reason of the signal. */
  async spend(bytes: number): Promise<void> {
    this.#signal?.throwIfAborted();
    const now = Date.now();
    const wait = this.#dueAt - now;
    this.#dueAt = Math.max(now, this.#dueAt) + bytes / this.#bytesPerMs;
    if (wait > 0) await this.done(new Promise<void>((resolve) => this.#after(wait, resolve)));
  }

  /** What a promise settles with, unless the signal comes first: it rejects with its reason then. */
  done<T>(promise: Promise<T>): Promise<T> {
    const signal = this.#signal;
    if (signal === undefined) return promise;
    return new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason);
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop, { once: true });
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    });
  }

  /** Not unref'd: somebody waits for it, and the process should not end meanwhile. */
  #after(ms: number, resolve: () => void): void {
    // setTimeout fires at once beyond 2 ** 31 - 1.
    const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
    const signal = this.#signal;
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done);
  }
}
