import * as fs from 'node:fs/promises';
import { defaultFloor } from '../../fs/space.ts';
import { type Finding, fail, type Look, ok, warn } from './check.ts';
import { asFlag, inUnits } from './size.ts';

/** Of the disk, and of the cache on it. */
export interface Space {
  totalBytes: number;
  /** For this user. */
  freeBytes: number;
  /** By the cache that is there already. */
  usedBytes: number;
  maxBytes?: number | undefined;
  /** Default: that of the cache. */
  minFreeBytes?: number | undefined;
}

/** Whether the budget fits on the disk. */
export function judgeSpace({ totalBytes, freeBytes, usedBytes, maxBytes, minFreeBytes }: Space): Finding {
  const floorBytes = minFreeBytes ?? defaultFloor(totalBytes);
  const roomBytes = Math.max(0, freeBytes + usedBytes - floorBytes);
  const measured = { totalBytes, freeBytes, floorBytes, roomBytes };
  if (totalBytes === 0) {
    return warn(
      'it does not say how large it is',
      'the disk may be full before the budget is',
      'Find out, and give --max-bytes less than that.',
      measured,
    );
  }
  const fact = `${inUnits(freeBytes)} free of ${inUnits(totalBytes)}`;
  if (roomBytes === 0) {
    return fail(
      `${fact}, less than the ${inUnits(floorBytes)} that should stay free`,
      'a full disk takes no entries: everything would be passed on without being kept, and others on this disk would suffer too',
      'Free some space, or choose a larger disk.',
      measured,
    );
  }
  const room = `${fact}, room for ${inUnits(roomBytes)} of cache above the ${inUnits(floorBytes)} that should stay free`;
  if (maxBytes === undefined || maxBytes <= roomBytes) return ok(room, measured);
  return warn(
    `${room}, but --max-bytes is ${inUnits(maxBytes)}`,
    'the disk is full before the budget is: what does not fit is passed on without being kept',
    `Give --max-bytes ${asFlag(roomBytes)} or less, or a larger disk.`,
    measured,
  );
}

export const space: Look = {
  name: 'space',
  async look({ existing, contents, maxBytes, minFreeBytes }) {
    const { bsize, blocks, bavail } = await fs.statfs(existing);
    const usedBytes = (await contents.catch(() => undefined))?.bytes ?? 0;
    const disk = { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
    return judgeSpace({ ...disk, usedBytes, maxBytes, minFreeBytes });
  },
};

/** An entry is two files, and one more while it is filled. */
const FILES_PER_ENTRY = 2;

/** @param total 0: the file system makes them as it needs them */
export function judgeInodes(total: number, free: number): Finding {
  const measured = { totalInodes: total, freeInodes: free };
  if (total === 0) return ok('as many files as there is space', measured);
  const fact = `${free} of ${total} files free, ${FILES_PER_ENTRY} for each entry`;
  const meaning = 'when they are used up, nothing more is kept, although there is space';
  const advice = 'Delete files, or make the file system anew with more inodes.';
  if (free < 100) return fail(fact, meaning, advice, measured);
  return free < 20_000 ? warn(fact, meaning, advice, measured) : ok(fact, measured);
}

export const inodes: Look = {
  name: 'inodes',
  async look({ existing }) {
    const { files, ffree } = await fs.statfs(existing);
    return judgeInodes(files, ffree);
  },
};
