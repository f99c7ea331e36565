// docs/reference/disk-format.md

import { crc32 } from 'node:zlib';
import { BLOCK_BYTES, countBlocks } from '../blocks.ts';

const MAGIC = 'cfparts1';
const HEADER_BYTES = 32;
const SUM_BYTES = 8;

/** Bytes of the file that says which blocks of a body of this size are there. */
export function sumsFileBytes(size: number): number {
  return HEADER_BYTES + SUM_BYTES * countBlocks(size);
}

/** Its beginning; what is not written after it says that a block is not there. */
export function encodeSumsHeader(size: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(MAGIC, 'latin1');
  bytes.writeUInt32LE(BLOCK_BYTES, 8);
  bytes.writeUInt32LE(countBlocks(size), 12);
  bytes.writeBigUInt64LE(BigInt(size), 16);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  return bytes;
}

/** What says that a block is there, and where that is written. Without `sum`: that it is not. */
export function encodeSum(block: number, sum: number | undefined): { bytes: Buffer; position: number } {
  const bytes = Buffer.alloc(SUM_BYTES);
  if (sum !== undefined) {
    bytes.writeUInt32LE(sum, 0);
    bytes.writeUInt32LE(check(block, sum), 4);
  }
  return { bytes, position: HEADER_BYTES + SUM_BYTES * block };
}

/** The checksums of the blocks that are there; undefined where the file is damaged, or not of a body of `size` bytes. */
export function decodeSums(bytes: Buffer, size: number): (number | undefined)[] | undefined {
  if (!bytes.subarray(0, HEADER_BYTES).equals(encodeSumsHeader(size))) return undefined;
  return Array.from({ length: countBlocks(size) }, (_, block) => {
    const at = HEADER_BYTES + SUM_BYTES * block;
    if (at + SUM_BYTES > bytes.byteLength) return undefined;
    const sum = bytes.readUInt32LE(at);
    return bytes.readUInt32LE(at + 4) === check(block, sum) ? sum : undefined;
  });
}

/** A sum that was written by half, or that is another block's, is none. */
function check(block: number, sum: number): number {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(block, 0);
  bytes.writeUInt32LE(sum, 4);
  return crc32(bytes);
}
