import { mkdir, realpath, rmdir, type Stats, stat, utimes } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createRequire, Module } from 'node:module';
import createDebug from 'debug';
import type * as ProperLockfile from 'proper-lockfile';

const debug = createDebug('cache-filter:store');

/** A lock without a sign of life for this long is free, in milliseconds. */
const STALE_MS = 5_000;

/** The holder of a lock goes by it for so long after its last sign of life; then it looks whether it has been taken. In milliseconds. */
const SURE_MS = STALE_MS - 500;

/** Lets go. Never rejects. */
export interface Release {
  (): Promise<void>;
  /** Whether nobody else has come to have it: a process that is stopped for long loses it. Never rejects. */
  isHeld(): Promise<boolean>;
}

/** What the time of a lock was set to by its holder, in milliseconds: last, and last as far as it is known to be done. */
interface Signs {
  asked?: number;
  given?: number;
}

/**
 * Takes a lock, a directory, without waiting for it; undefined where somebody has it. Where its holder shows no sign of life for five seconds
 * it is anybody's: a process that is stopped for so long has lost it, and does not know.
 *
 * @param path of the lock; the directory above it must be there
 * @param options `onlyLost`: not where nobody has ever had it, or has let go
 * @throws the operating system's error where nothing can be locked there
 */
export async function takeLock(
  path: string,
  { onlyLost = false }: { onlyLost?: boolean } = {},
): Promise<Release | undefined> {
  try {
    if (onlyLost && !isStale(await fs.stat(path))) return undefined;
    const signs: Signs = {};
    const release = await load().lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: STALE_MS,
      fs: fileSystem(signs),
      // It throws from a timer, unless told otherwise.
      onCompromised: (error) => debug('%s is not ours any more: %o', path, error),
    });
    return Object.assign(() => release().catch((error: unknown) => debug('%s stays: %o', path, error)), {
      isHeld: () => isHeld(path, signs),
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOCKED') return undefined;
    throw error;
  }
}

type Done = (error: NodeJS.ErrnoException | null) => void;

/**
 * What proper-lockfile uses of the file system, so that it removes a lock only where it is its own, or nobody's. Between seeing that a lock is
 * stale and removing it, another process may have taken it; and an owner that was stopped for long may have lost it.
 */
function fileSystem(signs: Signs): object {
  return {
    mkdir,
    realpath,
    stat,
    utimes(path: string, accessed: Date, modified: Date, done: Done) {
      const at = modified.getTime();
      signs.asked = at;
      utimes(path, accessed, modified, (error) => {
        if (error === null) signs.given = at;
        done(error);
      });
    },
    rmdir(path: string, done: Done) {
      const { asked } = signs;
      if (asked === undefined) removeStale(path, done);
      else removeIf(path, (found) => isFrom(asked, found), done);
    },
  };
}

async function isHeld(path: string, { asked, given }: Signs): Promise<boolean> {
  if (given !== undefined && Date.now() < given + SURE_MS) return true;
  const found = await fs.stat(path).catch(() => undefined);
  return found !== undefined && [asked, given].some((at) => isFrom(at, found));
}

/** Whether a sign of life is this one: not all file systems keep milliseconds, and nobody else gives one before the lock is stale. */
function isFrom(at: number | undefined, { mtimeMs }: Stats): boolean {
  return at !== undefined && Math.abs(mtimeMs - at) < STALE_MS / 2;
}

function isStale({ mtimeMs }: Stats): boolean {
  return mtimeMs < Date.now() - STALE_MS;
}

function removeIf(path: string, mayGo: (found: Stats) => boolean, done: Done): void {
  stat(path, (error, found) => {
    if (error !== null) return done(error);
    if (!mayGo(found)) return done(locked(path));
    rmdir(path, done);
  });
}

/** Of several who find a lock stale one removes it, and looks again before: the others would remove what he then takes. */
function removeStale(path: string, done: Done): void {
  const guard = `${path}.removing`;
  mkdir(guard, (error) => {
    if (error === null) removeIf(path, isStale, (failed) => rmdir(guard, () => done(failed)));
    else if (error.code !== 'EEXIST') done(error);
    // Whoever died in between leaves it behind.
    else removeIf(guard, isStale, () => done(locked(path)));
  });
}

function locked(path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${path} is somebody else's`), { code: 'ELOCKED' });
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
