import { Readable } from 'node:stream';
import { StoreError } from '../../errors.ts';
import type { ByteRange } from '../../http/body.ts';
import type { Growing } from './growing.ts';

/** Reads stored bytes: at least one at `position`, at most `length`; into `into`, where that is given. */
export type ReadStored = (position: number, length: number, into?: Buffer) => Promise<Uint8Array>;

/** Measured at more than twice the throughput of Node's 64 KiB. */
export const READ_BYTES: number = 512 * 1024;

/** The first piece of each reader: of many who come at once, the last would wait for larger ones of all the others. */
export const FIRST_BYTES: number = 64 * 1024;

/** The bytes of a range as they arrive, at the reader's own pace. Fails where the fill fails. */
export class GrowingReadable extends Readable {
  position: number;
  readonly #growing: Growing;
  readonly #readStored: ReadStored;
  readonly #end: number;
  readonly #unfollow: () => void;
  readonly #moved: (position: number) => void;
  #wanted = false;
  #reading = false;
  #bytes = FIRST_BYTES;

  /** @param moved told how far it has got */
  constructor(
    growing: Growing,
    readStored: ReadStored,
    range: ByteRange | undefined,
    moved: (position: number) => void,
  ) {
    super({ highWaterMark: READ_BYTES });
    this.#growing = growing;
    this.#readStored = readStored;
    this.position = range?.start ?? 0;
    this.#end = range?.end ?? Number.POSITIVE_INFINITY;
    this.#moved = moved;
    this.#unfollow = growing.follow(this);
  }

  wake(): void {
    if (this.#wanted) this.#advance();
  }

  override _read(): void {
    this.#wanted = true;
    this.#advance();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#unfollow();
    callback(error);
  }

  #advance(): void {
    if (this.#reading || this.destroyed) return;
    const growing = this.#growing;
    if (this.position >= this.#end) {
      this.#finish();
      return;
    }
    if (growing.failed) {
      this.destroy(growing.error);
      return;
    }
    if (this.position >= growing.limit) {
      if (growing.end !== undefined) this.#finish();
      return;
    }
    const piece = growing.peek(this.position);
    if (piece !== undefined) {
      this.#deliver(piece);
    } else if (this.position < growing.stored) {
      this.#fetch(Math.min(growing.stored, growing.limit, this.#end) - this.position);
    } else {
      // Only where the store was lost, and nobody was known to want these bytes.
      this.destroy(new StoreError(`the bytes at ${this.position} were not kept: the store takes no more`));
    }
  }

  #fetch(length: number): void {
    this.#reading = true;
    const bytes = Math.min(length, this.#bytes);
    this.#bytes = READ_BYTES;
    this.#readStored(this.position, bytes).then(
      (piece) => {
        this.#reading = false;
        if (!this.destroyed) this.#deliver(piece);
      },
      (error: Error) => this.destroy(error),
    );
  }

  #deliver(piece: Uint8Array): void {
    const wanted = piece.subarray(0, Math.min(piece.byteLength, this.#end - this.position));
    this.#wanted = false;
    this.position += wanted.byteLength;
    this.#moved(this.position);
    this.#growing.moved();
    this.push(wanted);
  }

  #finish(): void {
    this.#wanted = false;
    this.push(null);
  }
}
