import { existsSync } from 'node:fs';
import createDebug from 'debug';
import { takeLock } from './lockfile.ts';

const debug = createDebug('cache-filter:store');

/**
 * Who holds it does what one of several processes has to do. It saves work, and nothing rests on it: under contention there may be
 * several holders, or none.
 */
export class WorkLock {
  readonly #path: string;
  readonly #on: boolean;

  /**
   * @param path of the lock, a directory; the one above it must be there
   * @param on false: nothing is locked, and everybody does the work
   */
  constructor(path: string, on: boolean) {
    this.#path = path;
    this.#on = on;
  }

  /** Whether somebody has it, or had it when his process ended. */
  get isTaken(): boolean {
    return this.#on && existsSync(this.#path);
  }

  /** Takes it, without waiting for it; undefined where somebody else has it. Never rejects: where locking fails, the work is done. */
  async take(): Promise<(() => Promise<void>) | undefined> {
    if (!this.#on) return async () => undefined;
    try {
      return await takeLock(this.#path);
    } catch (error) {
      debug('%s can not be locked: %o', this.#path, error);
      return async () => undefined;
    }
  }

  /** Does the work unless somebody else is at it; whether it was done here. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    const release = await this.take();
    if (release === undefined) return false;
    try {
      await work();
    } finally {
      await release();
    }
    return true;
  }
}
