import { BackendError, type BackendReason, CacheFilterError } from '../../errors.ts';

const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** What a backend was doing, for its errors: `put of a/b in /srv/storage`. */
export class Step {
  readonly #what: string;

  /** @param operation of the contract */
  constructor(backend: string, operation: string, path: string) {
    this.#what = `${operation} of ${path === '' ? 'the top' : path} in ${backend}`;
  }

  /** An error that says what failed, and why in words. */
  error(why: string, reason: BackendReason, cause?: unknown): BackendError {
    return new BackendError(`${this.#what} failed: ${why}`, { reason, cause });
  }

  /** What the operating system threw, as an error that says what failed. One of this package's stays as it is. */
  fault(error: unknown): CacheFilterError {
    if (error instanceof CacheFilterError) return error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    return this.error(message, FULL.has(code) ? 'full' : 'failed', error);
  }

  /** Does a part of it that may fail. @throws BackendError */
  async run<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.fault(error);
    }
  }
}
