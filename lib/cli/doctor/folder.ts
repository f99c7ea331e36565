import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMissing } from '../../fs/files.ts';
import { PROBE_PREFIX } from './survey.ts';

/** Finds what is there of a path: it itself, or the nearest above it, without symbolic links. Rejects where that is no directory. */
export async function nearest(directory: string): Promise<{ existing: string; missing: boolean }> {
  for (let path = directory; ; path = dirname(path)) {
    try {
      const real = await fs.realpath(path);
      await enter(real);
      return { existing: real, missing: path !== directory };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EACCES' && (await fs.stat(path).catch(() => undefined))?.isDirectory()) {
        return { existing: await fs.realpath(path), missing: path !== directory };
      }
      if (!isMissing(error) || path === dirname(path) || (await isDangling(path))) throw error;
    }
  }
}

/** Rejects where a path is no directory, or none that may be read. */
export async function enter(path: string): Promise<void> {
  await (await fs.opendir(path)).close();
}

async function isDangling(path: string): Promise<boolean> {
  return (await fs.lstat(path).catch(() => undefined))?.isSymbolicLink() === true;
}

/** Where the doctor tries things out: a folder of its own, which goes as it came. */
export class ProbeFolder {
  readonly path: string;
  /** Made for it, outermost first. */
  readonly #made: readonly string[];

  private constructor(path: string, made: readonly string[]) {
    this.path = path;
    this.#made = made;
  }

  /** Creates it in the directory, and that directory where it is missing. Without a wait, so that no signal comes in between. */
  static create(directory: string): ProbeFolder {
    const made: string[] = [];
    try {
      makeMissing(directory, made);
      return new ProbeFolder(mkdtempSync(join(directory, PROBE_PREFIX)), made);
    } catch (error) {
      for (const path of made.reverse()) rmdirSync(path);
      throw error;
    }
  }

  /** Writes as much as a small entry has: a directory may take names, and yet no bytes. */
  async fill(): Promise<void> {
    await fs.writeFile(join(this.path, 'bytes'), Buffer.alloc(64 * 1024), { mode: 0o600 });
  }

  /** Gives an empty folder in it, for as long as the work takes. */
  async lend<T>(name: string, work: (room: string) => Promise<T> | T): Promise<T> {
    const room = join(this.path, name);
    await fs.mkdir(room, { mode: 0o700 });
    try {
      return await work(room);
    } finally {
      // What stays now goes with the whole.
      await fs.rm(room, { recursive: true, force: true }).catch(() => undefined);
    }
  }

  async remove(): Promise<void> {
    await fs.rm(this.path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    for (const path of [...this.#made].reverse()) {
      try {
        await fs.rmdir(path);
      } catch (error) {
        // Somebody has come to use it meanwhile, or has removed it.
        if (!isMissing(error) && (error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
      }
    }
  }
}

function makeMissing(path: string, made: string[]): void {
  try {
    mkdirSync(path, { mode: 0o700 });
    made.push(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || path === dirname(path)) throw error;
    const above = made.length;
    makeMissing(dirname(path), made);
    // A parent that is there and yet takes no directory, as /proc.
    if (made.length === above) throw error;
    makeMissing(path, made);
  }
}
