import type { ByteRange } from '../../http/body.ts';
import { parseWriteHead, type WrittenHead } from '../../http/headers.ts';
import type { AnyResponse } from '../../http/message.ts';
import { type Callback, declaredLength, toBytes, writeArguments } from './arguments.ts';
import type { TappedHead } from './head.ts';
import { coded, type VirtualHeaders } from './headers.ts';
import { Passing, type Wire } from './passing.ts';
import { chained, type Member, method } from './view.ts';

/** Where a diverted body goes. */
export interface BodySink {
  /** Takes the chunk, always; false asks to wait for `drained()`. */
  write(chunk: Uint8Array): boolean;
  drained(): Promise<void>;
  /** The handler has ended its response, and its own `finish` and `close` listeners have run. */
  end(): void;
}

/** Changes to the response on its way to the client, when the tap comes off. */
export interface PassOptions {
  status?: number;
  /** Fields to set, and, without a value, to take away. */
  headers?: Record<string, string | undefined>;
  /** Only these bytes of what the handler writes. */
  range?: ByteRange;
}

interface BodyOwner {
  http2: boolean;
  headers: VirtualHeaders;
  status: number;
  bodyless: boolean;
  head(head: TappedHead): void;
  /** The body waits for a decision, and has ended, or no more of it can be held. */
  held(ended: boolean): void;
  /** Calls `res.writeHead(status)` as the handler would, through whatever middleware behind us has made of it. */
  writeHead(status: number): void;
  emit(type: 'drain' | 'finish' | 'prefinish' | 'error', ...args: unknown[]): void;
  finished(): void;
  setReal(name: string, value: unknown): void;
}

/** Bytes that wait for the decision what to do with them, before the handler is asked to wait. */
const HELD_BYTES = 256 * 1024;

/** Status line and body as the handler writes them. */
export class VirtualBody {
  readonly trailers: [name: string, value: string][] = [];
  readonly #owner: BodyOwner;
  #status: number;
  #statusMessage: string | undefined;
  #headMade = false;
  #headExplicit = false;
  /** While the head is made because of the first write: the length of a body given in one piece, if it is. */
  #implicit: { length: number | undefined } | undefined;
  #ended = false;
  #endedAtOnce = false;
  #finished = false;
  #needDrain = false;
  #error: Error | undefined;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #callbacks: Callback[] = [];
  #sink: BodySink | undefined;
  #passing: Passing | undefined;

  constructor(owner: BodyOwner) {
    this.#owner = owner;
    this.#status = owner.status;
  }

  get ended(): boolean {
    return this.#ended;
  }

  members(
    res: AnyResponse,
    informational: (name: string) => ((...args: unknown[]) => unknown) | undefined,
  ): Record<string, Member> {
    const members: Record<string, Member> = {
      statusCode: { get: () => this.#status, set: (value) => (this.#status = Number(value)) },
      statusMessage: {
        get: () => this.#statusMessage,
        set: (value) => (this.#statusMessage = value as string | undefined),
      },
      headersSent: { get: () => this.#headMade },
      _header: { get: () => (this.#owner.http2 ? this.#headMade : this.#headMade ? 'HTTP/1.1' : null) },
      writableEnded: { get: () => this.#ended },
      // Node looks at it before it emits `drain`: not true before it has to be.
      finished: { get: () => this.#finished, set: (value) => this.#owner.setReal('finished', value) },
      writableFinished: { get: () => this.#finished },
      writableNeedDrain: { get: () => this.#needDrain },
      writableCorked: { get: () => 0 },
      cork: method(() => undefined),
      uncork: method(() => undefined),
      writeHead: chained(res, (...args) => this.#writeHead(args)),
      flushHeaders: method(() => this.#flushHeaders()),
      ...this.#writing(res),
      addTrailers: method((trailers: object) => this.#addTrailers(trailers)),
    };
    if (this.#owner.http2) {
      members['setTrailer'] = method((name: string, value: string) => this.#addTrailers({ [name]: value }));
    }
    for (const name of ['writeContinue', 'writeProcessing', 'writeEarlyHints', 'writeInformation']) {
      if (name in res) members[name] = { get: () => informational(name) };
    }
    return members;
  }

  #writing(res: AnyResponse): Record<'write' | 'end', Member> {
    return {
      write: method((...args: unknown[]) => this.#write(...writeArguments(args))),
      end: chained(res, (...args) => this.#end(...writeArguments(args))),
    };
  }

  divert(sink: BodySink): void {
    this.#sink = sink;
    for (const chunk of this.#takeHeld()) sink.write(chunk);
    void this.#settle(sink);
  }

  /** Nothing that is written from now on has anywhere to go. */
  fail(error: Error): void {
    this.#error = error;
    this.#takeHeld();
    for (const callback of this.#callbacks.splice(0)) process.nextTick(callback, error);
  }

  pass(res: AnyResponse, wire: Wire, { status, headers = {}, range }: PassOptions): void {
    this.#passing = new Passing(res, wire, range);
    if (range !== undefined) {
      // What is cut has to go on passing through here, unless middleware behind us has wrapped it and so calls it anyway.
      for (const [name, member] of Object.entries(this.#writing(res))) {
        if (Reflect.get(res, name) === wire[name as 'write' | 'end']) Reflect.set(res, name, member.get());
      }
    }
    if (this.#error !== undefined || res.headersSent) return;
    this.#owner.headers.applyTo(res);
    for (const [name, value] of Object.entries(headers)) {
      if (value === undefined) res.removeHeader(name);
      else res.setHeader(name, value);
    }
    res.statusCode = status ?? this.#status;
    if (!this.#owner.http2 && this.#statusMessage !== undefined && status === undefined)
      res.statusMessage = this.#statusMessage;
    if (this.trailers.length > 0) this.#passing.addTrailers(this.#trailerFields());
    if (this.#headExplicit) this.#passing.writeHead([res.statusCode]);
    this.#replay(res, this.#passing);
  }

  /** The handler's `close` listeners have run. */
  closed(): void {
    this.#sink?.end();
  }

  #replay(res: AnyResponse, passing: Passing): void {
    const held = this.#takeHeld();
    const callbacks = this.#callbacks.splice(0);
    const called: Callback = (error) => {
      for (const callback of callbacks) callback(error);
    };
    if (this.#ended) {
      // In one piece, so that it gets the length it would have had.
      if (this.#endedAtOnce && held.length === 1) passing.end(held[0], called);
      else {
        for (const chunk of held) passing.write(chunk);
        passing.end(undefined, called);
      }
      return;
    }
    let room = true;
    for (const chunk of held) room = passing.write(chunk);
    process.nextTick(called);
    if (this.#needDrain && room) process.nextTick(() => res.emit('drain'));
    this.#needDrain = false;
  }

  #takeHeld(): Uint8Array[] {
    this.#heldBytes = 0;
    return this.#held.splice(0);
  }

  #writeHead(args: unknown[]): void {
    if (this.#passing !== undefined) {
      this.#passing.writeHead(args);
      return;
    }
    if (this.#headMade) {
      throw coded(
        new Error('Cannot write headers after they are sent to the client'),
        'ERR_HTTP_HEADERS_SENT',
      );
    }
    this.#headExplicit ||= this.#implicit === undefined;
    this.#makeHead(parseWriteHead(args), this.#implicit?.length);
  }

  #flushHeaders(): void {
    if (this.#passing === undefined && !this.#headMade) {
      this.#headExplicit = true;
      this.#implicitHead(undefined);
    }
    this.#passing?.flushHeaders();
  }

  /** @param length of a body given in one piece */
  #makeHead(written: WrittenHead, length: number | undefined): void {
    const { headers } = this.#owner;
    headers.merge(written);
    this.#status = written.status;
    if (written.statusMessage !== undefined) this.#statusMessage = written.statusMessage;
    this.#headMade = true;
    headers.freeze();
    const changes = headers.changes();
    const declared = declaredLength(headers.get('content-length')) ?? length;
    this.#owner.head({
      status: this.#status,
      ...(this.#statusMessage === undefined || this.#owner.http2
        ? {}
        : { statusMessage: this.#statusMessage }),
      headers: changes.headers,
      removed: changes.removed,
      merged: changes.merged,
      all: headers.all(),
      ...(declared === undefined ? {} : { length: declared }),
    });
  }

  #implicitHead(length: number | undefined): void {
    if (this.#headMade) return;
    this.#implicit = { length };
    try {
      this.#owner.writeHead(this.#status);
    } finally {
      this.#implicit = undefined;
    }
  }

  #write(chunk: unknown, encoding: BufferEncoding | undefined, callback: Callback | undefined): boolean {
    const bytes = toBytes(chunk, encoding, callback !== undefined);
    if (this.#refused(callback)) return false;
    if (this.#passing === undefined) this.#implicitHead(undefined);
    if (this.#passing !== undefined) return this.#passing.write(bytes, callback);
    if (this.#hasNoBody()) {
      if (callback !== undefined) process.nextTick(callback);
      return true;
    }
    return this.#take(bytes, callback);
  }

  #end(chunk: unknown, encoding: BufferEncoding | undefined, callback: Callback | undefined): void {
    const bytes =
      chunk === undefined || chunk === null ? undefined : toBytes(chunk, encoding, callback !== undefined);
    if (this.#ended || this.#error !== undefined) {
      if (bytes !== undefined) this.#refused(callback);
      else if (callback !== undefined) process.nextTick(callback, this.#error ?? null);
      return;
    }
    if (this.#passing === undefined && !this.#headMade) {
      this.#implicitHead(bytes?.byteLength ?? 0);
      this.#endedAtOnce = true;
    }
    if (this.#passing !== undefined) {
      this.#ended = true;
      this.#passing.end(bytes, callback);
      return;
    }
    if (bytes !== undefined && !this.#hasNoBody()) this.#take(bytes, undefined);
    if (callback !== undefined) this.#callbacks.push(callback);
    this.#ended = true;
    if (this.#sink !== undefined) void this.#settle(this.#sink);
    else this.#owner.held(true);
  }

  #refused(callback: Callback | undefined): boolean {
    if (this.#error === undefined && !this.#ended) return false;
    const error =
      this.#error === undefined
        ? coded(new Error('write after end'), 'ERR_STREAM_WRITE_AFTER_END')
        : coded(new Error('Cannot call write after a stream was destroyed'), 'ERR_STREAM_DESTROYED');
    if (callback !== undefined) process.nextTick(callback, error);
    if (this.#error === undefined) process.nextTick(() => this.#owner.emit('error', error));
    return true;
  }

  #hasNoBody(): boolean {
    return this.#owner.bodyless || this.#status === 204 || this.#status === 304;
  }

  #take(bytes: Uint8Array, callback: Callback | undefined): boolean {
    let room: boolean;
    if (this.#sink === undefined) {
      this.#held.push(bytes);
      this.#heldBytes += bytes.byteLength;
      room = this.#heldBytes < HELD_BYTES;
      if (!room && !this.#needDrain)
        process.nextTick(() => this.#sink === undefined && !this.#ended && this.#owner.held(false));
    } else {
      room = this.#sink.write(bytes);
    }
    if (callback !== undefined) {
      if (room && this.#sink !== undefined) process.nextTick(callback);
      else this.#callbacks.push(callback);
    }
    if (!room) {
      const waiting = this.#needDrain;
      this.#needDrain = true;
      if (!waiting && this.#sink !== undefined) void this.#settle(this.#sink);
    }
    return room;
  }

  /** Once the sink has room: tells the handler to go on, or that it has finished. */
  async #settle(sink: BodySink): Promise<void> {
    await sink.drained();
    if (this.#error !== undefined || this.#finished) return;
    if (!this.#ended) {
      for (const callback of this.#callbacks.splice(0)) callback();
      if (!this.#needDrain) return;
      this.#needDrain = false;
      this.#owner.emit('drain');
      return;
    }
    this.#finished = true;
    for (const callback of this.#callbacks.splice(0)) callback();
    this.#owner.emit('prefinish');
    this.#owner.emit('finish');
    this.#owner.finished();
  }

  #trailerFields(): Record<string, string[]> {
    const fields: Record<string, string[]> = {};
    for (const [name, value] of this.trailers) fields[name] = [...(fields[name] ?? []), value];
    return fields;
  }

  #addTrailers(trailers: object): void {
    if (this.#passing !== undefined) {
      this.#passing.addTrailers(trailers);
      return;
    }
    const pairs = Array.isArray(trailers) ? (trailers as [string, unknown][]) : Object.entries(trailers);
    for (const [name, value] of pairs) {
      for (const line of Array.isArray(value) ? value : [value]) this.trailers.push([name, String(line)]);
    }
  }
}
