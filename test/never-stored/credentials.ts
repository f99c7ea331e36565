import { createServer } from 'node:https';
import { CREDENTIAL_HEADERS } from '../../lib/options.ts';
import { certificate } from '../support/certificate.ts';
import { answer, type Case, type Group, IMMUTABLE, type Options, type Say } from './case.ts';

const RULE = 'RFC 9111, 3.5';
const COOKIE = 'RFC 9111, 7.3';
const OWN = 'docs/guides/policy.md, credentials';

const carried = (name: string, rule: string, a: Say, b: Say = a, options?: Options): Case => ({
  name,
  rule,
  reason: 'credentials',
  handler: answer(),
  a,
  b,
  ...(options === undefined ? {} : { options }),
});

const header = (name: string, value: string): Say => ({ headers: { [name]: value } });

const headers: readonly Case[] = [
  ...CREDENTIAL_HEADERS.map((name) =>
    carried(
      `${name}, of two users`,
      name === 'Cookie' ? COOKIE : name === 'Authorization' ? RULE : OWN,
      header(name, 'a'),
      header(name, 'b'),
    ),
  ),
  ...CREDENTIAL_HEADERS.map((name) =>
    carried(
      `${name} twice by one user`,
      name === 'Cookie' ? COOKIE : name === 'Authorization' ? RULE : OWN,
      header(name, 'a'),
    ),
  ),
  ...CREDENTIAL_HEADERS.map((name) => ({
    ...carried(`${name}, on HTTP/2`, OWN, header(name.toLowerCase(), 'a'), header(name.toLowerCase(), 'b')),
    kind: 'http2' as const,
  })),
  carried(
    'Authorization in odd letter case',
    RULE,
    header('aUTHORIZATION', 'Bearer a'),
    header('AUTHORIZATION', 'Bearer b'),
  ),
  carried('Authorization without a value', RULE, header('Authorization', '')),
  carried('Authorization in two lines', RULE, { headers: { Authorization: ['Bearer a', 'Bearer c'] } }),
  carried('Cookie in two lines', COOKIE, { headers: { Cookie: ['a=1', 'b=2'] } }),
  carried('Authorization in a request of HTTP/1.0', RULE, {
    version: '1.0',
    headers: { Host: undefined, Authorization: 'Basic YQ==' },
  }),
  carried('Authorization that Connection names', 'RFC 9110, 7.6.1: only a proxy drops it', {
    headers: { Connection: 'close, Authorization', Authorization: 'Bearer a' },
  }),
  carried(
    'a name and a password in the target',
    'RFC 9110, 4.2.4',
    { target: 'http://alice:pw@localhost/a' },
    { target: 'http://bob:pw@localhost/a' },
  ),
  carried('a name without a password in the target', 'RFC 9110, 4.2.4', {
    target: 'http://alice@localhost/a',
  }),
  carried(
    'Authorization, on an immutable route',
    RULE,
    header('Authorization', 'a'),
    header('Authorization', 'b'),
    IMMUTABLE,
  ),
  carried('a credential header of our own', OWN, header('X-Session', 'a'), header('X-Session', 'b'), {
    credentialHeaders: ['x-session'],
  }),
  carried(
    'the identity that a gateway adds',
    OWN,
    header('X-Remote-User', 'a'),
    header('X-Remote-User', 'b'),
    { credentialHeaders: ['X-Remote-User'] },
  ),
  carried('Authorization by A, nothing by B', RULE, header('Authorization', 'a'), {}),
  carried('Cookie by A, Authorization by B', COOKIE, header('Cookie', 'a=1'), header('Authorization', 'b')),
  {
    ...carried('Authorization with a Range', RULE, { headers: { Authorization: 'a', Range: 'bytes=0-' } }),
    differs: 'the range that was asked for is cut out of the whole',
  },
  {
    name: 'Authorization, and max-age with must-revalidate',
    rule: 'RFC 9111, 3.5 would allow it; not claimed',
    reason: 'credentials',
    handler: answer({ 'Cache-Control': 'max-age=60, must-revalidate' }),
    a: header('Authorization', 'a'),
    b: header('Authorization', 'b'),
  },
  {
    name: 'Authorization, and public only by earlier middleware',
    rule: RULE,
    reason: 'credentials',
    options: IMMUTABLE,
    before: [
      (_req, res, next) => {
        res.setHeader('Cache-Control', 'public');
        next();
      },
    ],
    handler: answer({}),
    a: header('Authorization', 'a'),
    b: header('Authorization', 'b'),
  },
];

/** What A gets is stored, since A is nobody; B is somebody, and is not answered from it. */
const somebody = (name: string, b: Say, more: Partial<Case> = {}): Case => ({
  name: `a plain request first, then one with ${name}`,
  rule: RULE,
  fate: 'apart',
  handler: answer(),
  b,
  ...more,
});

const mixed: readonly Case[] = [
  ...CREDENTIAL_HEADERS.map((name) => somebody(name, header(name, 'b'))),
  somebody('a name in the target', { target: 'http://bob:pw@localhost/a' }),
  somebody('Authorization and a Range', { headers: { Authorization: 'b', Range: 'bytes=0-99' } }),
  somebody('Authorization, HEAD', { method: 'HEAD', headers: { Authorization: 'b' } }),
  somebody('Authorization, and a condition', { headers: { Authorization: 'b', 'If-None-Match': '"x"' } }),
  somebody('Cookie, on HTTP/2', { headers: { cookie: 'b=1' } }, { kind: 'http2' }),
];

const listen: NonNullable<Case['listen']> = (listener) =>
  createServer({ ...certificate(), requestCert: true, rejectUnauthorized: false }, listener);

const certified: readonly Case[] = [
  {
    ...carried('a client certificate', OWN, { certificate: 'alice' }, { certificate: 'bob' }),
    listen,
    tls: true,
  },
  {
    ...carried('a client certificate, on an immutable route', OWN, { certificate: 'alice' }, {}, IMMUTABLE),
    listen,
    tls: true,
  },
  { ...somebody('a client certificate', { certificate: 'bob' }), listen, tls: true },
];

export const groups: readonly Group[] = [
  { title: 'Credentials', cases: headers },
  { title: 'Credentials after a request without any', cases: mixed },
  { title: 'Client certificates', cases: certified },
];
