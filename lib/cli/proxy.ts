// docs/guides/command-line.md

import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import createDebug from 'debug';
import { copyHead, requestHeaders, timesSeen } from './forwarding.ts';
import { HttpError } from './http-error.ts';
import type { Upstream } from './upstream.ts';

const debug = createDebug('cache-filter:cli:proxy');

export type Handler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;

/** Enough for any chain of caches; more is a ring. */
const MAX_TIMES_SEEN = 8;

/**
 * Answers every request with what the origin answers: bodies stream both ways with back-pressure, their bytes untouched.
 * A failure before the origin's head goes to `next` (502, 504); one after it breaks the response off, so that it can't
 * be taken for whole. When the client leaves, the origin's response is given up.
 */
export function reverseProxy(origin: Upstream): Handler {
  return function proxy(req, res, next) {
    forward(origin, req, res).catch((error: unknown) => next(error));
  };
}

async function forward(origin: Upstream, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const method = req.method ?? 'GET';
  const target = req.url ?? '/';
  if (timesSeen(req) > MAX_TIMES_SEEN) throw new HttpError(508, 'the origin leads back to this proxy');
  const hasBody = 'transfer-encoding' in req.headers || Number(req.headers['content-length'] ?? 0) > 0;
  if (hasBody && (method === 'GET' || method === 'HEAD')) {
    throw new HttpError(501, `a ${method} request with a body can't be passed on`);
  }
  // The response's 'close', not the request's: while a fill runs, the filter decides what a departure means for it.
  const left = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) left.abort();
  });
  const body = hasBody ? shielded(req) : undefined;
  const headers = requestHeaders(req);
  if (hasBody && !headers.some(([name]) => name === 'content-length')) {
    // Said aloud: with some methods Node would send the body unframed, and the origin would take it for the next request.
    headers.push(['transfer-encoding', 'chunked']);
  }
  let response: Awaited<ReturnType<Upstream['request']>>;
  try {
    response = await origin.request(target, {
      method,
      headers,
      body,
      signal: left.signal,
    });
  } catch (error) {
    if (left.signal.aborted) return;
    // What is still to come of the request is read and dropped, so that the client can read the answer.
    req.unpipe().resume();
    throw error;
  }
  const upstream = response.body as Readable;
  if (left.signal.aborted) {
    upstream.destroy();
    return;
  }
  copyHead(response, res);
  if (req.httpVersionMinor === 0 && !res.hasHeader('content-length')) {
    // Delimited by the end of the connection: only a reset tells that from a clean end.
    upstream.once('error', () => res.socket?.resetAndDestroy?.());
  }
  // The head doesn't wait for the first byte of the body.
  if (method !== 'HEAD') res.flushHeaders();
  try {
    await pipeline(upstream, res);
  } catch (error) {
    debug('%s %s broke off: %o', method, target, error);
  }
}

/**
 * The request's body as a stream that may be destroyed: destroying the request itself would take the client's connection with it, and
 * the answer that is still to be given there. A body that breaks off fails here too, so that the origin never sees a clean end.
 */
function shielded(req: IncomingMessage): Readable {
  const body = new PassThrough({ highWaterMark: 256 * 1024 });
  // Whoever reads it handles its errors; it may fail before anybody does.
  body.on('error', () => {});
  req.once('close', () => {
    if (!req.complete) body.destroy(new Error('the client left before the end of its request'));
  });
  return req.pipe(body);
}
