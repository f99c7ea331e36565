import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { isMissing, modeOf, syncDirectory } from '../../../fs/files.ts';

const { O_RDONLY, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;

export interface TreeOptions {
  directoryMode: number;
  /** A folder that was made survives a loss of power. */
  durable: boolean;
}

/**
 * The folder that holds the objects, each a file under its path. No symbolic link is followed below it: one that lies where a folder should
 * be is an error, one where an object should be is none. That is looked at before each operation; it is no defence
 * against somebody who changes folders at that very moment, and may write there anyway.
 */
export class Tree {
  readonly #root: string;
  readonly #options: TreeOptions;
  /** Folders that are being made here: nobody relies on one before it is durable. */
  readonly #making = new Map<string, Promise<void>>();

  /** @param root as `realpath` gives it */
  constructor(root: string, options: TreeOptions) {
    this.#root = root;
    this.#options = options;
  }

  /**
   * Where an object lies, or would.
   * @param path one that `requirePath` has passed; `''`: the top
   * @throws where a folder of it is a symbolic link
   */
  async find(path: string): Promise<string> {
    const found = path === '' ? this.#root : join(this.#root, path);
    // Where `\` separates too, what is one component above may be several here.
    if (found !== this.#root && !found.startsWith(this.#root + sep))
      throw new Error(`${path} leads out of ${this.#root}`);
    await this.#requireNoLink(path === '' ? found : dirname(found));
    return found;
  }

  /** Of a folder that is to be listed: it must be no link itself. */
  async findFolder(path: string): Promise<string> {
    const found = await this.find(path);
    await this.#requireNoLink(found);
    return found;
  }

  async #requireNoLink(folder: string): Promise<void> {
    for (let at = folder; at.length >= this.#root.length; at = dirname(at)) {
      try {
        const real = await fs.realpath(at);
        if (real === at) return;
        throw new Error(`${at} is a symbolic link, or in one: it leads to ${real}`);
      } catch (error) {
        // What is not there leads nowhere; what is above it may.
        if (!isNotThere(error)) throw error;
      }
    }
  }

  /** Makes the folder of a file, and those above it, and does the work in it: again where somebody has removed it meanwhile. */
  async inFolderOf<T>(file: string, work: () => Promise<T>): Promise<T> {
    const folder = dirname(file);
    for (let left = 10; ; left--) {
      await this.#make(folder);
      try {
        return await work();
      } catch (error) {
        if (!isMissing(error) || left === 0) throw error;
      }
    }
  }

  #make(folder: string): Promise<void> {
    const making =
      this.#making.get(folder) ?? this.#makeNew(folder).finally(() => this.#making.delete(folder));
    this.#making.set(folder, making);
    return making;
  }

  async #makeNew(folder: string): Promise<void> {
    for (let left = 10; ; left--) {
      try {
        await fs.mkdir(folder, { mode: this.#options.directoryMode });
        break;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EEXIST') {
          // A file in its place is found out by whoever wants to put something below it.
          return;
        }
        if (code !== 'ENOENT' || left === 0 || folder.length <= this.#root.length) throw error;
        await this.#make(dirname(folder));
      }
    }
    const above = dirname(folder);
    // The umask may have taken something away. A file system without modes refuses, and the folder may be gone again.
    const mode = await fs
      .stat(folder)
      .then((made) => modeOf(this.#options.directoryMode, made), ignoreMissing);
    if (mode !== undefined) await fs.chmod(folder, mode).catch(() => undefined);
    if (this.#options.durable) await syncDirectory(above).catch(ignoreMissing);
    await this.#making.get(above);
  }

  /** A regular file to be read from; undefined where there is none. Whoever asks closes it. */
  async open(file: string): Promise<{ handle: fs.FileHandle; stat: Stats } | undefined> {
    let handle: fs.FileHandle;
    try {
      // A pipe would keep whoever opens it.
      handle = await fs.open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (isNotThere(error) || isLink(error)) return undefined;
      throw error;
    }
    try {
      const stat = await handle.stat();
      if (stat.isFile()) return { handle, stat };
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
    return undefined;
  }

  /** A regular file to be written to. @throws where there is something else */
  async openToWrite(file: string): Promise<fs.FileHandle> {
    const handle = await fs.open(file, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    try {
      if ((await handle.stat()).isFile()) return handle;
      throw new Error(`${file} is no regular file`);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Of a regular file; undefined where there is none. */
  async stat(file: string): Promise<Stats | undefined> {
    const found = await statIfThere(file);
    return found?.isFile() ? found : undefined;
  }

  /** Puts one file in the place of another, in one step. An empty folder is in nobody's way. */
  async rename(from: string, to: string): Promise<void> {
    await fs.rename(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EISDIR' && error.code !== 'EEXIST' && error.code !== 'EPERM') throw error;
      await fs.rmdir(to).catch(() => Promise.reject(error));
      await fs.rename(from, to);
    });
  }

  /** What has come to these files, or gone from them, does so after a loss of power too. */
  async settle(...files: string[]): Promise<void> {
    if (!this.#options.durable) return;
    for (const folder of new Set(files.map((file) => dirname(file))))
      await syncDirectory(folder).catch(ignoreMissing);
  }
}

/** Of what is there, a link as a link. */
export async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (isNotThere(error)) return undefined;
    throw error;
  }
}

/** There is no such thing, nor could there be: something above it is a file. */
export function isNotThere(error: unknown): boolean {
  return isMissing(error) || (error as NodeJS.ErrnoException | undefined)?.code === 'ENOTDIR';
}

/** What O_NOFOLLOW says; FreeBSD has its own way. */
function isLink(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ELOOP' || code === 'EMLINK';
}

/** A folder may be removed as soon as it is empty. */
function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}
