import { createServer } from 'node:http';
import {
  ANYONE,
  type Answering,
  answer,
  type Case,
  FRESH,
  finish,
  type Group,
  IMMUTABLE,
  type Say,
} from './case.ts';

const OWN = 'docs/reference/reasons.md, not-200';

const status = (code: number, what: string, rule: string, fields: Record<string, string> = {}): Case => ({
  name: `${code} ${what}`,
  rule,
  reason: 'not-200',
  status: code,
  handler: answer({ ...FRESH, ...fields }, code),
});

const codes: readonly Case[] = [
  status(201, 'Created', OWN, { Location: '/x' }),
  status(202, 'Accepted', OWN),
  status(203, 'Non-Authoritative Information', OWN),
  status(204, 'No Content', OWN),
  status(206, 'of its own making', 'RFC 9111, 3.3', { 'Content-Range': 'bytes 0-24/100' }),
  status(300, 'Multiple Choices', OWN),
  status(301, 'Moved Permanently', OWN, { Location: '/elsewhere' }),
  status(302, 'Found', OWN, { Location: '/elsewhere' }),
  status(304, 'to a request without a condition', 'RFC 9111, 3.3'),
  status(307, 'Temporary Redirect', OWN, { Location: '/elsewhere' }),
  status(308, 'Permanent Redirect', OWN, { Location: '/elsewhere' }),
  status(400, 'Bad Request', OWN),
  status(401, 'Unauthorized', OWN, { 'WWW-Authenticate': 'Basic realm=x' }),
  status(403, 'Forbidden', OWN),
  status(404, 'Not Found', OWN),
  status(405, 'Method Not Allowed', OWN),
  status(410, 'Gone', OWN),
  status(414, 'URI Too Long', OWN),
  status(416, 'of its own making', OWN, { 'Content-Range': 'bytes */1' }),
  status(429, 'Too Many Requests', OWN, { 'Retry-After': '1' }),
  status(451, 'Unavailable For Legal Reasons', OWN),
  status(500, 'Internal Server Error', OWN),
  status(501, 'Not Implemented', OWN),
  status(503, 'Service Unavailable', OWN),
  status(299, 'that nobody knows', 'RFC 9111, 3'),
  status(999, 'that is no class', 'RFC 9111, 3'),
  { ...status(404, 'although everybody is authorised', OWN), options: ANYONE },
  { ...status(500, 'on an immutable route', OWN), options: IMMUTABLE },
  {
    name: 'a 103 with the secret, then a private 200',
    rule: 'RFC 8297, 2',
    reason: 'private',
    handler: (req, res, secret) => {
      res.writeEarlyHints({ link: `</${secret}>; rel=preload` });
      res.setHeader('Cache-Control', 'private');
      finish(req, res, secret);
    },
  },
  {
    name: 'a 102, then a 500',
    rule: OWN,
    reason: 'not-200',
    handler: (req, res, secret) => {
      res.writeProcessing();
      res.statusCode = 500;
      finish(req, res, secret);
    },
    status: 500,
  },
  {
    name: 'a 404 with the secret in its status message',
    rule: OWN,
    reason: 'not-200',
    status: 404,
    handler: (_req, res, secret) => {
      res.writeHead(404, `no ${secret}`, FRESH).end();
    },
  },
];

const method = (name: string, handler: Answering = answer(), more: Partial<Case> = {}): Case => ({
  name: `${name}`,
  rule: 'RFC 9111, 3',
  reason: 'no route',
  handler,
  a: { method: name },
  ...more,
});

const methods: readonly Case[] = [
  method('HEAD', answer(), { reason: 'head', rule: 'RFC 9111, 3: a HEAD has no body to keep' }),
  ...[
    'POST',
    'PUT',
    'PATCH',
    'OPTIONS',
    'TRACE',
    'PROPFIND',
    'REPORT',
    'SEARCH',
    'M-SEARCH',
    'LOCK',
    'LINK',
  ].map((name) =>
    method(name, answer(), {
      a: {
        method: name,
        ...(/^P[OUA]/.test(name) ? { headers: { 'Content-Length': '2' }, body: 'hi' } : {}),
      },
    }),
  ),
  { name: 'DELETE', rule: 'docs/guides/routes.md, purging', handler: answer(), a: { method: 'DELETE' } },
  method('POST with a Content-Location of the same target', answer({ ...FRESH, 'Content-Location': '/a' }), {
    a: { method: 'POST', headers: { 'Content-Length': '0' } },
    rule: 'RFC 9110, 9.3.3',
  }),
  method('POST, on an immutable route', answer({}), {
    options: IMMUTABLE,
    a: { method: 'POST', headers: { 'Content-Length': '0' } },
  }),
  method('get in small letters, which is another method', answer(), {
    kind: 'http2',
    a: { method: 'get' },
    rule: 'RFC 9110, 9.1',
  }),
  method('a method that nobody knows, on HTTP/2', answer(), {
    kind: 'http2',
    a: { method: 'FETCH' },
    rule: 'RFC 9110, 9.1',
  }),
  method('OPTIONS *', answer(), { a: { method: 'OPTIONS', target: '*' }, c: {} }),
];

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

/** Speaks another protocol on the connection, when asked for it. */
const listen: NonNullable<Case['listen']> = (listener) => {
  const server = createServer(listener);
  for (const event of ['upgrade', 'connect'])
    server.on(event, (req, socket) => {
      socket.end(
        `HTTP/1.1 ${req.method === 'CONNECT' ? 200 : 101} Fine\r\nCache-Control: max-age=60\r\n\r\nsecret-1-end`,
      );
    });
  return server;
};

const upgrade: Say = { headers: UPGRADE };

const upgrades: readonly Case[] = [
  {
    name: 'an upgrade to WebSocket',
    rule: 'RFC 9110, 7.8',
    reason: 'no route',
    listen,
    handler: (req, res) => {
      res.setHeader('Cache-Control', 'max-age=60');
      res.end(`${req.url} for everybody`);
    },
    a: upgrade,
    b: {},
    calls: 0,
  },
  {
    name: 'a tunnel by CONNECT',
    rule: 'RFC 9110, 9.3.6',
    reason: 'no route',
    listen,
    handler: (req, res) => {
      res.setHeader('Cache-Control', 'max-age=60');
      res.end(`${req.url} for everybody`);
    },
    a: { method: 'CONNECT', target: 'localhost:80' },
    b: {},
    c: {},
    calls: 0,
  },
  {
    name: 'a 426 to an upgrade that the server does not do',
    rule: OWN,
    reason: 'not-200',
    status: 426,
    handler: answer({ ...FRESH, Upgrade: 'h2c' }, 426),
    a: { headers: { ...UPGRADE, Connection: 'close, Upgrade' } },
  },
  {
    name: 'a 101 that a handler writes',
    rule: OWN,
    reason: 'not-200',
    handler: (_req, res, secret) => {
      res.writeHead(101, { Connection: 'Upgrade', Upgrade: 'own', ...FRESH, 'X-Secret': secret });
      res.end();
      res.socket?.end();
    },
    a: { headers: { Connection: 'Upgrade', Upgrade: 'own' } },
  },
];

export const groups: readonly Group[] = [
  { title: 'Status codes', cases: codes },
  { title: 'Methods', cases: methods },
  { title: 'Other protocols', cases: upgrades },
];
