import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import createDebug from 'debug';
import fetch from 'node-fetch';
import { OriginError, type OriginReason } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import { tapped } from './agents.ts';
import { OriginBody } from './body.ts';
import { endToEnd, pairsOf, sentFields } from './fields.ts';
import type { OriginResponse } from './request.ts';

const debug = createDebug('cache-filter:origin');

export interface Ask {
  url: URL;
  method: string;
  headers: HeaderPairs;
  body?: Readable | undefined;
  signal: AbortSignal;
  agent: Agent;
  /** Over a new connection. */
  fresh?: boolean;
  connectTimeoutMs: number;
  headTimeoutMs: number;
  stallTimeoutMs: number;
}

export type Outcome = { answer: Omit<OriginResponse, 'target'>; failed?: never } | { failed: Failure };

export interface Failure {
  error: OriginError;
  /** A connection that was kept had been closed by the other side: nothing is said about the host. */
  stale: boolean;
  /** It may go better the next time. */
  again: boolean;
  /** It was the host's doing. */
  blames: boolean;
}

/** What became of the one request that node-fetch sends. */
class Wire {
  readonly #ask: Ask;
  request: ClientRequest | undefined;
  message: IncomingMessage | undefined;
  chunked = false;
  /** The first error of the request; after the head it says that the body can't be relied on. */
  fault: Error | undefined;
  /** Which limit ended it. */
  late: { error: OriginError; blames: boolean } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** Called before the request is sent, and before node-fetch listens to it: these listeners are the first ones. */
  attach(request: ClientRequest): void {
    const { headers, body, connectTimeoutMs } = this.#ask;
    this.request = request;
    // node-fetch adds it.
    if (!headers.some(([name]) => name.toLowerCase() === 'accept')) request.removeHeader('accept');
    request.on('error', (error) => {
      this.fault ??= error;
    });
    request.once('response', (message) => {
      this.#clear();
      this.message = message;
      this.chunked = message.headers['transfer-encoding'] !== undefined;
      // node-fetch looks for the end of a chunked body itself, in the last five bytes of what arrived, which trailers or the borders of
      // packets make look different, and ends bodies that are whole. It only looks where this says chunked; Node knows the end better.
      delete message.headers['transfer-encoding'];
    });
    this.#limit('timeout', connectTimeoutMs, 'no connection');
    request.once('socket', (socket: Socket & { secureConnecting?: boolean }) => {
      const connected = () => {
        if (body !== undefined && !request.writableFinished) this.#awaitBody(body);
      };
      if (socket.secureConnecting === true) socket.once('secureConnect', connected);
      else if (socket.connecting) socket.once('connect', connected);
      else connected();
    });
    request.once('finish', () => {
      if (this.message === undefined) this.#limit('timeout', this.#ask.headTimeoutMs, 'no answer');
    });
  }

  /** The time that a request's body takes is held against nobody, as long as it moves. */
  #awaitBody(body: Readable): void {
    const { headTimeoutMs } = this.#ask;
    const starved = () => !body.readableEnded && body.readableLength === 0;
    this.#limit('timeout', headTimeoutMs, 'nothing more could be sent of the request', () => !starved());
    const timer = this.#timer;
    body.on('data', () => timer?.refresh());
  }

  #limit(reason: OriginReason, ms: number, what: string, blames: () => boolean = () => true): void {
    this.#clear();
    if (ms === 0) return;
    this.#timer = setTimeout(() => {
      const message = `${whatOf(this.#ask)}: ${what} within ${ms / 1000} s`;
      this.late = { error: new OriginError(reason, message), blames: blames() };
      this.request?.destroy();
    }, ms).unref();
  }

  #clear(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.#clear();
  }
}

/**
 * One request, sent once. Redirects are not followed.
 *
 * @throws what the signal was aborted with; TypeError for fields that can't be sent
 */
export async function attempt(ask: Ask): Promise<Outcome> {
  const { url, method, headers, body, signal } = ask;
  signal.throwIfAborted();
  const wire = new Wire(ask);
  const abort = () => wire.request?.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const { body: source } = await fetch(url.href, {
      method,
      headers: [...sentFields(headers, body !== undefined)] as [string, string][],
      body: body ?? null,
      agent: tapped(ask.agent, ask.fresh === true, (request) => wire.attach(request)),
      redirect: 'manual',
      compress: false,
      size: 0,
    });
    signal.removeEventListener('abort', abort);
    const answer = answerOf(ask, wire, wire.message as IncomingMessage, source as Readable);
    debug('%s: %d', whatOf(ask), answer.status);
    return { answer };
  } catch (error) {
    signal.removeEventListener('abort', abort);
    wire.request?.destroy();
    body?.destroy();
    signal.throwIfAborted();
    // Before anything was sent: what was to be sent is at fault.
    if (wire.request === undefined) throw error;
    const failed = failureOf(ask, wire, error as Error);
    debug('%s', failed.error.message);
    return { failed };
  } finally {
    wire.end();
  }
}

function answerOf(
  ask: Ask,
  wire: Wire,
  message: IncomingMessage,
  source: Readable,
): Omit<OriginResponse, 'target'> {
  const { method, signal, url, stallTimeoutMs } = ask;
  const status = message.statusCode ?? 0;
  const declared = message.headers['content-length'];
  const empty = method === 'HEAD' || status === 204 || status === 304;
  const length = empty ? 0 : wire.chunked || declared === undefined ? undefined : Number(declared);
  const body = new OriginBody(source, {
    length,
    stallTimeoutMs,
    what: whatOf(ask),
    fault: () => wire.fault ?? (message.complete ? undefined : new Error('the connection ended before')),
  });
  // Its errors are told to whoever reads it; it may fail before anybody does.
  body.on('error', () => {});
  const leave = () => body.destroy(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  const done = () => signal.removeEventListener('abort', leave);
  body.once('close', done);
  // An abort of between the head and here.
  if (signal.aborted) leave();
  // Nothing comes: the connection need not wait for somebody to read that.
  else if (length === 0) source.once('end', done).resume();
  return {
    status,
    statusMessage: message.statusMessage ?? '',
    headers: endToEnd(pairsOf(message.rawHeaders)),
    url: url.href,
    delimited: wire.chunked ? 'chunked' : length === undefined ? 'close' : 'length',
    body,
  };
}

function failureOf(ask: Ask, wire: Wire, thrown: Error): Failure {
  if (wire.late !== undefined) return { ...wire.late, stale: false, again: true };
  const cause = wire.fault ?? thrown;
  const code = String((cause as { code?: unknown }).code ?? 'unusable');
  const options = { cause };
  if (code.startsWith('HPE_')) {
    const error = new OriginError('broken', `${whatOf(ask)}: what came is no answer (${code})`, options);
    return { error, stale: false, again: false, blames: true };
  }
  const error = new OriginError('unreachable', `${whatOf(ask)}: no answer (${code})`, options);
  const stale = wire.request?.reusedSocket === true && (code === 'ECONNRESET' || code === 'EPIPE');
  return { error, stale, again: true, blames: ask.body?.errored == null };
}

function whatOf({ method, url }: Ask): string {
  return `${method} ${url.host}`;
}
