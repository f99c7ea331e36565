import type { Bytes } from './backends/backend.ts';
import { requirePiece } from './backends/bytes.ts';

/** Storing takes a turn of the thread pool for each piece: what a connection gives, 64 KiB at a time, is put together to as much. */
const PIECE_BYTES = 1024 * 1024;

/** How the source of a chunk ended, where it did not end well. */
export interface Cut {
  error?: Error;
}

export interface GatherOptions {
  /** No more than that is taken; what exceeds it ends it with `tooMuch`. */
  limit: number;
  tooMuch: () => Error;
  /** Ends it. */
  signal: AbortSignal;
}

/**
 * What comes, in large pieces, read ahead by one of them. Where the source fails, or is to end, what came before is given all the same, and `cut` says
 * what happened: an upload keeps what arrived.
 */
export async function* gather(
  bytes: Bytes,
  cut: Cut,
  { limit, tooMuch, signal }: GatherOptions,
): AsyncGenerator<Buffer> {
  const reader = new Reader(bytes, cut, { limit, tooMuch, signal });
  try {
    for (;;) {
      const piece = await reader.next();
      if (piece === undefined) return;
      yield piece;
    }
  } finally {
    reader.close();
  }
}

class Reader {
  readonly #cut: Cut;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #options: GatherOptions;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #taken = 0;
  #over = false;
  /** Something has changed. */
  #wake: () => void = () => undefined;
  #hasRoom: () => void = () => undefined;

  constructor(bytes: Bytes, cut: Cut, options: GatherOptions) {
    this.#cut = cut;
    this.#options = options;
    this.#source = (bytes instanceof Uint8Array ? once(bytes) : bytes)[Symbol.asyncIterator]();
    void this.#read();
  }

  /** As much as is there, once something is; undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    while (this.#bytes === 0 && !this.#over) await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#bytes === 0) return undefined;
    const piece =
      this.#pieces.length === 1 ? asBuffer(this.#pieces[0] as Uint8Array) : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    this.#hasRoom();
    return piece;
  }

  close(): void {
    this.#end();
  }

  async #read(): Promise<void> {
    const { limit, tooMuch, signal } = this.#options;
    const stop = () => this.#end(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      while (!this.#over) {
        const { done, value } = await this.#source.next();
        if (done === true || this.#over) break;
        requirePiece(value);
        // The limit may have been lowered since what is stored came.
        const room = Math.max(0, limit - this.#taken);
        const piece = value.byteLength > room ? value.subarray(0, room) : value;
        if (piece.byteLength > 0) this.#pieces.push(piece);
        this.#bytes += piece.byteLength;
        this.#taken += piece.byteLength;
        if (value.byteLength > room) throw tooMuch();
        this.#wake();
        while (this.#bytes >= PIECE_BYTES && !this.#over)
          await new Promise<void>((resolve) => {
            this.#hasRoom = resolve;
          });
      }
      this.#end();
    } catch (error) {
      this.#end(error as Error);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Nothing more is taken. The source may be waiting for bytes that never come, so that is not waited for. */
  #end(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    if (error !== undefined) this.#cut.error = error;
    this.#wake();
    this.#hasRoom();
    Promise.resolve(this.#source.return?.()).catch(() => undefined);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
