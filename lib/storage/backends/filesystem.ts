// docs/reference/backend-contract.md

import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isBytes, OptionReader, requireMode, show } from '../../checks.ts';
import { OptionError } from '../../errors.ts';
import { createNew, makeDirectory, syncDirectory, unlink } from '../../fs/files.ts';
import type { ByteRange } from '../../http/body.ts';
import type { Appending, Bytes, ObjectInfo, ObjectStream, Part, StorageBackend, Unlock } from './backend.ts';
import { Step } from './fault.ts';
import { AppendingFile } from './filesystem/appending.ts';
import { lockPath, removeLostLocks } from './filesystem/locks.ts';
import { Reading } from './filesystem/reading.ts';
import { Temporary } from './filesystem/temporary.ts';
import { isNotThere, statIfThere, Tree } from './filesystem/tree.ts';
import { requireFolderPath, requirePath } from './paths.ts';

export interface FilesystemBackendOptions {
  /** Where the files are kept; made at the first use, if it is missing. */
  directory: string;
  /** `commit`: what is put, moved or concatenated survives a loss of power (fsync), and so does what is closed as durable. `none`: nothing is synced. Default `commit`. */
  durability?: 'none' | 'commit';
  /** Of every file that is created, whatever the umask. Default 0o600. */
  fileMode?: number;
  /** Of every directory that is created, whatever the umask. Default 0o700. */
  directoryMode?: number;
  /** Whether `lock` excludes other processes on the directory. `false`: there is no `lock`; only one process may use it. Default true. */
  locks?: boolean;
}

const OPTIONS: Record<keyof FilesystemBackendOptions, true> = {
  directory: true,
  durability: true,
  fileMode: true,
  directoryMode: true,
  locks: true,
};

/** What is under the directory, once it is there. */
interface Ready {
  tree: Tree;
  temporary: Temporary;
}

/** Entries of a folder that are looked at together. */
const AT_ONCE = 32;

/** The version of the layout (docs/reference/storage-format.md). */
const FORMAT = 'v1';

/** Where a backend has the objects that it keeps in a directory. */
export function objectsIn(directory: string): string {
  return join(directory, FORMAT, 'objects');
}

/** Keeps each object in a file of a local disk, or of one that several hosts mount. */
export class FilesystemBackend implements StorageBackend {
  readonly name: string;
  readonly lock?: (path: string, signal?: AbortSignal) => Promise<Unlock>;
  readonly #root: string;
  readonly #durable: boolean;
  readonly #fileMode: number;
  readonly #directoryMode: number;
  #ready: Promise<Ready> | undefined;

  /** @throws OptionError */
  constructor(options: FilesystemBackendOptions) {
    const read = new OptionReader(options, OPTIONS);
    const { directory, fileMode = 0o600, directoryMode = 0o700 } = options;
    if (typeof directory !== 'string' || directory === '')
      throw new OptionError('directory', `directory must be a path, got ${show(directory)}`);
    requireMode('fileMode', fileMode, 0o600);
    requireMode('directoryMode', directoryMode, 0o700);
    this.name = resolve(directory);
    this.#root = join(this.name, FORMAT);
    this.#durable = read.oneOf('durability', ['commit', 'none']) === 'commit';
    this.#fileMode = fileMode;
    this.#directoryMode = directoryMode;
    if (read.flag('locks', true)) this.lock = (path, signal) => this.#lock(path, signal);
  }

  async *list(path: string): AsyncGenerator<ObjectInfo, void, undefined> {
    requireFolderPath(path);
    const step = this.#step('list', path);
    const folder = await this.#inTree(step, (tree) => tree.findFolder(path));
    const entries = await step.run(() => fs.opendir(folder, { bufferSize: AT_ONCE }).catch(notThere));
    if (entries === undefined) return;
    try {
      for (;;) {
        const found = await step.run(async () => infos(folder, await some(entries)));
        if (found === undefined) return;
        yield* found;
      }
    } finally {
      await entries.close();
    }
  }

  async size(path: string): Promise<number | undefined> {
    requirePath(path);
    const found = await this.#inTree(this.#step('size', path), async (tree) =>
      tree.stat(await tree.find(path)),
    );
    return found?.size;
  }

  async put(path: string, bytes: Bytes): Promise<number> {
    requirePath(path);
    const step = this.#step('put', path);
    const { tree, temporary } = await this.#open(step);
    const to = await step.run(() => tree.find(path));
    return temporary.write(bytes, step, async (file) => {
      await tree.inFolderOf(to, () => tree.rename(file, to));
      await tree.settle(to);
    });
  }

  async get(path: string): Promise<Buffer | undefined> {
    requirePath(path);
    return this.#inTree(this.#step('get', path), async (tree) => {
      const { handle } = (await tree.open(await tree.find(path))) ?? {};
      try {
        return await handle?.readFile();
      } finally {
        await handle?.close();
      }
    });
  }

  async stream(path: string, range?: ByteRange): Promise<ObjectStream | undefined> {
    requirePath(path);
    const step = this.#step('stream', path);
    const opened = await this.#inTree(step, async (tree) => tree.open(await tree.find(path)));
    if (opened === undefined) return undefined;
    const { handle, stat } = opened;
    const { start, end } = range ?? { start: 0, end: stat.size };
    const bytes = new Reading(handle, { start, end }, step);
    const pour = (take: (piece: Uint8Array) => Promise<void>) => bytes.pour(take);
    if (start < end && start >= 0 && end <= stat.size) return { size: stat.size, bytes, pour };
    // Nothing will be read, so nobody would close it.
    await bytes.return();
    if (start === end) return { size: stat.size, bytes };
    throw step.error(`it has ${stat.size} bytes, not those from ${start} to ${end}`, 'damaged');
  }

  async delete(path: string): Promise<boolean> {
    requirePath(path);
    return this.#inTree(this.#step('delete', path), async (tree) => remove(await tree.find(path)));
  }

  async move(from: string, to: string): Promise<void> {
    requirePath(from);
    requirePath(to);
    const step = this.#step(`move to ${to}`, from);
    await this.#inTree(step, async (tree) => {
      const [source, target] = [await tree.find(from), await tree.find(to)];
      const requireSource = async (): Promise<void> => {
        if ((await tree.stat(source)) === undefined) throw step.error('there is no such object', 'missing');
      };
      await requireSource();
      await tree.inFolderOf(target, () =>
        tree.rename(source, target).catch(async (error: unknown) => {
          await requireSource();
          throw error;
        }),
      );
      await tree.settle(target, source);
    });
  }

  async concatenate(parts: readonly Part[], to: string): Promise<void> {
    for (const { path } of parts) requirePath(path);
    await this.put(to, this.#joined(parts));
    for (const { path } of parts) {
      // It is whole, and a part that stays is only in the way.
      if (path !== to) await this.delete(path).catch(() => false);
    }
  }

  async append(path: string, offset: number): Promise<Appending> {
    requirePath(path);
    const step = this.#step('append', path);
    if (!isBytes(offset)) throw step.error(`${show(offset)} is no offset`, 'failed');
    return this.#inTree(step, async (tree) => {
      const found = await tree.find(path);
      const file = await this.#openToAppend(tree, found, offset, step);
      try {
        const { size } = await file.stat();
        if (size < offset) throw step.error(`it has ${size} bytes, not ${offset}`, 'damaged');
        if (size > offset) await file.truncate(offset);
      } catch (error) {
        await file.close();
        throw error;
      }
      return new AppendingFile(file, found, offset, this.#durable, step);
    });
  }

  async #openToAppend(tree: Tree, path: string, offset: number, step: Step): Promise<fs.FileHandle> {
    const there = async (): Promise<fs.FileHandle | undefined> =>
      (await statIfThere(path)) === undefined ? undefined : tree.openToWrite(path);
    const file = await there();
    if (file !== undefined) return file;
    if (offset > 0) throw step.error(`it has no bytes, not ${offset}`, 'damaged');
    return tree.inFolderOf(path, () =>
      createNew(path, this.#fileMode).catch(async (error: NodeJS.ErrnoException) => {
        // Another one has just made it.
        const made = error.code === 'EEXIST' ? await there() : undefined;
        if (made === undefined) throw error;
        return made;
      }),
    );
  }

  /** @throws BackendError, `damaged`, at the first part that is not what was said of it */
  async *#joined(parts: readonly Part[]): AsyncGenerator<Uint8Array, void, undefined> {
    for (const { path, size, md5 } of parts) {
      const step = this.#step('concatenate', path);
      const part = await this.stream(path);
      if (part === undefined) throw step.error('there is no such object', 'damaged');
      try {
        if (part.size !== size) throw step.error(`it has ${part.size} bytes, not ${size}`, 'damaged');
        const hash = md5 === undefined ? undefined : createHash('md5');
        for await (const piece of part.bytes) {
          hash?.update(piece);
          yield piece;
        }
        const found = hash?.digest('hex');
        if (found !== md5) throw step.error(`its MD5 is ${found}, not ${md5}`, 'damaged');
      } finally {
        await part.bytes[Symbol.asyncIterator]().return?.();
      }
    }
  }

  async #lock(path: string, signal?: AbortSignal): Promise<Unlock> {
    requirePath(path);
    const step = this.#step('lock', path);
    await this.#open(step);
    return lockPath(this.#locks, path, step, signal);
  }

  get #locks(): string {
    return join(this.#root, 'locks');
  }

  #step(operation: string, path: string): Step {
    return new Step(this.name, operation, path);
  }

  #inTree<T>(step: Step, work: (tree: Tree) => Promise<T>): Promise<T> {
    return step.run(async () => work((await this.#open(step)).tree));
  }

  /** What has failed is tried again by whoever comes next. */
  #open(step: Step): Promise<Ready> {
    this.#ready ??= this.#prepare().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return step.run(() => this.#ready as Promise<Ready>);
  }

  async #prepare(): Promise<Ready> {
    const objects = objectsIn(this.name);
    const temporary = join(this.#root, 'temporary');
    for (const path of [objects, temporary, this.#locks]) await makeDirectory(path, this.#directoryMode);
    if (this.#durable) for (const path of [this.#root, this.name]) await syncDirectory(path);
    const modes = { fileMode: this.#fileMode, directoryMode: this.#directoryMode, durable: this.#durable };
    const ready = {
      tree: new Tree(await fs.realpath(objects), modes),
      temporary: new Temporary(temporary, modes),
    };
    await ready.temporary.removeLeftovers();
    await removeLostLocks(this.#locks);
    return ready;
  }
}

/** The next entries of a folder; undefined after the last. */
async function some(entries: AsyncIterableDirectory): Promise<Dirent[] | undefined> {
  const found: Dirent[] = [];
  while (found.length < AT_ONCE) {
    const entry = await entries.read();
    if (entry === null) break;
    found.push(entry);
  }
  return found.length === 0 ? undefined : found;
}

type AsyncIterableDirectory = Awaited<ReturnType<typeof fs.opendir>>;

/** What is there of them, and is an object or a folder: what vanishes meanwhile is left out. */
async function infos(
  folder: string,
  entries: readonly Dirent[] | undefined,
): Promise<ObjectInfo[] | undefined> {
  if (entries === undefined) return undefined;
  const found = await Promise.all(
    entries.map(async ({ name }): Promise<ObjectInfo | undefined> => {
      const stat = await statIfThere(join(folder, name));
      if (stat?.isDirectory()) return { name, isFolder: true, size: 0, modifiedAt: stat.mtimeMs };
      // A rename leaves mtime as it was, and renews ctime.
      if (stat?.isFile()) return { name, isFolder: false, size: stat.size, modifiedAt: stat.ctimeMs };
      return undefined;
    }),
  );
  return found.filter((info) => info !== undefined);
}

/** Removes a file, or an empty folder; whether there was one. */
async function remove(path: string): Promise<boolean> {
  try {
    return await unlink(path);
  } catch (error) {
    if (isNotThere(error)) return false;
    const found = await statIfThere(path);
    // Another one has just removed the folder.
    if (found === undefined) return false;
    if (!found.isDirectory()) throw error;
  }
  try {
    await fs.rmdir(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // It is gone, or there is something in it, or in its place.
    if (isNotThere(error) || code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
}

function notThere(error: unknown): undefined {
  if (!isNotThere(error)) throw error;
}
