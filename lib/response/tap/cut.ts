import type { ByteRange } from '../../http/body.ts';

/** Takes the pieces of a body one after the other, and gives back what of each lies in the range. */
export type Cut = (bytes: Uint8Array) => Uint8Array;

export function cutter({ start, end }: ByteRange): Cut {
  let position = 0;
  return (bytes) => {
    const from = position;
    position += bytes.byteLength;
    return bytes.subarray(Math.max(0, start - from), Math.max(0, end - from));
  };
}
