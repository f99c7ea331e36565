import { Readable } from 'node:stream';
import type { ByteRange } from '../../http/body.ts';
import { READ_BYTES } from '../fill/reader.ts';

/** What a reader finds at a position: bytes that can be read up to `to`, nothing yet, or an error. */
export type Ahead = { to: number; block: number | undefined } | 'wait' | Error;

/** A body as its readers see it. */
export interface PartsSource {
  /** What there is for a reader who wants no more than `range`. */
  ahead(position: number, range: ByteRange): Ahead;
  /** Bytes of one block; of one that is there, checked. undefined: it turned out not to be there. */
  take(position: number, to: number, block: number | undefined): Promise<Uint8Array | undefined>;
  /** Calls back when there may be more; what is returned puts an end to that. */
  follow(wake: () => void): () => void;
}

/** The bytes of a range: those that are there, and those that are promised as they come. */
export class PartsReadable extends Readable {
  readonly #source: PartsSource;
  readonly #range: ByteRange;
  readonly #unfollow: () => void;
  #position: number;
  #wanted = false;
  #reading = false;
  #afterRead: (() => void) | undefined;

  constructor(source: PartsSource, range: ByteRange) {
    super({ highWaterMark: READ_BYTES });
    this.#source = source;
    this.#range = range;
    this.#position = range.start;
    this.#unfollow = source.follow(() => this.#wanted && this.#advance());
  }

  override _read(): void {
    this.#wanted = true;
    this.#advance();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const done = () => {
      this.#unfollow();
      callback(error);
    };
    // A descriptor in use must not be closed: its number would soon be somebody else's.
    if (this.#reading) this.#afterRead = done;
    else done();
  }

  #advance(): void {
    if (this.#reading || this.destroyed) return;
    if (this.#position >= this.#range.end) {
      this.#wanted = false;
      this.push(null);
      return;
    }
    const ahead = this.#source.ahead(this.#position, this.#range);
    if (ahead === 'wait') return;
    if (ahead instanceof Error) this.destroy(ahead);
    else this.#take(ahead.to, ahead.block);
  }

  #take(to: number, block: number | undefined): void {
    this.#reading = true;
    this.#source.take(this.#position, to, block).then(
      (bytes) => {
        if (this.#done()) return;
        // Not there after all: look again.
        if (bytes === undefined) return this.#advance();
        this.#wanted = false;
        this.#position += bytes.byteLength;
        this.push(bytes);
      },
      (error: Error) => this.#done() || this.destroy(error),
    );
  }

  /** A read is over; whether nobody waits for it any more. */
  #done(): boolean {
    this.#reading = false;
    this.#afterRead?.();
    return this.#afterRead !== undefined;
  }
}
