import type { Stats } from 'node:fs';

/** What `stat` says that tells a file from every other that had, or will have, its path. */
export type FileIdentity = Pick<Stats, 'ino' | 'size' | 'mtimeMs' | 'ctimeMs' | 'birthtimeMs'>;

export function identityOf({ ino, size, mtimeMs, ctimeMs, birthtimeMs }: Stats): FileIdentity {
  return { ino, size, mtimeMs, ctimeMs, birthtimeMs };
}

/** Whether it is the very same file, and nobody has written or touched it in between; both must have been settled. */
export function isSame(one: FileIdentity, other: FileIdentity): boolean {
  return (
    one.ino === other.ino &&
    one.ctimeMs === other.ctimeMs &&
    one.mtimeMs === other.mtimeMs &&
    one.birthtimeMs === other.birthtimeMs &&
    one.size === other.size
  );
}

/** Longer than a kernel's clock stands still (10 ms at most) where it dates files. */
const TICK_MS = 100;

/** The same for file systems that keep whole seconds, or every other. */
const COARSE_TICK_MS = 2_100;

/**
 * Whether whoever writes to the file later is found out: a write within the tick of the last change would leave all that `stat` says
 * as it is.
 *
 * @param seenAt milliseconds since the epoch, before `stat` was called
 */
export function isQuiet({ ctimeMs }: FileIdentity, seenAt: number): boolean {
  return seenAt - ctimeMs >= (ctimeMs % 1000 === 0 ? COARSE_TICK_MS : TICK_MS);
}

/**
 * Whether the identity can't come again. An inode is given away at once when its file has gone, and both files may have been created
 * within one tick of the clock: then all that `stat` says can be equal. A file that was created at least a tick before it was seen
 * has no such double: whatever takes its inode later is born later.
 *
 * @param seenAt milliseconds since the epoch, before `stat` was called
 */
export function isSettled({ birthtimeMs, ctimeMs }: FileIdentity, seenAt: number): boolean {
  // Where nothing is known of its birth (0, or the time of the last change in its place), the last change is later than that.
  return isPast(birthtimeMs > 0 ? birthtimeMs : ctimeMs, seenAt);
}

/** Whether what happens from now on is dated later than this. Both in milliseconds since the epoch. */
export function isPast(datedMs: number, nowMs: number): boolean {
  return nowMs - datedMs >= (datedMs % 1000 === 0 ? COARSE_TICK_MS : TICK_MS);
}
