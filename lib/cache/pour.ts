import { read } from 'node:fs';
import { StoreError } from '../errors.ts';
import type { ByteRange } from '../http/body.ts';
import { bodyReads } from './read-gate.ts';

const PIECE_BYTES = 512 * 1024;

/** So many pieces are kept for the next reader, in all of the process. */
const SPARE_PIECES = 16;

const spare: Buffer[] = [];

/**
 * Hands a range of a file to `take`, a piece at a time, the next one being read meanwhile. Two pieces of memory are used over and over:
 * a new one for each read costs as much again in the garbage collector (256 MiB in Express: 19 % of the main thread's time).
 *
 * @param take resolves when the piece may be overwritten. Rejects: the piece may still be in use, and is left alone
 * @throws StoreError where the bytes can't be had, or what `take` rejected with
 */
export async function pour(
  fd: number,
  { start, end }: ByteRange,
  take: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
  const pieces: Buffer[] = [];
  let taken: Promise<void> = Promise.resolve();
  for (let position = start, turn = 0; position < end; turn = 1 - turn) {
    pieces[turn] ??= borrow(end - position);
    const piece = pieces[turn] as Buffer;
    let count: number;
    try {
      count = await readPiece(fd, piece, Math.min(piece.byteLength, end - position), position);
    } finally {
      // Also where reading failed: what was handed out has to be back first.
      await taken;
    }
    if (count === 0) throw new StoreError(`a stored body ends at ${position} of ${end} bytes`);
    position += count;
    taken = take(piece.subarray(0, count));
    // Waited for in the next turn; that it is rejected until then is nobody's surprise.
    taken.catch(() => undefined);
  }
  await taken;
  for (const piece of pieces) giveBack(piece);
}

/** A piece of memory for reading up to so many bytes at a time; to be given back once nobody can be using it any more. */
export function borrow(bytes: number): Buffer {
  if (bytes < PIECE_BYTES) return Buffer.allocUnsafeSlow(bytes);
  return spare.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
}

export function giveBack(piece: Buffer): void {
  if (piece.byteLength === PIECE_BYTES && spare.length < SPARE_PIECES) spare.push(piece);
}

function readPiece(fd: number, piece: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    bodyReads.enter(() => {
      read(fd, piece, 0, length, position, (error, count) => {
        bodyReads.leave();
        if (error === null) resolve(count);
        else reject(new StoreError('a stored body could not be read', { cause: error }));
      });
    });
  });
}
