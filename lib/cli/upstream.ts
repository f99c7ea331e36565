// docs/guides/command-line.md

import type { Agent } from 'node:http';
import type { Readable } from 'node:stream';
import createDebug from 'debug';
import fetch, { type Headers, type Response } from 'node-fetch';
import { keepingAgent } from './agent.ts';
import { HttpError } from './http-error.ts';

const debug = createDebug('cache-filter:cli:upstream');

export interface UpstreamRequest {
  method: string;
  headers: Iterable<readonly [name: string, value: string]>;
  /** Sent as it comes. It is destroyed when the request fails. */
  body?: Readable | undefined;
  /** Ends the request, or the response that is being read. */
  signal: AbortSignal;
}

/** A server that requests are sent to, over connections that are kept. */
export class Upstream {
  readonly url: URL;
  readonly #timeoutMs: number;
  readonly #agent: Agent;

  /**
   * @param url where the paths of requests are appended; a path in it is kept in front of them
   * @param timeoutMs how long the server may take to begin its answer, from the last byte that it was sent; and how long a
   *   client may take for the next piece of a request's body
   */
  constructor(url: URL, timeoutMs: number) {
    this.url = url;
    this.#timeoutMs = timeoutMs;
    this.#agent = keepingAgent(url.protocol);
  }

  /**
   * Resolves with the head; the body is a stream of raw bytes. Redirects are not followed.
   *
   * @param target path and query, beginning with '/'; undefined: the URL itself
   * @throws HttpError, 502, 504 or 408, when there is no answer; whatever `signal` was aborted with
   */
  async request(target: string | undefined, request: UpstreamRequest): Promise<Response> {
    try {
      return await this.#attempt(target, request);
    } catch (error) {
      if (!mayRepeat(error, request)) throw error;
      debug('%s %s: the kept connection was gone, once more', request.method, target ?? this.url.pathname);
      return await this.#attempt(target, request);
    }
  }

  async #attempt(target: string | undefined, request: UpstreamRequest): Promise<Response> {
    const { method, headers, body, signal } = request;
    signal.throwIfAborted();
    // By string, never by `new URL(target, base)`: '//elsewhere/x' has to stay a path.
    const url =
      target === undefined ? this.url.href : this.url.origin + this.url.pathname.replace(/\/$/, '') + target;
    const ended = new AbortController();
    const leave = () => ended.abort();
    signal.addEventListener('abort', leave, { once: true });
    let timedOut = false;
    let waitsForClient = false;
    const timer = setTimeout(() => {
      timedOut = true;
      waitsForClient = body !== undefined && !body.readableEnded && body.readableLength === 0;
      ended.abort();
    }, this.#timeoutMs);
    try {
      const answer = fetch(url, {
        method,
        headers,
        body: body ?? null,
        agent: this.#agent,
        signal: ended.signal,
        redirect: 'manual',
        compress: false,
        size: 0,
      });
      // After fetch has attached itself to the body, so that this listener doesn't set it flowing too early.
      body?.on('data', () => timer.refresh());
      const response = await answer;
      debug('%s %s: %d', method, url, response.status);
      // From here on the caller's signal ends the body.
      response.body?.once('close', () => signal.removeEventListener('abort', leave));
      return response;
    } catch (error) {
      signal.removeEventListener('abort', leave);
      signal.throwIfAborted();
      debug('%s %s: %o', method, url, error);
      if (!timedOut) throw new HttpError(502, `no answer (${reasonOf(error)})`, { cause: error });
      const seconds = this.#timeoutMs / 1000;
      if (waitsForClient)
        throw new HttpError(408, `no more of the request within ${seconds} s`, { cause: error });
      throw new HttpError(504, `no answer within ${seconds} s`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Asks a question with a short answer. Of a longer one only the beginning is read: `maxBytes`, and what came along with it.
   * Otherwise like `request`; the whole answer has to come within the timeout, once it has begun.
   */
  async ask(
    target: string | undefined,
    request: Omit<UpstreamRequest, 'body'>,
    maxBytes: number,
  ): Promise<{ status: number; headers: Headers; text: string }> {
    const response = await this.request(target, request);
    const body = response.body as Readable;
    const late = setTimeout(() => {
      body.destroy(new HttpError(504, `no end of the answer within ${this.#timeoutMs / 1000} s`));
    }, this.#timeoutMs);
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        bytes += chunk.length;
        // Leaving the loop destroys the stream, and with it the connection.
        if (bytes > maxBytes) break;
      }
    } catch (error) {
      request.signal.throwIfAborted();
      if (error instanceof HttpError) throw error;
      throw new HttpError(502, `no whole answer (${reasonOf(error)})`, { cause: error });
    } finally {
      clearTimeout(late);
    }
    return { status: response.status, headers: response.headers, text: Buffer.concat(chunks).toString() };
  }

  /** Ends the connections. */
  close(): void {
    this.#agent.destroy();
  }
}

/**
 * A connection that was kept may have been closed by the other side just as it was taken up again. That looks like a reset
 * before the answer, and repeating is safe for what asks for nothing to be done (RFC 9110 9.2.2).
 */
function mayRepeat(error: unknown, { method, body }: UpstreamRequest): boolean {
  if (!(error instanceof HttpError) || body !== undefined || !['GET', 'HEAD'].includes(method)) return false;
  const code = (error.cause as { code?: unknown }).code;
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : 'unusable';
}
