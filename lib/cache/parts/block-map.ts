import type { ByteRange } from '../../http/body.ts';
import { BLOCK_BYTES, countBlocks } from '../blocks.ts';

const MISSING = 0;
const PROMISED = 1;
const THERE = 2;

/** Which blocks of a body are there, with their checksums, and which have been promised. */
export class BlockMap {
  readonly size: number;
  readonly #states: Uint8Array;
  readonly #sums: Uint32Array;
  /** How many are there. */
  count = 0;

  /** @param sums of the blocks that are there; undefined for another */
  constructor(size: number, sums: readonly (number | undefined)[] = []) {
    this.size = size;
    this.#states = new Uint8Array(countBlocks(size));
    this.#sums = new Uint32Array(countBlocks(size));
    for (const [block, sum] of sums.entries()) if (sum !== undefined) this.keep(block, sum);
  }

  get isWhole(): boolean {
    return this.count === this.#states.length;
  }

  /** The CRC-32 of each block; of those that are not there, 0. */
  get sums(): Uint32Array {
    return this.#sums;
  }

  /** Bytes of the blocks that are there. */
  get bytes(): number {
    const last = this.#states.length - 1;
    const cut = this.isThere(last) ? (last + 1) * BLOCK_BYTES - this.size : 0;
    return this.count * BLOCK_BYTES - cut;
  }

  rangeOf(block: number): ByteRange {
    const start = block * BLOCK_BYTES;
    return { start, end: Math.min(start + BLOCK_BYTES, this.size) };
  }

  isThere(block: number): boolean {
    return this.#states[block] === THERE;
  }

  isMissing(block: number): boolean {
    return this.#states[block] === MISSING;
  }

  sumOf(block: number): number | undefined {
    return this.isThere(block) ? this.#sums[block] : undefined;
  }

  /** Ranges of whole blocks, merged, of what is missing between these positions. */
  missing({ start, end }: ByteRange): ByteRange[] {
    const found: ByteRange[] = [];
    const to = Math.min(end, this.size);
    for (let block = blockOf(start); block * BLOCK_BYTES < to; block++) {
      if (!this.isMissing(block)) continue;
      const range = this.rangeOf(block);
      const last = found.at(-1);
      if (last?.end === range.start) last.end = range.end;
      else found.push(range);
    }
    return found;
  }

  /** @throws RangeError where the range is not of whole blocks that are missing */
  promise(range: ByteRange): void {
    const { start, end } = range;
    const [all, ...more] = this.missing(range);
    if (all?.start !== start || all.end !== end || more.length > 0)
      throw new RangeError(`the bytes ${start} to ${end} are not whole blocks that are missing`);
    this.#states.fill(PROMISED, blockOf(start), Math.ceil(end / BLOCK_BYTES));
  }

  keep(block: number, sum: number): void {
    if (!this.isThere(block)) this.count++;
    this.#states[block] = THERE;
    this.#sums[block] = sum;
  }

  /** It is not there, nor is it promised any more. */
  lose(block: number): void {
    if (this.isThere(block)) this.count--;
    this.#states[block] = MISSING;
    this.#sums[block] = 0;
  }
}

/** The block that a position is in. */
export function blockOf(position: number): number {
  return Math.floor(position / BLOCK_BYTES);
}
