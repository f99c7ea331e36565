// docs/reference/disk-format.md

import { crc32 } from 'node:zlib';

/** A stored body is checked in pieces of this size. */
export const BLOCK_BYTES: number = 2 ** 20;

const MAGIC = 'cfblocks';
const VERSION = 1;
const HEADER_BYTES = 32;

/** How many blocks a body of this size has; the last one may be shorter. */
export function countBlocks(size: number): number {
  return Math.ceil(size / BLOCK_BYTES);
}

/** Bytes of the file of checksums that goes with a body of this size; 0: it has none, as the SHA-256 of its record says it all. */
export function blocksFileBytes(size: number): number {
  return size <= BLOCK_BYTES ? 0 : HEADER_BYTES + 4 * countBlocks(size);
}

/** The CRC-32 of each block of a body that comes in pieces. */
export class BlockSums {
  readonly #sums: number[] = [];
  #crc = 0;
  /** Of the block that is not whole yet. */
  #bytes = 0;

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const piece = bytes.subarray(at, at + BLOCK_BYTES - this.#bytes);
      this.#crc = crc32(piece, this.#crc);
      this.#bytes += piece.byteLength;
      at += piece.byteLength;
      if (this.#bytes === BLOCK_BYTES) this.#end();
    }
  }

  /** Of all blocks; nothing may come afterwards. */
  all(): Uint32Array {
    if (this.#bytes > 0) this.#end();
    return Uint32Array.from(this.#sums);
  }

  #end(): void {
    this.#sums.push(this.#crc);
    this.#crc = 0;
    this.#bytes = 0;
  }
}

/** Whether a block has this CRC-32. */
export function isBlock(bytes: Uint8Array, sum: number | undefined): boolean {
  return crc32(bytes) === sum;
}

/** The file of checksums of a body of `size` bytes, with a checksum of itself. */
export function encodeBlocks(size: number, sums: Uint32Array): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + 4 * sums.length);
  bytes.write(MAGIC, 'latin1');
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(BLOCK_BYTES, 12);
  bytes.writeBigUInt64LE(BigInt(size), 16);
  bytes.writeUInt32LE(sums.length, 24);
  for (const [i, sum] of sums.entries()) bytes.writeUInt32LE(sum, HEADER_BYTES + 4 * i);
  bytes.writeUInt32LE(checksum(bytes), 28);
  return bytes;
}

/** The checksums; undefined where the file is damaged, cut short, of another version, or not of a body of `size` bytes. */
export function decodeBlocks(bytes: Buffer, size: number): Uint32Array | undefined {
  const count = countBlocks(size);
  if (bytes.byteLength !== HEADER_BYTES + 4 * count) return undefined;
  const known =
    bytes.toString('latin1', 0, 8) === MAGIC &&
    bytes.readUInt32LE(8) === VERSION &&
    bytes.readUInt32LE(12) === BLOCK_BYTES &&
    bytes.readBigUInt64LE(16) === BigInt(size) &&
    bytes.readUInt32LE(24) === count;
  if (!known || bytes.readUInt32LE(28) !== checksum(bytes)) return undefined;
  return Uint32Array.from({ length: count }, (_, i) => bytes.readUInt32LE(HEADER_BYTES + 4 * i));
}

/** Of all but the place where it stands. */
function checksum(bytes: Buffer): number {
  return crc32(bytes.subarray(HEADER_BYTES), crc32(bytes.subarray(0, 28)));
}
