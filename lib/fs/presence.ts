import { type Stats, statSync } from 'node:fs';
import * as fs from 'node:fs/promises';

/** Tells whether directories are still the very ones that they were: not removed, replaced, or hidden by a mount. */
export class Presence {
  readonly #paths: readonly string[];
  readonly #seen = new Map<string, Stats>();

  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  /** From now on these are the ones. @throws where one of them is missing */
  remember(): void {
    for (const path of this.#paths) this.#seen.set(path, statSync(path));
  }

  /**
   * What has become of them; undefined: they are there, the same as before.
   * @returns ENOENT, ENOTDIR or whatever `stat` fails with; an error without a code where another one is in its place
   */
  async changed(): Promise<Error | undefined> {
    try {
      for (const path of this.#paths) {
        const stat = await fs.stat(path);
        const before = this.#seen.get(path);
        if (before === undefined) continue;
        if (!isSameDirectory(before, stat)) return new Error(`${path} has been replaced`);
        this.#seen.set(path, stat);
      }
    } catch (error) {
      return error as Error;
    }
    return undefined;
  }
}

/**
 * An inode is given away at once when its file has gone; only when it was born tells the two apart. Some file systems don't know,
 * and say 0, or the time of the last change: nothing follows from these.
 */
function isSameDirectory(before: Stats, now: Stats): boolean {
  if (!now.isDirectory() || now.dev !== before.dev || now.ino !== before.ino) return false;
  const known = [before, now].some(({ birthtimeMs, ctimeMs }) => birthtimeMs > 0 && birthtimeMs !== ctimeMs);
  return !known || now.birthtimeMs === before.birthtimeMs;
}
