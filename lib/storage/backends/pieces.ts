import type { Bytes } from './backend.ts';
import { requirePiece } from './bytes.ts';

/** Smaller pieces are gathered to one of this size: many a source brings a few KiB at a time. In bytes. */
const GATHERED = 256 * 2 ** 10;

/**
 * Stores bytes in pieces of some size, one after the other: the next is asked for when what came is stored, or in memory of our own,
 * which is less than 256 KiB. A source may use its memory again as soon as it is asked for the next.
 *
 * @param store takes a piece at a byte position; the piece may be overwritten once it has resolved
 * @returns how many bytes there were
 * @throws what the source or `store` threw; the source has been told that nobody goes on with it
 */
export async function storePieces(
  bytes: Bytes,
  store: (piece: Uint8Array, position: number) => Promise<void>,
): Promise<number> {
  if (bytes instanceof Uint8Array) {
    if (bytes.byteLength > 0) await store(bytes, 0);
    return bytes.byteLength;
  }
  let stored = 0;
  let gathered: Buffer | undefined;
  let length = 0;
  const storeGathered = async (): Promise<void> => {
    if (gathered === undefined || length === 0) return;
    await store(gathered.subarray(0, length), stored);
    stored += length;
    length = 0;
  };
  for await (const piece of bytes) {
    requirePiece(piece);
    if (length + piece.byteLength > GATHERED) await storeGathered();
    if (piece.byteLength >= GATHERED) {
      await store(piece, stored);
      stored += piece.byteLength;
    } else {
      gathered ??= Buffer.allocUnsafeSlow(GATHERED);
      gathered.set(piece, length);
      length += piece.byteLength;
    }
  }
  await storeGathered();
  return stored;
}
