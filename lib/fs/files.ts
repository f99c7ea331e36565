import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';

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

/** Creates a file that must not be there yet. */
export async function createNew(path: string, mode: number): Promise<fs.FileHandle> {
  return fs.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, mode);
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

/** File names in a directory; none where it is missing. */
export async function list(directory: string): Promise<string[]> {
  try {
    return await fs.readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

const BLOCK = 4096;

/** Bytes that a file of this size takes on disk, in whole blocks. */
export function onDisk(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

