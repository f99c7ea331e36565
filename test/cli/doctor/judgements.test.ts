/** What the doctor makes of what it measures, where it can't be had on every machine. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judgeDescriptors, judgeModes } from '../../../lib/cli/doctor/capacity.ts';
import type { Finding, Status } from '../../../lib/cli/doctor/check.ts';
import { judgeClock } from '../../../lib/cli/doctor/clock.ts';
import { judgeFsync } from '../../../lib/cli/doctor/durability.ts';
import { judgeRace } from '../../../lib/cli/doctor/exclusive.ts';
import { judgeFilesystem } from '../../../lib/cli/doctor/filesystem.ts';
import { nameOfMagic } from '../../../lib/cli/doctor/magic.ts';
import { type Mount, mountOf, parseMountCommand, parseMountinfo } from '../../../lib/cli/doctor/mounts.ts';
import { judgeDirectory } from '../../../lib/cli/doctor/place.ts';
import { asFlag, inUnits } from '../../../lib/cli/doctor/size.ts';
import { judgeInodes, judgeSpace } from '../../../lib/cli/doctor/space.ts';
import { judgeSkew, judgeUtimes } from '../../../lib/cli/doctor/times.ts';

const GIB = 2 ** 30;

function judged(finding: Finding, status: Status, fact: RegExp): void {
  assert.equal(finding.status, status, finding.fact);
  assert.match(finding.fact, fact);
  const { meaning = '', advice = '' } = finding;
  // Whoever is told of a problem is told what it means and what to do.
  assert.equal(meaning !== '' && advice !== '', status !== 'ok', finding.fact);
}

function mounted(type: string, options = 'rw,relatime'): Mount {
  return { point: '/data', type, source: '/dev/sdb1', options: options.split(',') };
}

/** From linux/magic.h, and for those that are not in it from their own sources. */
const MAGIC: [number, string, Status][] = [
  [0xef53, 'ext4', 'ok'],
  [0x58465342, 'xfs', 'ok'],
  [0x9123683e, 'btrfs', 'ok'],
  [0x2fc12fc1, 'zfs', 'ok'],
  [0xf2f52010, 'f2fs', 'ok'],
  [0x6969, 'nfs', 'warn'],
  [0x517b, 'smb', 'warn'],
  [0xff534d42, 'cifs', 'warn'],
  [0xfe534d42, 'smb2', 'warn'],
  [0x00c36400, 'ceph', 'warn'],
  [0x01021997, '9p', 'warn'],
  [0x65735546, 'fuse', 'warn'],
  [0x01021994, 'tmpfs', 'warn'],
  [0x858458f6, 'ramfs', 'warn'],
  [0x794c7630, 'overlay', 'warn'],
  [0x4d44, 'vfat', 'warn'],
  [0x2011bab0, 'exfat', 'warn'],
  [0x7366746e, 'ntfs3', 'warn'],
  [0x73717368, 'squashfs', 'fail'],
  [0x9660, 'iso9660', 'fail'],
  [0xe0f5e1e2, 'erofs', 'fail'],
  [0x9fa0, 'proc', 'fail'],
  [0x62656572, 'sysfs', 'fail'],
];

describe('file systems', () => {
  for (const [magic, name, status] of MAGIC) {
    test(`0x${magic.toString(16)} is ${name}: ${status}`, (t) => {
      assert.equal(nameOfMagic(magic), name);
      assert.equal(nameOfMagic(magic | 0), name, 'with the sign that it has on 32 bits');
      judged(judgeFilesystem(magic, mounted(name)), status, new RegExp(`^${name} \\(/dev/sdb1 on /data: rw`));
      if (process.platform !== 'linux') return t.diagnostic('the number counts on Linux only');
      judged(judgeFilesystem(magic, undefined), status, new RegExp(`^${name}$`));
    });
  }

  test('the mount says more than the number', () => {
    for (const [type, status, meaning] of [
      ['fuse.sshfs', 'warn', /purge/],
      ['fuse.something', 'warn', /another process/],
      ['fuseblk', 'warn', /permissions/],
      ['nfs4', 'warn', /purge in one process may be seen late by another/],
      ['virtiofs', 'warn', /purge/],
      ['fuse.fuse-overlayfs', 'warn', /gone with the container/],
      ['tmpfs', 'warn', /memory/],
    ] as const) {
      const finding = judgeFilesystem(0x65735546, mounted(type));
      judged(finding, status, new RegExp(`^${type} `));
      assert.match(finding.meaning ?? '', meaning, type);
    }
  });

  test('what nobody knows is said to be unknown', () => {
    judged(judgeFilesystem(0x1234, mounted('newfs')), 'warn', /^newfs/);
    judged(judgeFilesystem(0x12345678, undefined), 'warn', /^unknown, type 0x12345678$/);
  });

  test('options count: ro is the end of it, sync slow, a quota worth a word', () => {
    judged(judgeFilesystem(0xef53, mounted('ext4', 'ro,relatime')), 'fail', /ro,relatime/);
    judged(judgeFilesystem(0x6969, mounted('nfs4', 'ro,vers=4.2')), 'fail', /ro,vers/);
    judged(judgeFilesystem(0xef53, mounted('ext4', 'rw,sync')), 'warn', /rw,sync/);
    judged(judgeFilesystem(0xef53, mounted('ext4', 'rw,usrquota')), 'ok', /quotas/);
    judged(judgeFilesystem(0x58465342, mounted('xfs', 'rw,prjquota')), 'ok', /quotas/);
    assert.doesNotMatch(judgeFilesystem(0x58465342, mounted('xfs', 'rw,noquota,noatime')).fact, /quotas/);
  });

  test('mountinfo is read: escapes, optional fields, a read-only mount of a writable file system', () => {
    const mounts = parseMountinfo(
      [
        '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard',
        '36 22 98:0 /mnt1 /mnt/with\\040space rw,noatime master:1 shared:2 - xfs /dev/root rw,errors=continue',
        '37 22 0:44 / /ro ro,relatime - tmpfs none rw,size=8192k',
        'not a line',
        '',
      ].join('\n'),
    );
    assert.deepEqual(mounts, [
      { point: '/', type: 'ext4', source: '/dev/vda', options: ['rw', 'relatime', 'discard'] },
      {
        point: '/mnt/with space',
        type: 'xfs',
        source: '/dev/root',
        options: ['rw', 'noatime', 'errors=continue'],
      },
      { point: '/ro', type: 'tmpfs', source: 'none', options: ['ro', 'relatime', 'size=8192k'] },
    ]);
  });

  test('what mount prints on macOS is read', () => {
    const mounts = parseMountCommand(
      [
        '/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)',
        '//me@server/share on /Volumes/a (b) (smbfs, nodev, nosuid)',
        '',
      ].join('\n'),
    );
    assert.deepEqual(mounts, [
      { point: '/', type: 'apfs', source: '/dev/disk3s1s1', options: ['sealed', 'local', 'ro', 'journaled'] },
      { point: '/Volumes/a (b)', type: 'smbfs', source: '//me@server/share', options: ['nodev', 'nosuid'] },
    ]);
  });

  test('a path is on the mount nearest above it, and on the later one of two in the same place', () => {
    const at = (point: string, type: string): Mount => ({ point, type, source: '', options: [] });
    const mounts = [at('/', 'ext4'), at('/a', 'xfs'), at('/a/b', 'tmpfs'), at('/a', 'btrfs')];
    assert.equal(mountOf('/c', mounts)?.type, 'ext4');
    assert.equal(mountOf('/ab', mounts)?.type, 'ext4');
    assert.equal(mountOf('/a/x', mounts)?.type, 'btrfs');
    assert.equal(mountOf('/a/b', mounts)?.type, 'tmpfs');
    assert.equal(mountOf('/a', []), undefined);
  });
});

describe('space', () => {
  const disk = { totalBytes: 100 * GIB, usedBytes: 0 };

  test('5 % should stay free, and 1 GiB at least', () => {
    judged(
      judgeSpace({ ...disk, freeBytes: 50 * GIB }),
      'ok',
      /50\.0 GiB free of 100\.0 GiB, room for 45\.0 GiB/,
    );
    judged(judgeSpace({ ...disk, freeBytes: 5 * GIB }), 'fail', /less than the 5\.0 GiB/);
    judged(judgeSpace({ ...disk, freeBytes: 5 * GIB, minFreeBytes: 0 }), 'ok', /room for/);
    judged(judgeSpace({ totalBytes: 4 * GIB, freeBytes: 4 * GIB, usedBytes: 0 }), 'ok', /room for 3\.0 GiB/);
    judged(
      judgeSpace({ totalBytes: 4 * GIB, freeBytes: GIB / 2, usedBytes: 0 }),
      'fail',
      /less than the 1\.0 GiB/,
    );
  });

  test('a budget that does not fit is told what would', () => {
    const finding = judgeSpace({ ...disk, freeBytes: 50 * GIB, maxBytes: 46 * GIB });
    judged(finding, 'warn', /--max-bytes is 46\.0 GiB/);
    assert.match(finding.advice ?? '', /--max-bytes 45GiB/);
    judged(judgeSpace({ ...disk, freeBytes: 50 * GIB, maxBytes: 45 * GIB }), 'ok', /./);
  });

  test('what the cache has already is its to use', () => {
    const full = { ...disk, freeBytes: 5 * GIB, usedBytes: 20 * GIB };
    judged(judgeSpace({ ...full, maxBytes: 20 * GIB }), 'ok', /room for 20\.0 GiB/);
    judged(judgeSpace({ ...full, maxBytes: 21 * GIB }), 'warn', /21\.0 GiB/);
  });

  test('a file system without a size, as ramfs, is warned of', () => {
    judged(judgeSpace({ totalBytes: 0, freeBytes: 0, usedBytes: 0 }), 'warn', /how large/);
  });

  test('inodes run out before space does', () => {
    judged(judgeInodes(1_000_000, 500_000), 'ok', /500000 of 1000000/);
    judged(judgeInodes(1_000_000, 10_000), 'warn', /10000/);
    judged(judgeInodes(1_000_000, 0), 'fail', /0 of/);
    judged(judgeInodes(0, 0), 'ok', /as many/);
  });

  test('sizes are written for people, and as --max-bytes takes them', () => {
    assert.deepEqual([0, 512, 1536, 5 * GIB].map(inUnits), ['0 bytes', '512 bytes', '1.5 KiB', '5.0 GiB']);
    assert.deepEqual([0, 5000, 45.9 * GIB, 9.9 * GIB, 12 * 2 ** 40].map(asFlag), [
      '0',
      '5000',
      '45GiB',
      '10137MiB',
      '12TiB',
    ]);
  });
});

describe('what else is measured', () => {
  test('a race that has two winners, or none, is lost', () => {
    judged(judgeRace([1, 1, 1]), 'ok', /3 times/);
    judged(judgeRace([1, 2, 1]), 'fail', /in 1 of 3 rounds/);
    judged(judgeRace([0, 2, 1]), 'fail', /in 2 of 3 rounds/);
  });

  test('times of files may be coarse, but not wrong', () => {
    judged(judgeUtimes(0), 'ok', /1 ms or finer/);
    judged(judgeUtimes(9), 'ok', /10 ms/);
    judged(judgeUtimes(999), 'warn', /steps of 1 s/);
    judged(judgeUtimes(1999), 'warn', /steps of 2 s/);
    judged(judgeUtimes(60_000), 'fail', /60 s off/);
  });

  test('a file server whose clock is off is noticed in both directions', () => {
    judged(judgeSkew(0), 'ok', /within 1 ms/);
    judged(judgeSkew(-4), 'ok', /within 4 ms/);
    judged(judgeSkew(-30_000), 'warn', /30\.0 s behind/);
    judged(judgeSkew(30_000), 'warn', /30\.0 s ahead/);
  });

  test('a clock that can not be right, or was not, is noticed', () => {
    const now = Date.UTC(2026, 10, 21);
    judged(judgeClock(now, 0), 'ok', /^2026-11-21T00:00:00\.000Z$/);
    judged(judgeClock(now, now + 1000), 'ok', /^2026/);
    judged(judgeClock(now, now + 3_600_000), 'warn', /stored at 2026-11-21T01/);
    judged(judgeClock(0, 0), 'fail', /^1970/);
    judged(judgeClock(Date.UTC(2024, 11, 31), 0), 'fail', /^2024/);
    judged(judgeClock(Date.UTC(2150, 0), 0), 'fail', /^2150/);
  });

  test('a slow disk is told by the middle one of several attempts', () => {
    judged(judgeFsync([900, 2, 1, 2, 3]), 'ok', /after 2\.0 ms/);
    judged(judgeFsync([150, 200, 1, 300, 180]), 'warn', /after 180\.0 ms: slow/);
  });

  test('modes that are not kept are a warning, a umask against ourselves is a failure', () => {
    const good = { file: 0o600, directory: 0o700, umask: 0o022 };
    judged(judgeModes(good), 'ok', /0600 is 0600, 0700 is 0700, umask 0022/);
    judged(judgeModes({ ...good, file: 0o755, directory: 0o755 }), 'warn', /0600 is 0755/);
    judged(judgeModes({ ...good, umask: 0o222 }), 'ok', /umask 0222/);
    judged(judgeModes({ ...good, file: 0o400 }), 'fail', /0600 is 0400/);
  });

  test('few descriptors are a warning', () => {
    judged(judgeDescriptors('1024'), 'ok', /^1024 open files$/);
    judged(judgeDescriptors('unlimited'), 'ok', /any number/);
    judged(judgeDescriptors('256'), 'warn', /^256 open files$/);
    judged(judgeDescriptors(undefined), 'ok', /not known/);
  });

  test('a directory that others may write to is a warning, unless what is in it is protected', () => {
    judged(judgeDirectory(0o40700, 7, 7), 'ok', /mode 0700, of this user/);
    judged(judgeDirectory(0o40755, 0, 7), 'ok', /mode 0755, of user 0/);
    judged(judgeDirectory(0o40777, 7, 7), 'warn', /mode 0777/);
    judged(judgeDirectory(0o40770, 7, 7), 'warn', /mode 0770/);
    judged(judgeDirectory(0o41777, 0, 7), 'ok', /mode 01777/);
    judged(judgeDirectory(0o40777, 0, undefined), 'ok', /^there$/);
  });
});
