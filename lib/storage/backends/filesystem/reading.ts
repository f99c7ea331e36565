import type { FileHandle } from 'node:fs/promises';
import type { ByteRange } from '../../../http/body.ts';
import type { Step } from '../fault.ts';

/** In bytes, of what is read at a time. */
const PIECE = 256 * 2 ** 10;

/**
 * The bytes of a range of an open file, which is closed at the end, and when it is left: also before its first piece, which a generator
 * would not notice.
 */
export class Reading implements AsyncIterableIterator<Uint8Array> {
  readonly #file: FileHandle;
  readonly #step: Step;
  readonly #end: number;
  #at: number;
  #closing: Promise<void> | undefined;
  /** Pieces come in the order in which they were asked for. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param range half-open, within the file */
  constructor(file: FileHandle, { start, end }: ByteRange, step: Step) {
    this.#file = file;
    this.#at = start;
    this.#end = end;
    this.#step = step;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const next = this.#last.then(() => this.#read());
    this.#last = next.catch(() => undefined);
    return next;
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    await this.#close();
    return { done: true, value: undefined };
  }

  async #read(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#closing !== undefined || this.#at >= this.#end) return this.return();
    try {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE, this.#end - this.#at));
      const { bytesRead } = await this.#file.read(piece, 0, piece.byteLength, this.#at);
      if (bytesRead === 0) throw this.#step.error(`it ends before byte ${this.#end}`, 'damaged');
      this.#at += bytesRead;
      return { done: false, value: piece.subarray(0, bytesRead) };
    } catch (error) {
      await this.#close();
      throw this.#step.fault(error);
    }
  }

  #close(): Promise<void> {
    this.#closing ??= this.#file.close().catch(() => undefined);
    return this.#closing;
  }
}
