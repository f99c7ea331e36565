import { OutgoingMessage, type ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse } from 'node:http2';
import { Socket } from 'node:net';
import { StoreError } from '../errors.ts';
import type { Body, ByteRange } from '../http/body.ts';
import { type AnyResponse, isHttp2 } from '../http/message.ts';
import { DeafWatch } from './deaf.ts';
import { memberOf } from './tap/wire.ts';

/** The client has left; nobody's fault. */
export class ClientGone extends Error {}

/** The client is there, and takes nothing. */
export class ClientDeaf extends ClientGone {}

/** Whether there is nobody left to write to. */
export function isGone(res: AnyResponse): boolean {
  return isHttp2(res)
    ? (res as Http2ServerResponse).stream?.destroyed !== false
    : (res as ServerResponse).destroyed;
}

const nodesWrite = OutgoingMessage.prototype.write;

/**
 * Whether what was written has been copied once its callback comes, by the kernel or by TLS: then nobody stands between us and the
 * connection who could keep a piece of it. A connection in memory, or a tunnel, may hand the very same memory to its other end.
 */
function copiesWhatIsWritten(res: AnyResponse): boolean {
  const { socket } = res;
  return (
    !isHttp2(res) &&
    memberOf(res, 'write') === nodesWrite &&
    socket instanceof Socket &&
    !Object.hasOwn(socket, 'write')
  );
}

/** As much is written at a time to a stream of HTTP/2, which does not tell how much of a piece the client has taken. */
const STREAM_BYTES = 64 * 1024;

/** Writes to one client at the client's pace. */
export class Flow {
  /** Handed to the connection so far. */
  bytes = 0;
  readonly #res: AnyResponse;
  #wake: (() => void) | undefined;
  #stop: ((reason: Error) => void) | undefined;
  /** Pieces that the connection has not taken yet. */
  #flushing = 0;
  /** Poured at the moment. */
  #body: Body | undefined;
  #stopped: Error | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #watch: DeafWatch;

  /**
   * @param signal ends the flow: quietly with ClientGone, else with the reason it was aborted with
   * @param timeoutMs how long the client may take nothing; it ends with ClientDeaf then. 0: for ever
   */
  constructor(res: AnyResponse, signal?: AbortSignal, timeoutMs = 0) {
    this.#res = res;
    this.#signal = signal;
    this.#watch = new DeafWatch(res, timeoutMs, () => this.#end(new ClientDeaf()));
    signal?.addEventListener('abort', this.#onAbort);
    if (signal?.aborted) this.#onAbort();
    if (isGone(res)) this.#onClose();
    // Once each: compression, mounted outside, hands such listeners to its own stream and can't take them back.
    res.on('drain', this.#onWake);
    res.on('finish', this.#onWake);
    res.on('close', this.#onClose);
  }

  readonly #onWake = (): void => this.#wake?.();

  readonly #onClose = (): void => this.#end(new ClientGone());

  readonly #onAbort = (): void => {
    this.#end(this.#signal?.reason instanceof Error ? this.#signal.reason : new ClientGone());
  };

  #end(reason: Error): void {
    this.#stopped ??= reason;
    this.#wake?.();
    this.#stop?.(this.#stopped);
    // It may be waiting for bytes that are still to come.
    this.#body?.release();
  }

  release(): void {
    this.#res.off('drain', this.#onWake);
    this.#res.off('finish', this.#onWake);
    this.#res.off('close', this.#onClose);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#watch.stop();
  }

  /** @throws ClientGone */
  check(): void {
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  /** @throws ClientGone */
  async write(chunk: Uint8Array): Promise<void> {
    if (isHttp2(this.#res)) {
      for (let at = 0; at < chunk.byteLength; at += STREAM_BYTES)
        await this.#write(chunk.subarray(at, at + STREAM_BYTES));
    } else await this.#write(chunk);
  }

  async #write(chunk: Uint8Array): Promise<void> {
    this.check();
    this.bytes += chunk.byteLength;
    // The callback as well as `drain`: each is lost in some constellation of middleware, or of Node itself.
    if (!(this.#res as ServerResponse).write(chunk, this.#onWake)) await this.#woken();
  }

  /** Writes, and resolves when the connection has taken all of it. @throws ClientGone */
  async #flush(piece: Uint8Array): Promise<void> {
    this.check();
    this.bytes += piece.byteLength;
    this.#flushing++;
    await new Promise<void>((resolve, reject) => {
      this.#stop = reject;
      this.#watch.begin();
      (this.#res as ServerResponse).write(piece, (error) => (error ? reject(new ClientGone()) : resolve()));
    });
    if (--this.#flushing === 0) this.#watch.end();
    else this.#watch.begin();
  }

  /** Sends the range, or the whole. @throws ClientGone, or what the body failed with */
  async pump(body: Body, range: ByteRange | undefined): Promise<void> {
    if (body.bytes !== undefined) {
      return this.write(range === undefined ? body.bytes : body.bytes.subarray(range.start, range.end));
    }
    if (body.pour !== undefined && copiesWhatIsWritten(this.#res)) {
      this.#body = body;
      try {
        return await body.pour(range, (piece) => this.#flush(piece));
      } catch (error) {
        throw this.#stopped ?? error;
      } finally {
        this.#stop = undefined;
        this.#body = undefined;
      }
    }
    const stream = body.read(range);
    this.#stop = (reason) => stream.destroy(reason);
    const expected = range === undefined ? body.size : range.end - range.start;
    let count = 0;
    try {
      for await (const chunk of stream as AsyncIterable<Uint8Array>) {
        count += chunk.byteLength;
        // On a kept connection what is too much would pass for the beginning of the next answer.
        if (expected !== undefined && count > expected) break;
        await this.write(chunk);
      }
    } finally {
      this.#stop = undefined;
    }
    // And for what is lacking the client would wait.
    if (expected !== undefined && count !== expected)
      throw new StoreError(`a body gave ${count} bytes where ${expected} were promised`);
  }

  /** Waits for something that is not the client. @throws ClientGone */
  async until(event: Promise<unknown>): Promise<void> {
    this.check();
    await new Promise<void>((resolve, reject) => {
      this.#stop = reject;
      void event.then(() => resolve(), reject);
    });
    this.#stop = undefined;
  }

  /** Ends the answer, and waits until the connection has taken it. @throws ClientGone */
  async finish(): Promise<void> {
    this.check();
    this.#res.end();
    while (!this.#res.writableFinished) await this.#woken();
    // On HTTP/2 `finish` comes for a stream that was reset, too.
    if (isHttp2(this.#res) && (this.#res as Http2ServerResponse).stream?.aborted) throw new ClientGone();
  }

  async #woken(): Promise<void> {
    this.#watch.begin();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
    this.#watch.end();
    if (!this.#res.writableFinished) this.check();
  }
}

/** Ends an answer so that its client can't take it for whole; the connection of an HTTP/2 client lives on. */
export function failVisibly(res: AnyResponse): void {
  if (isHttp2(res)) {
    // destroy() would look like a clean end here.
    (res as Http2ServerResponse).stream?.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  const http1 = res as ServerResponse;
  const delimitedByClose = http1.headersSent && !http1.chunkedEncoding && !http1.hasHeader('content-length');
  if (delimitedByClose && http1.socket !== null) http1.socket.resetAndDestroy();
  else http1.destroy();
}
