import type { ByteRange } from '../../http/body.ts';
import type { AnyResponse } from '../../http/message.ts';
import type { Callback } from './arguments.ts';
import type { Overlay } from './view.ts';

const METHODS = ['write', 'end', 'writeHead', 'flushHeaders', 'addTrailers'] as const;

/** The methods of a response that lead to its client. */
export type Wire = Record<(typeof METHODS)[number], (...args: unknown[]) => unknown>;

/** As earlier middleware has left them; to be asked for while the overlay can still tell them from ours. */
export function wireOf(overlay: Overlay<AnyResponse>): Wire {
  return Object.fromEntries(METHODS.map((name) => [name, overlay.real(name)])) as Wire;
}

/** A response on its way to the client, past the tap; or a range of it. */
export class Passing {
  readonly #res: AnyResponse;
  readonly #wire: Wire;
  readonly #range: ByteRange | undefined;
  #position = 0;

  constructor(res: AnyResponse, wire: Wire, range: ByteRange | undefined) {
    this.#res = res;
    this.#wire = wire;
    this.#range = range;
  }

  writeHead(args: readonly unknown[]): void {
    this.#wire.writeHead.apply(this.#res, [...args]);
  }

  flushHeaders(): void {
    this.#wire.flushHeaders.call(this.#res);
  }

  addTrailers(trailers: object): void {
    this.#wire.addTrailers.call(this.#res, trailers);
  }

  write(bytes: Uint8Array, callback?: Callback): boolean {
    const wanted = this.#cut(bytes);
    if (wanted.byteLength === 0 && bytes.byteLength > 0) {
      if (callback !== undefined) process.nextTick(callback);
      return true;
    }
    return this.#wire.write.call(this.#res, wanted, callback) !== false;
  }

  end(bytes: Uint8Array | undefined, callback?: Callback): void {
    if (bytes !== undefined && this.#range === undefined) {
      this.#wire.end.call(this.#res, bytes, callback);
      return;
    }
    // On HTTP/2 `end(chunk)` calls `write`, which would cut once more.
    if (bytes !== undefined) this.write(bytes);
    this.#wire.end.call(this.#res, callback);
  }

  /** Of the next piece of the body, what lies in the range. */
  #cut(bytes: Uint8Array): Uint8Array {
    if (this.#range === undefined) return bytes;
    const from = this.#position;
    this.#position += bytes.byteLength;
    return bytes.subarray(Math.max(0, this.#range.start - from), Math.max(0, this.#range.end - from));
  }
}
