import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** A mounted file system. */
export interface Mount {
  /** Where. */
  point: string;
  /** `ext4`, `nfs4`, `fuse.sshfs` */
  type: string;
  /** A device, a server's path, or any word. */
  source: string;
  /** Of the mount and of the file system, without repetitions: `rw`, `noatime`, `size=8192k`. */
  options: readonly string[];
}

/** The mounted file systems, as this process sees them, in the order in which they were mounted; none where that is not known. */
export async function readMounts(): Promise<Mount[]> {
  try {
    if (process.platform === 'linux') return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
    if (process.platform === 'darwin') {
      return parseMountCommand((await promisify(execFile)('/sbin/mount', { timeout: 10_000 })).stdout);
    }
  } catch {
    // The type is then known by its number only.
  }
  return [];
}

/** `/proc/self/mountinfo`, see proc_pid_mountinfo(5). */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const words = line.split(' ').map(unescaped);
    const dash = words.indexOf('-', 6);
    const [point, own = ''] = words.slice(4);
    const [type, source = '', others = ''] = words.slice(dash + 1);
    if (dash < 0 || point === undefined || type === undefined) return [];
    const options = [...new Set([...own.split(','), ...others.split(',')])].filter((each) => each !== '');
    // Of the two `ro`s, one is enough: a read-only mount of a writable file system.
    return [
      { point, type, source, options: options.includes('ro') ? options.filter((o) => o !== 'rw') : options },
    ];
  });
}

/** What `mount` prints on macOS: `/dev/disk3s1 on / (apfs, local, journaled)` */
export function parseMountCommand(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [, source, point, words] = /^(.+?) on (.+) \(([^()]+)\)$/.exec(line) ?? [];
    if (source === undefined || point === undefined || words === undefined) return [];
    const [type = '', ...options] = words.split(', ');
    return [{ point, type, source, options: options.map((o) => (o === 'read-only' ? 'ro' : o)) }];
  });
}

/** The file system that an absolute path without symbolic links is on. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    const { point } = mount;
    const above = point === '/' || path === point || path.startsWith(`${point}/`);
    // Of two in the same place, the later one hides the other.
    if (above && point.length >= (found?.point.length ?? 0)) found = mount;
  }
  return found;
}

function unescaped(word: string): string {
  return word.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
