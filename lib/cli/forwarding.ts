// docs/guides/command-line.md

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Response } from 'node-fetch';

/** The name by which this proxy goes in Via (RFC 9110 7.6.3). */
const PSEUDONYM = 'cache-filter';

/** Fields that belong to one connection (RFC 9110 7.6.1), lower-case; besides those that Connection names. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Fields that Node writes itself, or has dealt with: it has answered the expectation before we saw the request. */
const OURS: ReadonlySet<string> = new Set(['host', 'expect', 'via', 'x-forwarded-for']);

/**
 * A request's headers as they go to the origin, in the names they came in (lower-case). Without the hop-by-hop ones; `Host` becomes
 * the origin's own. The caller's address is appended to X-Forwarded-For; X-Forwarded-Proto and -Host are set where a proxy
 * in front of us has not set them.
 */
export function requestHeaders(req: IncomingMessage): [name: string, value: string][] {
  const perConnection = namesIn(req.headers.connection);
  const headers: [string, string][] = [];
  for (const [name, value] of Object.entries(req.headers)) {
    if (value === undefined || HOP_BY_HOP.has(name) || OURS.has(name) || perConnection.has(name)) continue;
    for (const line of Array.isArray(value) ? value : [value]) headers.push([name, line]);
  }
  const has = (name: string) => headers.some(([each]) => each === name);
  const { remoteAddress } = req.socket;
  const forwardedFor = [req.headers['x-forwarded-for'], remoteAddress].filter((each) => each !== undefined);
  if (forwardedFor.length > 0) headers.push(['x-forwarded-for', forwardedFor.join(', ')]);
  if (!has('x-forwarded-proto')) headers.push(['x-forwarded-proto', 'http']);
  if (!has('x-forwarded-host') && req.headers.host !== undefined) {
    headers.push(['x-forwarded-host', req.headers.host]);
  }
  headers.push(['via', via(req.headers.via, req.httpVersion)]);
  // Where the caller says nothing, node-fetch would say that it is node-fetch.
  if (!has('user-agent')) headers.push(['user-agent', PSEUDONYM]);
  return headers;
}

/**
 * The headers of a question about a request, rather than of the request itself: whose it is, and nothing of which part of what
 * it wants.
 */
export function questionHeaders(req: IncomingMessage): [name: string, value: string][] {
  const about = (name: string) =>
    name === 'range' || name === 'accept' || name === 'accept-encoding' || /^(if|content)-/.test(name);
  return [
    ...requestHeaders(req).filter(([name]) => !about(name)),
    ['accept', 'application/json'],
    ['accept-encoding', 'identity'],
  ];
}

/** Puts a response's status and headers on `res`: without the hop-by-hop ones, repeated fields repeated. */
export function copyHead(response: Response, res: ServerResponse): void {
  res.statusCode = response.status;
  res.statusMessage = response.statusText;
  const perConnection = namesIn(response.headers.get('connection') ?? undefined);
  for (const [name, values] of Object.entries(response.headers.raw())) {
    if (HOP_BY_HOP.has(name) || perConnection.has(name) || name === 'via') continue;
    const [only] = values;
    res.setHeader(name, values.length === 1 && only !== undefined ? only : values);
  }
  res.setHeader('via', via(response.headers.get('via') ?? undefined, '1.1'));
}

/** How often a request has come through this proxy. */
export function timesSeen(req: IncomingMessage): number {
  return (req.headers.via ?? '').split(PSEUDONYM).length - 1;
}

function via(before: string | undefined, version: string): string {
  return [before, `${version} ${PSEUDONYM}`].filter((each) => each !== undefined).join(', ');
}

function namesIn(connection: string | undefined): Set<string> {
  return new Set((connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
}
