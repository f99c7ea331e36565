import type { Http2ServerRequest } from 'node:http2';
import { setImmediate } from 'node:timers/promises';
import { type AnyRequest, isHttp2 } from '../http/message.ts';
import { ClientGone } from '../response/flow.ts';
import { Refusal } from './answers.ts';

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Called with each piece before it is handed on; what it rejects with ends the body. */
export type Meter = (bytes: number) => Promise<void>;

/**
 * The bytes of a request, at the pace of whoever takes them. Left before their end they leave the connection alone, on which the answer has yet
 * to go out; Node's own iterator destroys it.
 */
export class RequestBody implements AsyncIterableIterator<Uint8Array> {
  /** Its length in bytes, where the request declares that. */
  readonly declared: number | undefined;
  /** Whether there is one. */
  readonly isPresent: boolean;
  meter: Meter | undefined;
  readonly #req: AnyRequest;
  readonly #stallTimeoutMs: number;
  readonly #wasRead: boolean;
  #listens = false;
  #stopped = false;
  #isOver = false;
  #wake: () => void = () => undefined;

  /** @param stallTimeoutMs how long nothing may come of it; 0: for ever */
  constructor(req: AnyRequest, stallTimeoutMs: number) {
    this.#req = req;
    this.#stallTimeoutMs = stallTimeoutMs;
    const { 'content-length': length, 'transfer-encoding': coding } = req.headers;
    this.isPresent = isHttp2(req)
      ? !(req as Http2ServerRequest).stream.endAfterHeaders
      : coding !== undefined || Number(length ?? 0) > 0;
    this.declared = this.isPresent ? (length === undefined ? undefined : Number(length)) : 0;
    this.#wasRead = this.isPresent && (req.readableDidRead || req.readableEnded);
  }

  /** Whether nothing more of it can come. */
  get isOver(): boolean {
    if (!this.isPresent || this.#isOver || this.#req.readableEnded || this.#req.destroyed) return true;
    return !isHttp2(this.#req) && this.#req.complete;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @throws ClientGone where it ended before its end, Refusal (408) where nothing more came of it */
  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.isPresent || this.#stopped) return DONE;
    if (this.#wasRead)
      throw new Error(
        'the body of a request was read before the registry got it: mount the registry before body parsers',
      );
    this.#listen();
    for (;;) {
      const piece = this.#req.read() as Buffer | null;
      if (piece !== null) {
        await this.meter?.(piece.byteLength);
        return { done: false, value: piece };
      }
      if (this.#req.aborted) throw new ClientGone();
      if (this.#req.readableEnded) {
        // On HTTP/2 a body that was cut ends like any other, and is found to be aborted then.
        if (isHttp2(this.#req)) await setImmediate();
        if (this.#req.aborted) throw new ClientGone();
        this.#isOver = true;
        this.stop();
        return DONE;
      }
      if (this.#req.destroyed) throw new ClientGone();
      await this.#woken();
      if (this.#stopped) return DONE;
    }
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.stop();
    return DONE;
  }

  /** Nothing more of it is taken. */
  stop(): void {
    this.#stopped = true;
    if (this.#listens) for (const event of EVENTS) this.#req.off(event, this.#onEvent);
    this.#listens = false;
    this.#wake();
  }

  readonly #onEvent = (): void => this.#wake();

  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    for (const event of EVENTS) this.#req.on(event, this.#onEvent);
  }

  async #woken(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      if (this.#stallTimeoutMs === 0) return;
      const stalled = () =>
        reject(
          new Refusal(
            408,
            'BLOB_UPLOAD_INVALID',
            `nothing came for ${this.#stallTimeoutMs} ms; what came before is kept`,
          ),
        );
      timer = setTimeout(stalled, this.#stallTimeoutMs).unref();
    }).finally(() => clearTimeout(timer));
  }
}

const EVENTS = ['readable', 'end', 'error', 'aborted', 'close'];
