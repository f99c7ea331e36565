import { accessSync, chmodSync, constants, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { DirectoryError } from '../errors.ts';
import { isMissing, modeOf } from './files.ts';
import type { Layout } from './layout.ts';

const TAG = `Signature: 8a477f597d28d172789f06886806bc55
# This file says that the directory is a cache: backups may leave it out. https://bford.info/cachedir/
`;

/**
 * Creates what is missing of a cache directory, with these very modes, and tries whether it can be used. What is there already keeps
 * its mode.
 * @throws DirectoryError naming the path, the operating system's error and the user
 */
export function prepareDirectory(
  directory: string,
  { entries, incomplete, tag }: Layout,
  modes: { file: number; directory: number },
): void {
  try {
    for (const path of [entries, incomplete]) makeDirectory(path, modes.directory);
    for (const path of [directory, entries, incomplete]) {
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    }
    const tagged = existsSync(tag);
    // In place: a disk that is full would leave an empty one.
    writeFileSync(tag, TAG, { mode: modes.file, flag: tagged ? 'r+' : 'w' });
    if (!tagged) setMode(tag, modes.file);
  } catch (error) {
    const { code, path = directory } = error as NodeJS.ErrnoException;
    throw new DirectoryError(
      directory,
      `the cache directory ${directory} can't be used: ${code} on ${path}, as user ${userName()}; it must be a directory that this user may read, write and enter`,
      { cause: error },
    );
  }
}

/** Not `recursive`: with that, Node tries for ever where a parent is there and yet takes no directory, as /proc does. */
function makeDirectory(path: string, mode: number): void {
  try {
    makeOne(path, mode);
  } catch (error) {
    if (!isMissing(error)) throw error;
    const parent = dirname(path);
    // Where it is there now, another process that starts has just made it.
    if (!existsSync(parent)) makeDirectory(parent, mode);
    makeOne(path, mode);
  }
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
    setMode(path, modeOf(mode, statSync(path)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
  }
}

function setMode(path: string, mode: number): void {
  try {
    chmodSync(path, mode);
  } catch {
    // A file system without modes. What the umask left is narrower, so nobody is let in by that.
  }
}

/** Who this process is, for messages. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container, the user often has a number and no name.
    return String(process.geteuid?.() ?? 'unknown');
  }
}
