import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { DirectoryError } from '../errors.ts';
import type { Layout } from './layout.ts';

const TAG = `Signature: 8a477f597d28d172789f06886806bc55
# This file says that the directory is a cache: backups may leave it out. https://bford.info/cachedir/
`;

/**
 * Creates what is missing of a cache directory, and tries whether it can be used.
 * @throws DirectoryError naming the path, the operating system's error and the user
 */
export function prepareDirectory(
  directory: string,
  { entries, incomplete, tag }: Layout,
  modes: { file: number; directory: number },
): void {
  try {
    for (const path of [entries, incomplete]) mkdirSync(path, { recursive: true, mode: modes.directory });
    for (const path of [directory, entries, incomplete]) {
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    }
    writeFileSync(tag, TAG, { mode: modes.file });
  } catch (error) {
    const { code, path = directory } = error as NodeJS.ErrnoException;
    throw new DirectoryError(
      directory,
      `the cache directory ${directory} can't be used: ${code} on ${path}, as user ${userName()}; it must be a directory that this user may read, write and enter`,
      { cause: error },
    );
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container, the user often has a number and no name.
    return String(process.getuid?.() ?? 'unknown');
  }
}
