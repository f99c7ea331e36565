import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import type { Random } from './random.ts';

const PAGE_BYTES = 4096;

/** What may happen to a file. */
export const DAMAGES = ['flip', 'truncate', 'extend', 'zero'] as const;
export type Damage = (typeof DAMAGES)[number];

/** Changes a file; what was done, in words. `keepTimes`: the times of access and modification are put back. */
export function damage(path: string, kind: Damage, random: Random, keepTimes: boolean): string {
  const { atime, mtime } = statSync(path);
  const before = readFileSync(path);
  const file = openSync(path, 'r+');
  let done: string;
  try {
    done = inflict(file, before, kind, random);
  } finally {
    closeSync(file);
  }
  if (readFileSync(path).equals(before)) throw new Error(`${path} is as it was after: ${done}`);
  if (keepTimes) utimesSync(path, atime, mtime);
  return `${done}${keepTimes ? ', mtime put back' : ''}`;
}

function inflict(file: number, before: Buffer, kind: Damage, random: Random): string {
  const { size } = fstatSync(file);
  if (size > 0 && kind === 'truncate') {
    const to = random.below(size);
    ftruncateSync(file, to);
    return `cut to ${to} of ${size} bytes`;
  }
  if (size > 0 && kind === 'zero') {
    const start = random.below(Math.ceil(size / PAGE_BYTES)) * PAGE_BYTES;
    const page = before.subarray(start, start + PAGE_BYTES);
    // There is nothing to lose in a page of zeros.
    if (page.some((byte) => byte !== 0)) {
      writeSync(file, Buffer.alloc(page.length), 0, page.length, start);
      return `${page.length} bytes at ${start} set to 0`;
    }
  }
  if (size > 0 && kind !== 'extend') {
    const at = random.below(size);
    const bit = random.below(8);
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, at);
    writeSync(file, Buffer.from([(byte[0] ?? 0) ^ (1 << bit)]), 0, 1, at);
    return `bit ${bit} of byte ${at} flipped`;
  }
  const more = Buffer.alloc(1 + random.below(2 * PAGE_BYTES), random.below(256));
  writeSync(file, more, 0, more.length, size);
  return `${more.length} bytes added to ${size}`;
}
