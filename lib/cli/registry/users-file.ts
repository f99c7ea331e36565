// docs/guides/registry-command.md

import type { Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { createNew, isMissing, readWithStat, syncDirectory, unlink } from '../../fs/files.ts';
import { parseUsers } from '../../registry/users.ts';
import { errorText } from '../error-text.ts';
import { Failure } from '../failure.ts';

/** A user's new hash; without one, the user goes. */
export interface UsersEdit {
  user: string;
  hash?: string;
}

export interface EditedUsers {
  /** Whether the user was there. */
  before: boolean;
  /** What a registry will not take of the file. */
  warnings: string[];
}

const PRIVATE = 0o600;

/**
 * Replaces a file of users by one with the change, all at once: whoever reads it sees the one or the other. A new file is for its owner only; another one
 * keeps its owner, group and mode.
 * @throws Failure for a user to remove who is not there, where another one is at it, and for a file that can't be read or written
 */
export async function editUsers(path: string, edit: UsersEdit): Promise<EditedUsers> {
  return replaceUsers(path, edit).catch((error: NodeJS.ErrnoException) => {
    if (error.syscall === undefined) throw error;
    throw new Failure(`can't write ${path}: ${error.message}`, { cause: error });
  });
}

async function replaceUsers(path: string, edit: UsersEdit): Promise<EditedUsers> {
  // A symbolic link stays one.
  const file = await fs.realpath(path).catch((error: unknown) => {
    if (isMissing(error)) return path;
    throw error;
  });
  const next = `${file}.new`;
  const handle = await createNew(next, PRIVATE).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
    throw new Failure(
      `${next} is there: another passwd is at work, or was ended in the middle; remove it if none is`,
    );
  });
  try {
    const found = await readWithStat(file);
    const { text, before } = edited(found?.bytes.toString() ?? '', edit);
    if (!before && edit.hash === undefined) throw new Failure(`${path} has no user ${edit.user}`);
    await handle.writeFile(text);
    if (found !== undefined) await keepRights(handle, found.stat);
    await handle.sync();
    await fs.rename(next, file);
    await syncDirectory(dirname(file));
    return { before, warnings: warningsOf(text) };
  } catch (error) {
    await unlink(next);
    throw error;
  } finally {
    await handle.close();
  }
}

/** Comments, and the order of the users, stay as they are. */
function edited(text: string, { user, hash }: UsersEdit): { text: string; before: boolean } {
  const lines = text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/);
  const isTheirs = (line: string) => line.startsWith(`${user}:`);
  const at = lines.findIndex(isTheirs);
  const kept = lines.filter((line) => !isTheirs(line));
  if (hash !== undefined) kept.splice(at < 0 ? kept.length : at, 0, `${user}:${hash}`);
  return { text: kept.map((line) => `${line}\n`).join(''), before: at >= 0 };
}

async function keepRights(handle: fs.FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  const now = await handle.stat();
  if (now.uid !== uid || now.gid !== gid) await handle.chown(uid, gid);
  await handle.chmod(mode & 0o777);
}

function warningsOf(text: string): string[] {
  try {
    parseUsers(text);
    return [];
  } catch (error) {
    return [`the registry will not take the file as it is: ${errorText(error)}`];
  }
}
