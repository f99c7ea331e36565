import { type FSWatcher, watch as watchFile } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { createNew } from '../../fs/files.ts';
import { type Finding, fail, LOCAL_DISK, type Look, ok, type Probe, said, warn } from './check.ts';
import { octal } from './size.ts';

// What this process, and a file of it, may be.

const modes: Probe = {
  name: 'modes',
  needs: 'the files are for the user of the cache only',
  async probe(folder) {
    const [path, below] = [join(folder, 'file'), join(folder, 'directory')];
    const made = await createNew(path, 0o600);
    await made.close();
    const file = (await fs.stat(path)).mode & 0o777;
    await fs.mkdir(below, { mode: 0o777 });
    const umask = 0o777 & ~(await fs.stat(below)).mode;
    await setMode(below, 0o700);
    return judgeModes({ file, directory: (await fs.stat(below)).mode & 0o777, umask });
  },
};

async function setMode(path: string, mode: number): Promise<void> {
  try {
    await fs.chmod(path, mode);
  } catch (error) {
    // A file system without modes refuses, or does nothing: what the mode is then is what counts.
    if (!['EPERM', 'ENOTSUP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Modes of a file made with 0600, of one set to that, and of a directory set to 0700. */
export function judgeModes(found: { file: number; directory: number; umask: number }): Finding {
  const { file, directory, umask } = found;
  const fact = `0600 is ${octal(file)}, 0700 is ${octal(directory)}, umask ${octal(umask)}`;
  const measured = { file: octal(file), directory: octal(directory), umask: octal(umask) };
  // Modes are set when a file has been created: the umask means nothing.
  if ((file & 0o600) !== 0o600 || (directory & 0o700) !== 0o700) {
    return fail(fact, 'the cache can not read or write its own files', LOCAL_DISK, measured);
  }
  if (file === 0o600 && directory === 0o700) return ok(fact, measured);
  return warn(
    fact,
    'modes are not kept: other users of this machine may read what is in the cache',
    `${LOCAL_DISK} Or mount it for the user of the cache alone (uid=, umask=).`,
    measured,
  );
}

const LARGE_BYTES = 5 * 2 ** 30;

const largeFiles: Probe = {
  name: 'large-files',
  needs: 'a body is one file, however large',
  async probe(folder) {
    const file = await createNew(join(folder, 'file'), 0o600);
    try {
      // A hole: it takes no space.
      await file.truncate(LARGE_BYTES);
      const { size } = await file.stat();
      if (size === LARGE_BYTES) return ok('a file may have more than 4 GiB', { bytes: LARGE_BYTES });
      return warn(`a file of 5 GiB has ${size} bytes`, 'larger bodies are not kept', LOCAL_DISK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EFBIG') {
        return warn(
          'EFBIG: a file may not have 5 GiB',
          'larger bodies are passed on without being kept',
          `Raise the limit for this process (ulimit -f), if there is one. ${LOCAL_DISK}`,
        );
      }
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
      return warn(
        `${code}: there is no room for a file of 5 GiB, not even for an empty one`,
        'larger bodies are passed on without being kept',
        'Free some space, or choose a larger disk.',
      );
    } finally {
      await file.close();
    }
  },
};

/** inotify tells within a millisecond. */
const WATCH_MS = 2000;

const watch: Probe = {
  name: 'watch',
  needs: 'readers in other processes learn by it that a body has grown',
  async probe(folder) {
    const polled = (fact: string) =>
      warn(
        fact,
        'readers in other processes look again and again instead: they lag a little behind',
        'Raise fs.inotify.max_user_watches and max_user_instances, where that is the reason; it works without.',
      );
    let watcher: FSWatcher | undefined;
    let late: NodeJS.Timeout | undefined;
    try {
      const told = new Promise<boolean>((resolve, reject) => {
        watcher = watchFile(folder, () => resolve(true));
        watcher.once('error', reject);
        late = setTimeout(() => resolve(false), WATCH_MS);
      });
      const written = fs.writeFile(join(folder, 'file'), 'grown', { mode: 0o600 });
      const [came] = await Promise.all([told, written]);
      return came
        ? ok('fs.watch tells of changes')
        : polled(`fs.watch told nothing within ${WATCH_MS / 1000} s`);
    } catch (error) {
      return polled(`fs.watch does not work: ${said(error)}`);
    } finally {
      clearTimeout(late);
      watcher?.close();
    }
  },
};

/** A client and an entry each take one. */
const FEW_DESCRIPTORS = 1024;

export const descriptors: Look = {
  name: 'descriptors',
  async look() {
    const text = await fs.readFile('/proc/self/limits', 'utf8').catch(() => '');
    return judgeDescriptors(/^Max open files +(\S+)/m.exec(text)?.[1]);
  },
};

/** @param limit as in `/proc/self/limits`; undefined where there is none */
export function judgeDescriptors(limit: string | undefined): Finding {
  if (limit === undefined) return ok('not known here');
  if (limit === 'unlimited') return ok('any number of open files');
  const number = Number(limit);
  const fact = `${number} open files`;
  if (number >= FEW_DESCRIPTORS) return ok(fact, { limit: number });
  return warn(
    fact,
    'each client takes one, and each entry that is read one more: beyond that, connections are refused and entries are misses',
    'Raise the limit: ulimit -n 65536, or LimitNOFILE=65536 in the unit.',
    { limit: number },
  );
}

export const capacityProbes: readonly Probe[] = [modes, largeFiles, watch];
