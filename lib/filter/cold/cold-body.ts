import { Readable } from 'node:stream';
import { IncompleteError } from '../../errors.ts';
import type { Body, ByteRange, ResponseHead } from '../../http/body.ts';
import type { ColdFile, Wanter } from './cold-file.ts';
import { directly } from './direct.ts';
import type { MakeRequest } from './part-fetch.ts';

/** A reader that gets no further tries again so often. */
const ATTEMPTS = 4;

/** A file of which only parts are there, as one client reads it: what is missing is fetched when the client comes to it. */
export class ColdBody implements Body {
  readonly head: ResponseHead;
  readonly size: number;
  readonly #file: ColdFile;
  readonly #request: MakeRequest;
  readonly #leave: () => void;
  readonly #unwant: () => void;

  /** @param wanted what will be asked for, as far as that is known */
  constructor(file: ColdFile, request: MakeRequest, wanted: ByteRange) {
    this.head = file.parts.head;
    this.size = file.parts.size;
    this.#file = file;
    this.#request = request;
    this.#leave = file.use();
    this.#unwant = file.want({ position: wanted.start, end: wanted.end });
  }

  /** Rejects where the first byte of the range can't be had. */
  prepare({ start, end }: ByteRange = { start: 0, end: this.size }): Promise<void> {
    return this.#file.ensure(start, end, this.#request);
  }

  read(range: ByteRange = { start: 0, end: this.size }): Readable {
    return new ColdReadable(this.#file, this.#request, range);
  }

  release(): void {
    this.#unwant();
    this.#leave();
  }
}

/** Bytes of a file of which only parts are there, in order. Those of the whole end only when all of it has been verified. */
class ColdReadable extends Readable implements Wanter {
  position: number;
  readonly end: number;
  readonly #file: ColdFile;
  readonly #request: MakeRequest;
  readonly #isWhole: boolean;
  readonly #leave: () => void;
  readonly #unwant: () => void;
  #inner: Readable | undefined;
  #attempts = 0;
  #isProven = false;

  constructor(file: ColdFile, request: MakeRequest, { start, end }: ByteRange) {
    super({ highWaterMark: file.blockBytes });
    this.position = start;
    this.end = end;
    this.#file = file;
    this.#request = request;
    this.#isWhole = start === 0 && end === file.parts.size;
    this.#leave = file.use();
    this.#unwant = file.want(this);
  }

  override _read(): void {
    if (this.#inner === undefined) this.#next();
    else this.#inner.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#inner?.destroy();
    this.#unwant();
    this.#leave();
    callback(error);
  }

  #next(): void {
    if (this.destroyed || this.#inner !== undefined) return;
    if (this.position >= this.end) {
      this.push(null);
      return;
    }
    const { parts } = this.#file;
    if (parts.dropped !== undefined) {
      this.destroy(parts.dropped);
      return;
    }
    if (this.#file.isFull && this.#isAbsent()) {
      this.#pipe(directly(this.#file, this.#request, { start: this.position, end: this.end }));
      return;
    }
    const last = this.end - 1;
    if (this.#isWhole && this.position >= last && !this.#isProven) {
      this.#prove();
      return;
    }
    const end = this.#isWhole && !this.#isProven ? last : this.end;
    const reached = this.#file.reach(this.position, end, this.#request);
    this.#pipe(parts.read({ start: this.position, end: Math.max(reached, this.position + 1) }));
  }

  #isAbsent(): boolean {
    const [missing] = this.#file.parts.missing({ start: this.position, end: this.position + 1 });
    return missing !== undefined;
  }

  #prove(): void {
    this.#file.whole(this.#request).then(
      () => {
        this.#isProven = true;
        this.#next();
      },
      (error: Error) => {
        // What the store has no room for can't be verified: it is handed on as it comes.
        if (this.#file.isFull && this.#isAbsent()) this.#next();
        else this.destroy(error);
      },
    );
  }

  #pipe(inner: Readable): void {
    this.#inner = inner;
    inner.on('data', (chunk: Uint8Array) => {
      this.#attempts = 0;
      this.position += chunk.byteLength;
      if (!this.push(chunk)) inner.pause();
    });
    inner.once('end', () => this.#over(inner));
    inner.once('error', (error: Error) => this.#over(inner, error));
  }

  #over(inner: Readable, error?: Error): void {
    if (this.#inner !== inner) return;
    this.#inner = undefined;
    if (error !== undefined && ++this.#attempts >= ATTEMPTS) {
      this.destroy(
        new IncompleteError(`the bytes from ${this.position} on can not be had`, { cause: error }),
      );
    } else this.#next();
  }
}
