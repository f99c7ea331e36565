/** What the origin of a campaign has: any byte of any version of any path can be computed, so any answer can be checked. */
import { createCipheriv, createHash } from 'node:crypto';

const BLOCK = 16;

/** Bytes `start` to `end` (excluded) of a version of what is at a path. */
export function bytesAt(path: string, version: number, start: number, end: number): Buffer {
  if (end <= start) return Buffer.alloc(0);
  const seed = createHash('sha256').update(`${path} ${version}`).digest();
  const counter = Buffer.alloc(BLOCK);
  const first = Math.floor(start / BLOCK);
  counter.writeUIntBE(first, BLOCK - 6, 6);
  const stream = createCipheriv('aes-128-ctr', seed.subarray(0, BLOCK), counter);
  return stream.update(Buffer.alloc(end - first * BLOCK)).subarray(start - first * BLOCK);
}

/** How many bytes every version of it has. */
export function sizeOf(path: string): number {
  const hash = createHash('sha256').update(path).digest();
  const share = hash.readUInt16BE(2) / 2 ** 16;
  const kind = (hash[0] ?? 0) % 5;
  if (kind < 2) return 1 + Math.floor(share * 8_000);
  if (kind < 4) return 100_000 + Math.floor(share * 300_000);
  return 1_000_000 + Math.floor(share * 600_000);
}

/** Whether the origin says how long it is; otherwise a digest proves it. */
export function saysLength(path: string): boolean {
  return (createHash('sha256').update(path).digest()[1] ?? 0) % 4 !== 0;
}
