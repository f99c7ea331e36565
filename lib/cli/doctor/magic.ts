/** What statfs(2) calls them: linux/magic.h, and the sources of those that are not in it. */
const MAGIC: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'], // ext2 and ext3 too
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0xca451a4e, 'bcachefs'],
  [0xf2f52010, 'f2fs'],
  [0x3153464a, 'jfs'],
  [0x52654973, 'reiserfs'],
  [0x3434, 'nilfs2'],
  [0xf15f, 'ecryptfs'],
  [0x6969, 'nfs'],
  [0x517b, 'smb'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x00c36400, 'ceph'],
  [0x01021997, '9p'],
  [0x5346414f, 'afs'],
  [0x564c, 'ncpfs'],
  [0x73757245, 'coda'],
  [0x0bd00bd0, 'lustre'],
  [0x47504653, 'gpfs'],
  [0x01161970, 'gfs2'],
  [0x7461636f, 'ocfs2'],
  [0x786f4256, 'vboxsf'],
  [0xbacbacbc, 'vmhgfs'],
  [0x65735546, 'fuse'],
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x794c7630, 'overlay'],
  [0x61756673, 'aufs'],
  [0x4d44, 'vfat'],
  [0x2011bab0, 'exfat'],
  [0x7366746e, 'ntfs3'],
  [0x5346544e, 'ntfs'],
  [0x73717368, 'squashfs'],
  [0x9660, 'iso9660'],
  [0x15013346, 'udf'],
  [0xe0f5e1e2, 'erofs'],
  [0x28cd3d45, 'cramfs'],
  [0x9fa0, 'proc'],
  [0x62656572, 'sysfs'],
  [0x0027e0eb, 'cgroup'],
  [0x63677270, 'cgroup2'],
  [0x1cd1, 'devpts'],
  [0x64626720, 'debugfs'],
]);

/** The name that goes with the `type` of statfs(2) on Linux. */
export function nameOfMagic(magic: number): string | undefined {
  // On 32 bits it comes with a sign.
  return MAGIC.get(magic >>> 0);
}
