import type { FileHandle } from 'node:fs/promises';
import { fit, giveBack } from '../../../fs/lent.ts';
import type { ByteRange } from '../../../http/body.ts';
import type { Step } from '../fault.ts';

/** In bytes, of what is read at a time. */
const PIECE = 256 * 2 ** 10;

/** The same where memory is used again: of what is small, and of what is not. */
const FIRST_PIECE = 64 * 2 ** 10;
const POURED_PIECE = 512 * 2 ** 10;

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

  /** All of it, through two pieces of memory that are used over and over; the next one is read while one is being taken. */
  async pour(take: (piece: Uint8Array) => Promise<void>): Promise<void> {
    const lent: (Buffer | undefined)[] = [];
    let taken: Promise<void> = Promise.resolve();
    try {
      for (let turn = 0; this.#at < this.#end; turn = 1 - turn) {
        const memory = fit(lent[turn], this.#end - this.#at <= FIRST_PIECE ? FIRST_PIECE : POURED_PIECE);
        lent[turn] = memory;
        let piece: Uint8Array;
        try {
          piece = await this.#fill(memory);
        } finally {
          // Also where reading failed: what was handed out has to be back first.
          await taken;
        }
        taken = take(piece);
        // Waited for in the next turn; that it is rejected until then is nobody's surprise.
        taken.catch(() => undefined);
      }
      await taken;
      for (const memory of lent) giveBack(memory);
    } finally {
      await this.#close();
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    await this.#close();
    return { done: true, value: undefined };
  }

  async #read(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#closing !== undefined || this.#at >= this.#end) return this.return();
    try {
      return {
        done: false,
        value: await this.#fill(Buffer.allocUnsafeSlow(Math.min(PIECE, this.#end - this.#at))),
      };
    } catch (error) {
      await this.#close();
      throw error;
    }
  }

  async #fill(memory: Buffer): Promise<Uint8Array> {
    const length = Math.min(memory.byteLength, this.#end - this.#at);
    try {
      const { bytesRead } = await this.#file.read(memory, 0, length, this.#at);
      if (bytesRead === 0) throw this.#step.error(`it ends before byte ${this.#end}`, 'damaged');
      this.#at += bytesRead;
      return memory.subarray(0, bytesRead);
    } catch (error) {
      throw this.#step.fault(error);
    }
  }

  #close(): Promise<void> {
    this.#closing ??= this.#file.close().catch(() => undefined);
    return this.#closing;
  }
}
