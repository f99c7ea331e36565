import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { sep } from 'node:path';
import { isMissing } from '../../fs/files.ts';
import { type Finding, fail, type Look, ok, warn } from './check.ts';
import { octal } from './size.ts';

/** Folders that something else empties now and then. */
const TEMPORARY = ['/tmp', '/var/tmp', '/dev/shm', '/run'];

/** Whether the files may stay where they are put. */
export const place: Look = {
  name: 'place',
  async look({ existing }) {
    for (const folder of [tmpdir(), ...TEMPORARY]) {
      const real = await fs.realpath(folder).catch(() => folder);
      if (existing === real || existing.startsWith(real + sep)) {
        return warn(
          `below ${folder}, where files are temporary`,
          'the system may delete the files after some days, or at a restart',
          'Choose a directory such as /var/cache/cache-filter.',
        );
      }
    }
    if (existing.split(sep).includes('node_modules')) {
      return warn(
        'below node_modules',
        'the next installation of packages deletes it',
        'Choose a directory outside of it.',
      );
    }
    return ok('not below a temporary directory');
  },
};

/** The directory itself: whether it is one, whose it is, and who may change it. */
export const directory: Look = {
  name: 'directory',
  async look({ existing, missing, directory }) {
    if (missing) return ok(`missing; the nearest is ${existing}`);
    const { mode, uid } = await fs.stat(existing);
    const link = existing === directory ? '' : `, really ${existing}`;
    return judgeDirectory(mode, uid, process.geteuid?.(), link);
  },
};

/** @param user undefined: the platform has no numbers for users */
export function judgeDirectory(mode: number, owner: number, user: number | undefined, link = ''): Finding {
  const fact = `there${link}, mode ${octal(mode)}, of ${owner === user ? 'this user' : `user ${owner}`}`;
  if (user === undefined) return ok(`there${link}`);
  // With the sticky bit, others can add names, but not take ours.
  if ((mode & 0o022) === 0 || (mode & 0o1000) !== 0) return ok(fact, { mode: octal(mode), owner });
  return warn(
    fact,
    'others may rename what is in it, or put files of their own there, which would be served',
    'chmod go-w, or better 0700.',
    { mode: octal(mode), owner },
  );
}

/** What stands in the way of a directory. */
export async function judgeUnusable(error: unknown, directory: string, user: string): Promise<Finding> {
  const { code, path = directory } = error as NodeJS.ErrnoException;
  const fact = `${code ?? String(error)} on ${path}, as user ${user}`;
  const meaning = 'the cache can not start here';
  switch (code) {
    case 'ENOTDIR':
    case 'EEXIST':
      return fail(
        fact,
        `${meaning}: something on the way is a file`,
        'Remove the file, or choose another directory.',
      );
    case 'EACCES':
    case 'EPERM':
      return fail(
        fact,
        meaning,
        `Give the directory to ${user} (chown, mode 0700), or run the cache as its owner.`,
      );
    case 'EROFS':
      return fail(
        fact,
        `${meaning}: the file system is read-only`,
        'Mount it read-write, or choose another directory.',
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return fail(
        fact,
        `${meaning}: no space, no inodes or no quota is left`,
        'Free some, or choose another disk.',
      );
    default:
      return fail(
        fact,
        meaning,
        isMissing(error)
          ? 'Choose another directory: nothing can be created there.'
          : 'Choose another directory.',
      );
  }
}
