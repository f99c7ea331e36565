import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import { type AnyResponse, isHttp2 } from '../http/message.ts';

/** Notices a client that takes nothing of its answer for too long. */
export class DeafWatch {
  readonly #res: AnyResponse;
  readonly #timeoutMs: number;
  readonly #deaf: () => void;
  #timer: NodeJS.Timeout | undefined;
  #waiting = false;
  #pending = '';

  /**
   * @param timeoutMs 0: it may be deaf for ever
   * @param deaf called once, while somebody waits
   */
  constructor(res: AnyResponse, timeoutMs: number, deaf: () => void) {
    this.#res = res;
    this.#timeoutMs = timeoutMs;
    this.#deaf = deaf;
  }

  /** From now on the client is waited for. */
  begin(): void {
    if (this.#timeoutMs === 0) return;
    this.#waiting = true;
    this.#pending = pending(this.#res);
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#look(), this.#timeoutMs).unref();
    else this.#timer.refresh();
  }

  /** It has taken what there was. */
  end(): void {
    this.#waiting = false;
  }

  stop(): void {
    this.#waiting = false;
    clearTimeout(this.#timer);
  }

  #look(): void {
    if (!this.#waiting) return;
    const before = this.#pending;
    this.#pending = pending(this.#res);
    // An answer that is not yet its turn on the connection is not the client's to take.
    const isQueued = !isHttp2(this.#res) && (this.#res as ServerResponse).socket === null;
    if (isQueued || this.#pending !== before) this.#timer?.refresh();
    else this.#deaf();
  }
}

/**
 * What the connection has yet to hand to the client: it changes with whatever the client takes. What is being written counts as a whole
 * for a stream of Node's; only the handle knows how much of it has gone, as `socket.setTimeout` does.
 */
function pending(res: AnyResponse): string {
  if (isHttp2(res)) return String((res as Http2ServerResponse).stream?.writableLength);
  const { socket } = res as ServerResponse;
  const handle = (socket as (Socket & { _handle?: { writeQueueSize?: number } | null }) | null)?._handle;
  return `${socket?.writableLength} ${handle?.writeQueueSize}`;
}

/** Ends an answer that was handed to the connection at once, where its client takes nothing of it. */
export function watchRest(res: AnyResponse, timeoutMs: number, deaf: () => void): void {
  if (timeoutMs === 0 || res.writableFinished || (res.socket?.writableLength ?? 0) === 0) return;
  const watch = new DeafWatch(res, timeoutMs, deaf);
  watch.begin();
  res.once('finish', () => watch.stop());
  res.once('close', () => watch.stop());
}
