import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../../fs/files.ts';
import { type Finding, fail, LOCAL_DISK, type Look, ok, warn } from './check.ts';
import { nameOfMagic } from './magic.ts';
import { type Mount, mountOf } from './mounts.ts';

type Kind = 'local' | 'network' | 'fuse' | 'tmpfs' | 'ramfs' | 'overlay' | 'windows' | 'read-only' | 'pseudo';

const KINDS: readonly [Kind, RegExp][] = [
  ['local', /^(ext[234]|xfs|btrfs|zfs|bcachefs|f2fs|jfs|reiserfs|nilfs2|ecryptfs|apfs|hfs|ufs)$/],
  [
    'network',
    /^(nfs4?|smb[23]?|smbfs|cifs|ceph|9p|afs|afpfs|ncpfs|coda|lustre|gpfs|gfs2|ocfs2|webdav|beegfs|orangefs)$/,
  ],
  // A folder of the machine below, of which others may see and change the files.
  [
    'network',
    /^(virtiofs|vboxsf|vmhgfs|prl_fs|fuse\.(sshfs|glusterfs|ceph|ceph-fuse|rclone|s3fs|gcsfuse|vmhgfs-fuse))$/,
  ],
  ['overlay', /^(overlay|aufs|unionfs|fuse\.(fuse-overlayfs|mergerfs|unionfs))$/],
  ['windows', /^(vfat|msdos|exfat|ntfs3?|fuseblk|fuse\.(ntfs-3g|exfat))$/],
  ['fuse', /^(fuse|macfuse|osxfuse)(\..*)?$/],
  ['tmpfs', /^(tmpfs|devtmpfs|rootfs)$/],
  ['ramfs', /^ramfs$/],
  ['read-only', /^(squashfs|iso9660|cd9660|udf|erofs|cramfs|romfs)$/],
  ['pseudo', /^(proc|sysfs|cgroup2?|devpts|devfs|debugfs|tracefs|securityfs|configfs|bpf|mqueue|hugetlbfs)$/],
];

/** Where a kind of file system is not as good as a local disk. */
const LIMITS: Readonly<Record<Exclude<Kind, 'local'>, Omit<Finding, 'fact'>>> = {
  network: {
    status: 'warn',
    meaning:
      'best effort for one machine, unsupported for several: attributes are cached, so that a purge in one process may be seen late by another, and a file that was deleted while it is read may break',
    advice: `${LOCAL_DISK} Give each machine its own.`,
  },
  fuse: {
    status: 'warn',
    meaning:
      'each operation goes through another process: slower, and what it promises of renames, of deleted files and of times is up to that process',
    advice: LOCAL_DISK,
  },
  tmpfs: {
    status: 'warn',
    meaning:
      'what is kept counts as memory, up to the size of the mount, and is gone after a restart of the machine',
    advice: `Use a disk, or set --max-bytes well below the memory that can be spared.`,
  },
  ramfs: {
    status: 'warn',
    meaning:
      'what is kept is memory without any limit, says nothing of its size, and is gone after a restart of the machine',
    advice: 'Use a disk, or a tmpfs with a size.',
  },
  overlay: {
    status: 'warn',
    meaning: "this is a container's own layer: slower, and gone with the container",
    advice: 'Mount a volume here.',
  },
  windows: {
    status: 'warn',
    meaning:
      'files have no permissions of their own, times are coarse, and FAT takes no file of 4 GiB or more',
    advice: LOCAL_DISK,
  },
  'read-only': {
    status: 'fail',
    meaning: 'nothing can be kept in a file system that is never written to',
    advice: 'Choose a directory on a disk that can be written to.',
  },
  pseudo: {
    status: 'fail',
    meaning: 'it holds no files but views of the kernel',
    advice: 'Choose a directory on a disk.',
  },
};

/** @param magic `type` of statfs(2), for where the mount is not known */
export function judgeFilesystem(magic: number, mount: Mount | undefined): Finding {
  const type = mount?.type ?? (process.platform === 'linux' ? nameOfMagic(magic) : undefined);
  const options = mount?.options ?? [];
  const where = mount === undefined ? '' : ` (${mount.source} on ${mount.point}: ${options.join(',')})`;
  const fact = `${type ?? `unknown, type 0x${(magic >>> 0).toString(16)}`}${where}`;
  const kind = KINDS.find(([, pattern]) => pattern.test(type ?? ''))?.[0];
  const measured = {
    magic,
    ...(type !== undefined && { type }),
    ...(mount && { source: mount.source, mountPoint: mount.point, options: options.join(',') }),
  };
  if (kind !== undefined && kind !== 'local' && LIMITS[kind].status === 'fail')
    return { ...LIMITS[kind], fact, measured };
  if (options.includes('ro')) {
    return fail(
      fact,
      'it is mounted read-only: nothing can be kept',
      'Mount it read-write, or choose another directory.',
      measured,
    );
  }
  if (kind === undefined) {
    return warn(
      fact,
      'nothing is known of this kind of file system; the checks below say what it can do',
      LOCAL_DISK,
      measured,
    );
  }
  if (kind !== 'local') return { ...LIMITS[kind], fact, measured };
  if (options.includes('sync') || options.includes('dirsync')) {
    return warn(
      fact,
      'every write waits for the disk, and with it every download that is being kept',
      'Mount it without sync and dirsync: the cache finds out by itself what a crash has damaged.',
      measured,
    );
  }
  const quota = options.some((option) =>
    /^((usr|grp|prj)(jquota=.*|quota)|quota|[ugp]quota|[ugp]qnoenforce)$/.test(option),
  );
  return ok(quota ? `${fact}; there are quotas: this user may have less than is free` : fact, measured);
}

/** What it is called, how it is mounted, and what is known to be wrong with its kind. */
export const filesystem: Look = {
  name: 'filesystem',
  async look({ existing, mounts }) {
    const { type } = await fs.statfs(existing);
    return judgeFilesystem(type, mountOf(existing, mounts));
  },
};

/** The folders that files are renamed between have to be in one file system. */
export const oneFilesystem: Look = {
  name: 'one-filesystem',
  async look({ existing, missing, mounts, layout }) {
    const folders = missing ? [] : [layout.root, layout.entries, layout.incomplete];
    const places = [existing, ...folders].map(async (path) => {
      try {
        const real = await fs.realpath(path);
        return {
          path,
          dev: (await fs.stat(real, { bigint: true })).dev,
          point: mountOf(real, mounts)?.point,
        };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
    const [first, ...others] = (await Promise.all(places)).filter((place) => place !== undefined);
    const stray = others.find(({ dev, point }) => dev !== first?.dev || point !== first.point);
    if (stray === undefined) return ok('everything is in one file system');
    return fail(
      `${stray.path} is in another file system (${stray.point ?? `device ${stray.dev}`}) than ${existing}`,
      'an entry is published by a rename, which can not leave its file system: nothing can be kept',
      `Mount the whole directory, and nothing below ${join(existing, 'v1')}.`,
    );
  },
};
