import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';

/** Whether a file system error says that there is no such file or directory. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/** Removes a file, in the thread pool; whether it was there. */
export async function unlink(path: string): Promise<boolean> {
  try {
    await fs.unlink(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Creates a file that must not be there yet, with this very mode: the process's umask has no say. */
export async function createNew(path: string, mode: number): Promise<fs.FileHandle> {
  const file = await fs.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, mode);
  // A file system without modes refuses. What the umask left is narrower, so nobody is let in by that.
  await file.chmod(mode).catch(() => undefined);
  return file;
}

/** Creates a directory, and those above it, with this very mode; one that is there already is left as it is. */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  const make = () =>
    fs.mkdir(path, { mode }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return false;
        throw error;
      },
    );
  const made = await make().catch(async (error: unknown) => {
    if (!isMissing(error)) throw error;
    await makeDirectory(dirname(path), mode);
    return make();
  });
  if (made) await fs.chmod(path, modeOf(mode, await fs.stat(path))).catch(() => undefined);
}

/** On a directory: what is created in it gets its group. */
const SET_GROUP_ID = 0o2000;

/** A new directory's mode: as asked for, with the group that it inherits for what will be in it. */
export function modeOf(mode: number, made: { mode: number }): number {
  return mode | (made.mode & SET_GROUP_ID);
}

/** Writes all of the bytes from the beginning of the file on: a disk that fills up takes a part first, and says so only then. */
export async function writeWhole(file: fs.FileHandle, bytes: Uint8Array): Promise<void> {
  await writeAt(file, bytes, 0);
}

/** The same, from a position on. */
export async function writeAt(file: fs.FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength; ) {
    at += (await file.write(bytes, at, bytes.byteLength - at, position + at)).bytesWritten;
  }
}

/** Puts the names in a directory where a loss of power leaves them; where directories can't be opened, names are there already. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await fs.open(path, 'r').catch((error: unknown) => {
    if (isMissing(error)) throw error;
    return undefined;
  });
  await directory?.sync().catch(() => undefined);
  await directory?.close();
}

/** Puts what a file holds where a loss of power leaves it (fsync). */
export async function syncFile(path: string): Promise<void> {
  const file = await fs.open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The whole file, or undefined where it is missing. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await fs.readFile(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The whole file, and what it was before it was read; undefined where it is missing. */
export async function readWithStat(path: string): Promise<{ bytes: Buffer; stat: Stats } | undefined> {
  let file: fs.FileHandle;
  try {
    file = await fs.open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const stat = await file.stat();
    return { bytes: await file.readFile(), stat };
  } finally {
    await file.close();
  }
}

export async function exists(path: string): Promise<boolean> {
  return fs.access(path).then(
    () => true,
    () => false,
  );
}

/** File names in a directory; none where it is missing, or no directory: a stray file among ours is not our business. */
export async function list(directory: string): Promise<string[]> {
  try {
    return await fs.readdir(directory);
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
    throw error;
  }
}

const BLOCK = 4096;

/** Bytes that a file of this size takes on disk, in whole blocks. */
export function onDisk(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}
