// docs/guides/command-line.md

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { CacheFilterError } from '../errors.ts';
import { challengeFor } from './challenge.ts';
import { HttpError } from './http-error.ts';

/** Answers with a line of text of our own. */
export function answerText(res: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`;
  res.statusCode = status;
  res.statusMessage = STATUS_CODES[status] ?? '';
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  res.setHeader('Content-Length', Buffer.byteLength(body));
  res.setHeader('Cache-Control', 'no-store');
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.end(body);
}

/**
 * Answers with the status of an error, and with the message of our own ones. Where the response has already begun it is broken
 * off, so that the client can see that something is missing.
 */
export function answerError(req: IncomingMessage, res: ServerResponse, error: unknown): void {
  const known = error instanceof HttpError || error instanceof CacheFilterError;
  // Anything else is a mistake in a program, and nobody else would hear of it.
  if (!known) console.error(`${req.method} ${req.url}:`, error);
  if (res.headersSent) {
    res.destroy();
    return;
  }
  // What a handler had set for the answer that it could not give.
  for (const name of res.getHeaderNames()) if (name !== 'cache-status') res.removeHeader(name);
  const status = known ? error.status : 500;
  const challenge = challengeFor(req);
  if (status === 401 && challenge !== undefined) res.setHeader('WWW-Authenticate', challenge);
  const title = `${status} ${STATUS_CODES[status] ?? 'Error'}`;
  answerText(res, status, error instanceof HttpError ? `${title}: ${error.message}` : title);
}

/** The answers to `/-/live` (the process works) and `/-/ready` (it wants traffic); undefined for other requests. */
export function probeAnswer(
  { method, url }: IncomingMessage,
  draining: boolean,
): { status: number; text: string } | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (url === '/-/live') return { status: 200, text: 'ok' };
  if (url === '/-/ready')
    return draining ? { status: 503, text: 'draining' } : { status: 200, text: 'ready' };
  return undefined;
}
