import type { IncomingMessage, ServerResponse } from 'node:http';
import cors from 'cors';
import session from 'express-session';
import type { Handler, Kind } from '../support/servers.ts';
import { beside, type Case, type Group } from './case.ts';
import { secretOf } from './wire.ts';

/** What names one user, one response or one connection; the rest of the response is for everybody, and kept. */
const dropped = (field: string, rule: string, value = (secret: string) => secret): Case => ({
  name: field,
  rule,
  fate: 'without',
  handler: beside((res, secret) => res.setHeader(field, value(secret))),
});

const own: readonly Case[] = [
  dropped('WWW-Authenticate', 'RFC 9110, 11.6.1', (secret) => `Digest nonce="${secret}"`),
  dropped('Authentication-Info', 'RFC 9110, 11.6.3', (secret) => `nextnonce="${secret}"`),
  dropped('Proxy-Authenticate', 'RFC 9110, 11.7.1', (secret) => `Digest nonce="${secret}"`),
  dropped('Proxy-Authentication-Info', 'RFC 9110, 11.7.3', (secret) => `nextnonce="${secret}"`),
  dropped('Authorization', 'a request field; some send it back'),
  dropped('Proxy-Authorization', 'RFC 9110, 11.7.2'),
  dropped('X-Auth-Token', 'OpenStack: a session'),
  dropped('X-Subject-Token', 'OpenStack: a session'),
  dropped('X-Image-Meta-Location', 'CVE-2013-1840: credentials of a store'),
  dropped('Set-Cookie2', 'RFC 2965', (secret) => `sid="${secret}"; Version=1`),
  dropped('Clear-Site-Data', 'W3C: about one browser', (secret) => `"${secret}"`),
  dropped('Alt-Svc', 'RFC 7838: about one connection', (secret) => `h2="${secret}:443"`),
  dropped('Server-Timing', 'W3C: about one response', (secret) => `db;desc="${secret}"`),
  dropped('Keep-Alive', 'RFC 9110, 7.6.1', (secret) => `id=${secret}`),
  dropped('Proxy-Connection', 'RFC 9110, 7.6.1'),
  dropped('TE', 'RFC 9110, 7.6.1', (secret) => `x;p=${secret}`),
  dropped('Upgrade', 'RFC 9110, 7.6.1'),
  dropped('Cache-Status', 'RFC 9211, 2', (secret) => `inner; key="${secret}"`),
  {
    name: 'a field that Connection names',
    rule: 'RFC 9110, 7.6.1',
    fate: 'without',
    handler: beside((res, secret) => {
      res.setHeader('Connection', 'close, X-Hop');
      res.setHeader('X-Hop', secret);
    }),
  },
  {
    name: 'a field that Connection names in another letter case',
    rule: 'RFC 9110, 7.6.1',
    fate: 'without',
    handler: beside((res, secret) => {
      res.setHeader('Connection', ['close', 'X-HOP , x-other']);
      res.setHeader('x-hop', secret);
      res.setHeader('X-Other', secret);
    }),
  },
  {
    name: 'a field of dropHeaders',
    rule: 'docs/reference/options.md',
    fate: 'without',
    options: { dropHeaders: ['X-CSRF-Token'] },
    handler: beside((res, secret) => res.setHeader('x-csrf-token', secret)),
  },
  ...(['http', 'http2'] as const).map((kind) => ({
    name: `WWW-Authenticate by writeHead on ${kind}`,
    rule: 'RFC 9110, 11.6.1',
    fate: 'without' as const,
    kind,
    handler: beside((res, secret) => {
      res.writeHead(200, { 'Content-Length': 14, 'www-authenticate': secret });
    }),
  })),
];

const body = beside(() => undefined);

/** What stands outside of the filter says something of the caller. */
const outside = (name: string, before: readonly Handler[], more: Partial<Case> = {}): Case => ({
  name,
  rule: 'docs/guides/order-of-middleware.md',
  fate: 'without',
  before,
  handler: body,
  ...more,
});

const calls = new WeakMap<object, number>();

/** The first caller's is A's; no other caller of that server has the same. */
function secretFor(req: IncomingMessage): string {
  const { server = req } = req.socket as { server?: object };
  const call = (calls.get(server) ?? 0) + 1;
  calls.set(server, call);
  return secretOf(call);
}

const counted = (set: (res: ServerResponse, secret: string) => void): Handler[] => [
  (req, res, next) => {
    set(res, secretFor(req));
    next();
  },
];

const late = counted((res, secret) => {
  const { writeHead } = res;
  res.writeHead = ((...args: Parameters<typeof writeHead>) => {
    res.setHeader('X-Sent', secret);
    return writeHead.apply(res, args);
  }) as typeof writeHead;
});

const sessions = session({
  secret: 'x',
  resave: true,
  saveUninitialized: true,
  genid: (req) => secretFor(req as unknown as IncomingMessage),
}) as unknown as Handler;

const kinds: readonly Kind[] = ['http', 'express5', 'express4', 'connect', 'http2'];

const earlier: readonly Case[] = [
  ...kinds.map((kind) =>
    outside(
      `the caller's own field on ${kind}`,
      counted((res, secret) => res.setHeader('X-User', secret)),
      { kind },
    ),
  ),
  outside(
    'a cookie',
    counted((res, secret) => res.setHeader('Set-Cookie', `sid=${secret}`)),
  ),
  outside(
    'two cookies',
    counted((res, secret) => res.setHeader('Set-Cookie', ['a=1', `sid=${secret}`])),
  ),
  outside(
    'a cookie by appendHeader',
    counted((res, secret) => void res.appendHeader('Set-Cookie', `sid=${secret}`)),
  ),
  outside(
    'a request id that the handler says again',
    counted((res, secret) => res.setHeader('X-Request-Id', secret)),
    {
      handler: beside((res) => res.setHeader('X-Request-Id', String(res.getHeader('X-Request-Id')))),
    },
  ),
  outside('a field that is set as the head goes out', late),
  outside('the session of express-session', [sessions], { differs: 'its cookie has the time in it' }),
  outside('the origin of cors()', [cors({ origin: true, credentials: true }) as unknown as Handler], {
    a: { headers: { Origin: 'http://secret-1-end.example' } },
    b: { headers: { Origin: 'http://b.example' } },
  }),
  outside(
    'the status message',
    counted((res, secret) => {
      res.statusMessage = secret;
    }),
  ),
];

export const groups: readonly Group[] = [
  { title: 'Fields about one user, one response or one connection', cases: own },
  { title: 'What earlier middleware says of the caller', cases: earlier },
];
