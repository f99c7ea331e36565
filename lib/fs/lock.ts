import { existsSync, mkdir, realpath, rmdir, stat, utimes } from 'node:fs';
import { createRequire, Module } from 'node:module';
import createDebug from 'debug';
import type * as ProperLockfile from 'proper-lockfile';

const debug = createDebug('cache-filter:store');

/** A lock without a sign of life for this long is free, in milliseconds. */
const STALE_MS = 5_000;

/** Lets go. Never rejects. */
export type Release = () => Promise<void>;

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
  async take(): Promise<Release | undefined> {
    if (!this.#on) return async () => undefined;
    try {
      const release = await load().lock(this.#path, {
        lockfilePath: this.#path,
        realpath: false,
        stale: STALE_MS,
        fs: { mkdir, realpath, rmdir, stat, utimes },
        // It throws from a timer, unless told otherwise.
        onCompromised: (error) => debug('%s is not ours any more: %o', this.#path, error),
      });
      return () => release().catch((error: unknown) => debug('%s stays: %o', this.#path, error));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ELOCKED') return undefined;
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

let loaded: typeof ProperLockfile | undefined;

/**
 * proper-lockfile, when it is first needed (15 ms), without signal-exit, by which it would remove its locks on the way out. That puts
 * handlers on 18 signals. What a signal does is the application's to say, and a process whose files may not grow beyond a limit
 * (`ulimit -f`) would die of SIGXFSZ, which Node ignores until somebody has listened to it. A lock that stays behind is stale soon.
 */
function load(): typeof ProperLockfile {
  if (loaded !== undefined) return loaded;
  const require = createRequire(import.meta.url);
  const path = createRequire(require.resolve('proper-lockfile')).resolve('signal-exit');
  const isThere = require.cache[path] !== undefined;
  if (!isThere) {
    const nothing = new Module(path);
    nothing.exports = () => () => undefined;
    nothing.loaded = true;
    require.cache[path] = nothing;
  }
  try {
    loaded = require('proper-lockfile') as typeof ProperLockfile;
    return loaded;
  } finally {
    // Whoever else asks for it is given the real one.
    if (!isThere) delete require.cache[path];
  }
}
