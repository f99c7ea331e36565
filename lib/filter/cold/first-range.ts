import type { ByteRange } from '../../http/body.ts';
import { firstRange } from '../../http/ranges.ts';

/**
 * What to ask an origin for of a file of which nothing is known, where a client sent this Range: whole blocks around its first range, at
 * most `mostBytes`; a single byte where the range counts from the end, so that the size is learned. undefined where Range asks for nothing
 * in particular, or is to be ignored.
 */
export function firstAsked(
  header: string | undefined,
  blockBytes: number,
  mostBytes: number,
): ByteRange | undefined {
  const first = firstRange(header);
  if (first === undefined) return undefined;
  if (first.start === undefined) return { start: 0, end: 1 };
  const start = Math.floor(first.start / blockBytes) * blockBytes;
  const end = Math.ceil((first.end ?? Number.POSITIVE_INFINITY) / blockBytes) * blockBytes;
  const most = start + Math.max(blockBytes, mostBytes);
  return { start, end: Math.min(end, most) };
}

/** The value of a Range header for this. */
export function rangeHeader({ start, end }: ByteRange): string {
  return `bytes=${start}-${end - 1}`;
}
