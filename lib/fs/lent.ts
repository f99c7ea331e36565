/**
 * Pieces of memory that are kept for whoever reads next, in all of the process: by their size in bytes how many at most. The small ones are for
 * first pieces and small files, the middle ones for reads, the large ones for blocks that have to be checked.
 */
const spare = new Map<number, { pieces: Buffer[]; most: number }>([
  [64 * 1024, { pieces: [], most: 64 }],
  [512 * 1024, { pieces: [], most: 16 }],
  [1024 * 1024, { pieces: [], most: 4 }],
]);

const NONE = { pieces: [], most: 0 };

/** The same piece of memory where it is large enough, else another one; to be given back once nobody can be using it any more. */
export function fit(piece: Buffer | undefined, bytes: number): Buffer {
  if (piece !== undefined && piece.byteLength >= bytes) return piece;
  giveBack(piece);
  return spare.get(bytes)?.pieces.pop() ?? Buffer.allocUnsafeSlow(bytes);
}

export function giveBack(piece: Buffer | undefined): void {
  if (piece === undefined) return;
  const { pieces, most } = spare.get(piece.byteLength) ?? NONE;
  if (pieces.length < most) pieces.push(piece);
}
