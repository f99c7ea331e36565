import { crc32 } from 'node:zlib';
import { IncompleteError, StoreError } from '../../errors.ts';
import type { ByteRange } from '../../http/body.ts';
import { BLOCK_BYTES } from '../blocks.ts';
import { blockOf } from './block-map.ts';
import type { PartWriter } from './parts.ts';

/** What a writer asks of the body that it writes to. */
export interface WriterOwner {
  /** Whether there is room for one more block; called before anything of it is written. */
  admit(block: number): Promise<boolean>;
  /** Puts bytes where they belong. @throws where the store can't */
  put(bytes: Uint8Array, position: number): Promise<void>;
  /** A block is whole. @throws where that can't be written down */
  keep(block: number, sum: number): Promise<void>;
  /** There is more to be read. */
  moved(): void;
  /** It has come to its end: of what it had promised, nothing from this block on is there. */
  ended(writer: FileWriter, from: number, error: Error): void;
}

/** Writes promised blocks into the file of their body. */
export class FileWriter implements PartWriter {
  readonly range: ByteRange;
  position: number;
  readonly #owner: WriterOwner;
  #crc = 0;
  #over = false;

  constructor(owner: WriterOwner, range: ByteRange) {
    this.#owner = owner;
    this.range = range;
    this.position = range.start;
  }

  async write(chunk: Uint8Array): Promise<boolean> {
    if (!this.#over && this.position + chunk.byteLength > this.range.end)
      throw new RangeError(`more comes than the bytes up to ${this.range.end} that were promised`);
    for (let at = 0; at < chunk.byteLength && !this.#over; ) {
      const block = blockOf(this.position);
      const end = Math.min((block + 1) * BLOCK_BYTES, this.range.end);
      const piece = chunk.subarray(at, at + end - this.position);
      try {
        await this.#write(piece, block, end);
      } catch (error) {
        this.fail(error as Error);
      }
      at += piece.byteLength;
    }
    return !this.#over || this.position === this.range.end;
  }

  end(): void {
    this.fail(new IncompleteError(`the bytes from ${this.position} on did not come`));
  }

  fail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#owner.ended(this, blockOf(this.position), error);
  }

  async #write(piece: Uint8Array, block: number, end: number): Promise<void> {
    if (this.position === block * BLOCK_BYTES) {
      this.#crc = 0;
      if (!(await this.#owner.admit(block)))
        return this.fail(new StoreError('the budget has no room for more', { reason: 'no-room' }));
    }
    if (this.#over) return;
    await this.#owner.put(piece, this.position);
    if (this.#over) return;
    this.#crc = crc32(piece, this.#crc);
    const position = this.position + piece.byteLength;
    if (position === end) await this.#owner.keep(block, this.#crc);
    this.position = position;
    this.#owner.moved();
    if (position === this.range.end) this.end();
  }
}
