import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { createNew, exists, unlink } from '../../fs/files.ts';
import { Layout } from '../../fs/layout.ts';
import { fail, LOCAL_DISK, ok, type Probe, warn } from './check.ts';

// What the cache does with names: an entry is published by a rename, and its parts are found by theirs.

const MODE = 0o600;

/** As `incomplete/` and a folder of `entries/` in the directory itself. */
async function twoFolders(folder: string): Promise<{ from: string; to: string }> {
  const [from, to] = [join(folder, 'incomplete'), join(folder, 'entries', 'ab')];
  await fs.mkdir(from);
  await fs.mkdir(to, { recursive: true });
  return { from: join(from, 'file'), to: join(to, 'file') };
}

const rename: Probe = {
  name: 'rename',
  needs: 'an entry is published by renaming its files from one folder to another',
  async probe(folder) {
    const { from, to } = await twoFolders(folder);
    await fs.writeFile(from, 'new', { mode: MODE });
    const { ino } = await fs.stat(from, { bigint: true });
    await fs.rename(from, to);
    if ((await fs.readFile(to, 'utf8')) !== 'new' || (await exists(from))) {
      return fail('a renamed file was not where it should be', this.needs, LOCAL_DISK);
    }
    if ((await fs.stat(to, { bigint: true })).ino === ino)
      return ok('from one folder to another; the inode stays');
    return warn(
      'from one folder to another, but the inode changes',
      'a file can not be told by its inode: what was verified once is taken for another file, and verified again',
      LOCAL_DISK,
    );
  },
};

const renameOver: Probe = {
  name: 'rename-over',
  needs: 'a newer entry takes the place of the one before in one step',
  async probe(folder) {
    const { from, to } = await twoFolders(folder);
    await fs.writeFile(to, 'old', { mode: MODE });
    await fs.writeFile(from, 'new', { mode: MODE });
    await fs.rename(from, to);
    const found = await fs.readFile(to, 'utf8');
    return found === 'new'
      ? ok('replaces a file')
      : fail(`the file still says '${found}'`, this.needs, LOCAL_DISK);
  },
};

const renameOpen: Probe = {
  name: 'rename-open',
  needs: 'a body is renamed while its readers are at it',
  async probe(folder) {
    const { from, to } = await twoFolders(folder);
    const file = await createNew(from, MODE);
    try {
      await file.write('before');
      await fs.rename(from, to);
      await file.write(', after');
      const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
      const [open, named] = [buffer.toString('utf8', 0, bytesRead), await fs.readFile(to, 'utf8')];
      if (open === 'before, after' && named === open) return ok('an open file goes on under its new name');
      return fail(`the open file says '${open}', the renamed one '${named}'`, this.needs, LOCAL_DISK);
    } finally {
      await file.close();
    }
  },
};

const BODY_BYTES = 2 ** 20;

const unlinkOpen: Probe = {
  name: 'unlink-open',
  needs: 'an entry that is evicted or purged is read to its end by those who read it already',
  async probe(folder) {
    const path = join(folder, 'body');
    const bytes = Buffer.alloc(BODY_BYTES, 'cache-filter ');
    await fs.writeFile(path, bytes, { mode: MODE });
    const file = await fs.open(path, 'r');
    try {
      await unlink(path);
      const gone = !(await exists(path));
      const read = await file.readFile();
      const left = await fs.readdir(folder);
      if (!gone || !read.equals(bytes)) {
        return fail(
          gone ? 'a deleted file can not be read to its end' : 'an open file can not be deleted',
          this.needs,
          LOCAL_DISK,
        );
      }
      if (left.length === 0) return ok('a deleted file is read to its end');
      return warn(
        `a deleted file is read to its end, but stays as ${left.join(', ')} meanwhile`,
        'its space is free only when the last reader has gone, and a process that is killed may leave it behind',
        LOCAL_DISK,
      );
    } finally {
      await file.close();
    }
  },
};

/** The longest that a file system allows, nearly everywhere, in bytes. */
const LONGEST = 255;

/** The longest name of our own. */
const NEEDED = (() => {
  const layout = new Layout('/');
  const name = layout.name('key', 'variant');
  return Math.max(
    ...[layout.body(name, '0'.repeat(16)), layout.claim(name, '0'.repeat(16))].map(
      (path) => path.slice(path.lastIndexOf('/') + 1).length,
    ),
  );
})();

const names: Probe = {
  name: 'names',
  needs: `files are called by hashes: names of ${NEEDED} letters`,
  async probe(folder) {
    const longest = async (length: number) => {
      await fs.writeFile(join(folder, 'n'.repeat(length)), '', { mode: MODE });
      return (await fs.readdir(folder)).some((name) => name.length === length);
    };
    const whole = await longest(LONGEST).catch((error: NodeJS.ErrnoException) => {
      // Inside a path that is long already it is ENAMETOOLONG too.
      if (error.code !== 'ENAMETOOLONG' && error.code !== 'EINVAL') throw error;
      return false;
    });
    await fs.writeFile(join(folder, 'case'), '', { mode: MODE });
    const sensitive = !(await exists(join(folder, 'CASE')));
    const letters = sensitive
      ? 'a and A differ'
      : 'a and A are the same, which does not matter: ours are small';
    if (whole)
      return ok(`up to ${LONGEST} bytes; ${letters}`, { nameBytes: LONGEST, caseSensitive: sensitive });
    if (await longest(NEEDED))
      return ok(`fewer than ${LONGEST} bytes, but the ${NEEDED} that are needed; ${letters}`, {
        nameBytes: NEEDED,
        caseSensitive: sensitive,
      });
    return fail('long names are cut', this.needs, LOCAL_DISK);
  },
};

export const nameProbes: readonly Probe[] = [rename, renameOver, renameOpen, unlinkOpen, names];
