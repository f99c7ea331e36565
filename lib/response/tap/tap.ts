// docs/reference/response-during-a-fill.md

import { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { IncompleteError } from '../../errors.ts';
import type { HeaderPairs } from '../../http/body.ts';
import { type AnyRequest, type AnyResponse, isHttp2 } from '../../http/message.ts';
import { type BodySink, type PassOptions, VirtualBody } from './body.ts';
import { SplitEvents } from './events.ts';
import type { TappedHead } from './head.ts';
import { coded, type Unanswered, unanswered, VirtualHeaders } from './headers.ts';
import { wireOf } from './passing.ts';
import { type VirtualSocket, virtualSocket } from './socket.ts';
import { chained, type Member, method, Overlay, Scope } from './view.ts';
import { wireTo } from './wire.ts';

export interface TapListener {
  /** Called once, within the handler's own call. Answer, then or later, with `divert` or `pass`; until then the body waits. */
  head(head: TappedHead): void;
  /** The handler gave up before the end of its response: it destroyed it, or its socket. Not called once passing. */
  failed(error: Error): void;
  /** The body waits, and has ended, or no more of it can be held. Only if neither `divert` nor `pass` answered the head. */
  held?(ended: boolean): void;
  /** The handler answers by other means (`res.stream` on HTTP/2); the tap is off. */
  aside(): void;
}

export interface TapOptions {
  /** Request fields that the handler shall not see, lower-case. */
  hide?: readonly string[];
  /**
   * The client is being answered already, by something else, as `scope.asReal`: nothing of the handler's goes to it, and `pass` is only
   * for when it has left.
   */
  underWay?: { scope: Scope; before: Unanswered };
}

/** What would lead past us to a client that the handler has done with. */
const WRITING = ['write', 'end'];

/**
 * Puts a virtual response in front of the handler: same `req` and `res`, but what it writes goes where the listener says, and what
 * happens to the client is not its concern. It ends by itself when the handler's response ends.
 */
export class Tap {
  readonly #req: AnyRequest;
  readonly #res: AnyResponse;
  readonly #scope: Scope;
  readonly #listener: TapListener;
  readonly #reqOverlay: Overlay<AnyRequest>;
  readonly #resOverlay: Overlay<AnyResponse>;
  readonly #reqEvents: SplitEvents;
  readonly #resEvents: SplitEvents;
  readonly #sockets: VirtualSocket[] = [];
  readonly #headers: VirtualHeaders;
  readonly #body: VirtualBody;
  /** The client has left. `unread`: before the end of its request, which the handler may be waiting for. */
  #departed: { reqDestroyed: unknown; unread: boolean } | undefined;
  #failure: Error | undefined;
  readonly #aborter = new AbortController();
  readonly #underWay: boolean;
  #reqClosed = false;
  #over = false;

  constructor(req: AnyRequest, res: AnyResponse, listener: TapListener, options: TapOptions = {}) {
    this.#req = req;
    this.#res = res;
    this.#listener = listener;
    const { scope = new Scope(res), before = unanswered(res) } = options.underWay ?? {};
    this.#underWay = options.underWay !== undefined;
    this.#scope = scope;
    const http2 = isHttp2(res);
    this.#headers = new VirtualHeaders(before, http2);
    this.#body = new VirtualBody({
      http2,
      headers: this.#headers,
      status: before.status,
      bodyless: req.method === 'HEAD',
      head: (head) => listener.head(head),
      held: (ended) => listener.held?.(ended),
      writeHead: (status) => this.#scope.asVirtual(() => void (res as ServerResponse).writeHead(status)),
      emit: (type, ...args) => this.#resEvents.emitVirtual(type, ...args),
      setReal: (name, value) => this.#resOverlay.setReal(name, value),
      finished: () => this.#finished(),
    });
    this.#resEvents = new SplitEvents(res as EventEmitter, this.#scope);
    this.#reqEvents = new SplitEvents(req as EventEmitter, this.#scope);

    const socket = this.#virtual(req.socket as Duplex | null);
    const stream = 'stream' in res ? this.#virtual(res.stream as Duplex) : undefined;
    const shared: Record<string, Member> = {
      // Node sets it when it is this response's turn on the connection.
      socket: { get: () => socket, set: (value) => this.#resOverlay.setReal('socket', value) },
      connection: { get: () => socket },
      __onFinished: { get: () => undefined },
      ...(stream === undefined ? {} : { stream: { get: () => stream } }),
    };
    this.#resOverlay = new Overlay(res, this.#scope, {
      ...shared,
      ...this.#headers.members(res),
      ...this.#body.members(res, (name) => this.#informational(name)),
      ...this.#resEvents.members((type, args) => this.#routeResponseEvent(type, args)),
      destroy: chained(res, (error?: Error) => this.#fail(error)),
      // Node's: it is the client's turn on the connection.
      ...this.#asReal('assignSocket'),
      // Node sets these two on what it takes for the client's response.
      destroyed: {
        get: () => this.#failure !== undefined,
        set: (value) => this.#resOverlay.setReal('destroyed', value),
      },
      _closed: {
        // Node looks at it before it says that the client's response is over.
        get: () => this.#failure !== undefined && this.#resOverlay.real('_closed'),
        set: (value) => this.#resOverlay.setReal('_closed', value),
      },
      closed: { get: () => this.#failure !== undefined },
      errored: { get: () => this.#failure ?? null },
    });
    this.#reqOverlay = new Overlay(req, this.#scope, {
      ...shared,
      ...this.#reqEvents.members((type, args) => this.#routeRequestEvent(type, args)),
      ...hiddenFields(req, options.hide ?? []),
      destroy: chained(req, (error?: Error) => this.#destroyRequest(error)),
      destroyed: {
        get: () =>
          this.#failure !== undefined || (this.#departed?.reqDestroyed ?? this.#reqOverlay.real('destroyed')),
        set: (value) => this.#reqOverlay.setReal('destroyed', value),
      },
      aborted: { get: () => false, set: (value) => this.#reqOverlay.setReal('aborted', value) },
      ...('signal' in req ? { signal: { get: () => this.#aborter.signal } } : {}),
    });
  }

  /** The client's response, to be used by us while the handler has the other. */
  get wire(): AnyResponse {
    return wireTo(this.#res, this.#scope);
  }

  /** Whether the client has left. */
  get departed(): boolean {
    return this.#departed !== undefined;
  }

  /** Whether the handler gave up before the end of its response. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Trailers that the handler added; complete once the sink's `end` has been called. */
  get trailers(): HeaderPairs {
    return this.#body.trailers;
  }

  /** What the handler writes goes to `sink`. */
  divert(sink: BodySink): void {
    this.#body.divert(sink);
  }

  /** The tap comes off: what the handler has written so far, and all that follows, goes to the client. */
  pass(options: PassOptions = {}): void {
    if (this.#over) return;
    this.#over = true;
    const listeners = this.#resEvents.take();
    const requestListeners = this.#reqEvents.take();
    const wire = wireOf(this.#resOverlay);
    this.#resOverlay.remove(true);
    this.#reqOverlay.remove(true);
    for (const [type, listener] of listeners) this.#res.on(type as string, listener);
    for (const [type, listener] of requestListeners) listen(this.#req, type, listener);
    for (const socket of this.#sockets) socket.unveil();
    if (this.#departed === undefined) {
      this.#res.once('close', () => {
        if (!this.#res.writableFinished) this.#aborter.abort();
      });
    } else {
      this.#aborter.abort();
      // Theirs to hear only now: until here the client's leaving was none of the handler's business.
      for (const [type, listener] of requestListeners) if (type === 'aborted') listener.call(this.#req);
      for (const [type, listener] of requestListeners) if (type === 'close') listener.call(this.#req);
      for (const over of isHttp2(this.#res) ? ['finish', 'close'] : ['close'])
        for (const [type, listener] of listeners) if (type === over) listener.call(this.#res);
    }
    this.#body.pass(this.#res, wire, options);
  }

  /** Ends the handler's response as failed, when it threw rather than say so itself. */
  fail(error: Error): void {
    this.#fail(error);
  }

  #asReal(name: string): Record<string, Member> {
    if (!(name in this.#res)) return {};
    const real = (...args: unknown[]) =>
      this.#scope.asReal(() => (this.#resOverlay.real(name) as () => unknown).apply(this.#res, args as []));
    return { [name]: method(real) };
  }

  #virtual(real: Duplex | null): Duplex | null {
    if (real === null) return null;
    const socket = virtualSocket(real, {
      destroyed: (error) => this.#fail(error),
      taken: () => this.#aside(),
    });
    this.#sockets.push(socket);
    return socket.proxy;
  }

  /** The handler speaks to the connection itself. */
  #aside(): void {
    if (this.#over || this.#failure !== undefined) return;
    if (this.#underWay)
      throw coded(new Error('Response has already been initiated.'), 'ERR_HTTP2_HEADERS_SENT');
    this.#listener.aside();
    this.pass();
  }

  #routeResponseEvent(type: string | symbol, args: unknown[]): boolean {
    switch (type) {
      case 'close':
        this.#depart();
        if (this.#over) process.nextTick(() => this.#unveil());
        return this.#resEvents.emitReal(this.#resOverlay as unknown as Overlay<EventEmitter>, type, args);
      case 'finish':
      case 'prefinish':
      case 'drain':
      case 'socket':
        return this.#resEvents.emitReal(this.#resOverlay as unknown as Overlay<EventEmitter>, type, args);
      case 'timeout': {
        const heard = this.#resEvents.emitReal(
          this.#resOverlay as unknown as Overlay<EventEmitter>,
          type,
          args,
        );
        return this.#resEvents.emitVirtual(type, ...args) || heard;
      }
      default:
        return this.#resEvents.emitVirtual(type, ...args);
    }
  }

  #routeRequestEvent(type: string | symbol, args: unknown[]): boolean {
    if (type === 'aborted' || (type === 'error' && isReset(args[0]))) this.#depart();
    const ofDeparture =
      this.#departed?.unread === false && (type === 'aborted' || type === 'error' || type === 'close');
    const heard = this.#reqEvents.emitReal(this.#reqOverlay as unknown as Overlay<EventEmitter>, type, args);
    if (ofDeparture) return heard;
    if (type === 'close') this.#reqClosed = true;
    return this.#reqEvents.emitVirtual(type, ...args) || heard;
  }

  #depart(): void {
    const { complete, readableEnded } = this.#req;
    // On HTTP/2 an aborted request calls itself complete.
    const read = 'stream' in this.#res ? readableEnded || this.#res.stream.endAfterHeaders : complete;
    this.#departed ??= { reqDestroyed: this.#reqOverlay.real('destroyed'), unread: !read };
  }

  /** Node destroys a request that has been read to its end, and that of a client that left; so does a handler that gives up. */
  #destroyRequest(error: Error | undefined): void {
    const left = isReset(error) && error.message === 'aborted';
    if (!left && !this.#req.readableEnded) {
      this.#fail(error);
      return;
    }
    if (left) this.#depart();
    const destroy = this.#reqOverlay.real('destroy') as (error?: Error) => void;
    this.#scope.asReal(() => destroy.call(this.#req, error));
  }

  #fail(error: Error | undefined): void {
    if (this.#over || this.#failure !== undefined || this.#body.ended) return;
    this.#failure = error ?? new IncompleteError('the application destroyed its response before its end');
    this.#body.fail(this.#failure);
    this.#listener.failed(this.#failure);
    this.#aborter.abort();
    process.nextTick(() => this.#leave(true));
  }

  #finished(): void {
    process.nextTick(() => {
      this.#leave(false);
      this.#body.closed();
    });
  }

  /** The handler's response is over: its listeners hear `close`, and what it does from now on does not reach the client. */
  #leave(failed: boolean): void {
    if (this.#over) return;
    this.#over = true;
    if (failed) {
      for (const socket of this.#sockets) socket.close(true);
      this.#reqEvents.emitVirtual('aborted');
    }
    this.#resEvents.emitVirtual('close');
    if (!this.#reqClosed) this.#reqEvents.emitVirtual('close');
    for (const socket of this.#sockets) socket.unveil();
    // A handler that failed goes on seeing that: others may go on with what it began.
    if (failed && !this.departed) return;
    this.#resOverlay.remove(false, this.departed ? [] : WRITING);
    this.#reqOverlay.remove(false);
  }

  /** The client's response is over: there is one face again. */
  #unveil(): void {
    this.#resOverlay.remove(false);
    this.#reqOverlay.remove(false);
  }

  /** 1xx goes straight through, while there is a client. */
  #informational(name: string): ((...args: unknown[]) => unknown) | undefined {
    const real = this.#resOverlay.real(name);
    if (typeof real !== 'function') return undefined;
    const unheard = () => this.departed || this.#underWay;
    return (...args) => (unheard() ? undefined : this.#scope.asReal(() => real.apply(this.#res, args)));
  }
}

function isReset(error: unknown): error is Error {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
}

/** Registers without the side effects that `on('data')` has on a stream. */
function listen(target: AnyRequest, type: string | symbol, listener: (...args: unknown[]) => void): void {
  EventEmitter.prototype.on.call(target as EventEmitter, type, listener);
}

function hiddenFields(req: AnyRequest, hide: readonly string[]): Record<string, Member> {
  if (hide.length === 0) return {};
  const headers: IncomingHttpHeaders = { ...req.headers };
  for (const name of hide) delete headers[name];
  const rawHeaders: string[] = [];
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const name = req.rawHeaders[i] ?? '';
    if (!hide.includes(name.toLowerCase())) rawHeaders.push(name, req.rawHeaders[i + 1] ?? '');
  }
  const members: Record<string, Member> = {
    headers: { get: () => headers },
    rawHeaders: { get: () => rawHeaders },
  };
  if ('headersDistinct' in req) {
    const distinct = { ...req.headersDistinct };
    for (const name of hide) delete distinct[name];
    members['headersDistinct'] = { get: () => distinct };
  }
  return members;
}
