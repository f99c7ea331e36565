import { createServer } from 'node:http';
import { type Answering, answer, type Case, FRESH, finish, type Group } from './case.ts';

const BODY = 'RFC 9110, 9.3.1: a body has no meaning for a GET, to some';
const PARSER = 'RFC 9112, 6.1: refused before the filter';

/** Answers with what was in the request's body. */
const echo: Answering = async (req, res, secret) => {
  for await (const chunk of req) res.setHeader('X-Asked', String(chunk).replace(/[^\w-]/g, ''));
  res.setHeader('Cache-Control', 'max-age=60');
  finish(req, res, secret);
};

const withBody = (name: string, lines: string, more: Partial<Case> = {}): Case => ({
  name,
  rule: BODY,
  reason: 'request-body',
  handler: echo,
  a: { raw: `GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines}` },
  ...more,
});

const bodies: readonly Case[] = [
  withBody('a GET with a body and its length', 'Content-Length: 4\r\n\r\nevil'),
  withBody('a GET with a body in chunks', 'Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n'),
  withBody(
    'a GET with chunks that have extensions',
    'Transfer-Encoding: chunked\r\n\r\n4;a=b;c="d"\r\nevil\r\n0;x\r\n\r\n',
  ),
  withBody(
    'a GET with chunks and a trailer',
    'Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\nX-T: 1\r\n\r\n',
  ),
  withBody('a GET with chunks of which there are none', 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
  withBody(
    'a GET whose coding is written in capitals',
    'TRANSFER-ENCODING: CHUNKED\r\n\r\n4\r\nevil\r\n0\r\n\r\n',
  ),
  withBody('a GET that expects 100-continue', 'Expect: 100-continue\r\nContent-Length: 4\r\n\r\nevil'),
  withBody(
    'a GET with a length and chunks, where Node is told to be lenient',
    'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n',
    {
      listen: (listener) => createServer({ insecureHTTPParser: true }, listener),
      rule: 'RFC 9112, 6.3',
    },
  ),
  { ...withBody('a GET with a body on HTTP/2', ''), kind: 'http2', a: { body: 'evil' } },
  {
    ...withBody('a HEAD with a body', ''),
    a: { method: 'HEAD', headers: { 'Content-Length': '4' }, body: 'evil' },
  },
];

/** Node's parser lets none of it through; nobody else sees anything of it. */
const refused = (name: string, raw: string): Case => ({
  name,
  rule: PARSER,
  reason: 'no route',
  handler: answer(),
  a: { raw },
  b: { raw },
  c: {},
  calls: 1,
  status: 400,
});

const head = 'Host: localhost\r\nConnection: close\r\n';

const malformed: readonly Case[] = [
  refused(
    'a length and chunks',
    `GET /a HTTP/1.1\r\n${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  refused('two lengths', `GET /a HTTP/1.1\r\n${head}Content-Length: 0\r\nContent-Length: 4\r\n\r\nevil`),
  refused(
    'a chunk whose size is no number',
    `GET /a HTTP/1.1\r\n${head}Transfer-Encoding: chunked, x\r\n\r\nzz\r\n`,
  ),
  refused('a target outside of ASCII', `GET /\xe9 HTTP/1.1\r\n${head}\r\n`),
  refused('a field folded over two lines', `GET /a HTTP/1.1\r\n${head}Authorization:\r\n Bearer a\r\n\r\n`),
  refused('a space before the colon', `GET /a HTTP/1.1\r\n${head}Authorization : a\r\n\r\n`),
  refused('a field with a NUL', `GET /a HTTP/1.1\r\n${head}X-A: a\0b\r\n\r\n`),
  refused('a target with a NUL', `GET /a\0 HTTP/1.1\r\n${head}\r\n`),
  refused('a target with a tab', `GET /a\t HTTP/1.1\r\n${head}\r\n`),
  refused('a method in small letters', `get /a HTTP/1.1\r\n${head}\r\n`),
  refused('no Host', 'GET /a HTTP/1.1\r\nConnection: close\r\n\r\n'),
  refused('a version that there is not', `GET /a HTTP/9.9\r\n${head}\r\n`),
  // Node's limit is 16 KiB. No more than it reads at once: what is left unread would turn the answer into a reset.
  {
    ...refused('a target longer than a head may be', `GET /${'a'.repeat(17_000)} HTTP/1.1\r\n${head}\r\n`),
    status: 431,
  },
];

const keepAlive = 'Host: localhost\r\n';
const perUser: Answering = (req, res, secret) => {
  res.setHeader('Cache-Control', 'max-age=60');
  res.setHeader('X-Asked-By', String(req.headers.authorization));
  finish(req, res, secret);
};

/** All on one connection; each answer has what was made for its own request. */
const connections: readonly Case[] = [
  {
    name: 'two users on one connection, pipelined',
    rule: 'RFC 9111, 3.5',
    reason: 'credentials',
    handler: perUser,
    a: {
      raw: `GET /a HTTP/1.1\r\n${keepAlive}Authorization: a\r\n\r\nGET /a HTTP/1.1\r\n${head}Authorization: b\r\n\r\n`,
    },
    calls: 5,
    inTurn: true,
  },
  {
    name: 'a body on a GET, and the next request behind it',
    rule: BODY,
    reason: 'request-body',
    handler: echo,
    a: {
      raw: `GET /a HTTP/1.1\r\n${keepAlive}Content-Length: 4\r\n\r\nevilGET /a HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\nhi`,
    },
    calls: 5,
    inTurn: true,
  },
  {
    name: 'a private response, and a public one behind it on the same connection',
    rule: 'RFC 9111, 5.2.2.7',
    reason: 'private',
    handler: (req, res, secret) => {
      if (req.url === '/public') {
        res.setHeader('Cache-Control', 'no-store');
        res.end('for everybody');
        return;
      }
      res.setHeader('Cache-Control', 'private');
      finish(req, res, secret);
    },
    a: { raw: `GET /a HTTP/1.1\r\n${keepAlive}\r\nGET /public HTTP/1.1\r\n${head}\r\n` },
    calls: 5,
    inTurn: true,
  },
  {
    name: 'a client that leaves in the middle of what is private',
    rule: 'RFC 9111, 5.2.2.7',
    reason: 'private',
    handler: (_req, res, secret) => {
      res.writeHead(200, { 'Cache-Control': 'private', 'Content-Length': 100_000 });
      res.write(secret);
      res.on('close', () => res.destroy());
    },
    a: { leaves: true },
    c: { leaves: true },
    differs: 'it is left',
  },
  {
    name: 'a request of HTTP/1.0 without a Host',
    rule: 'RFC 9111, 5.2.2.7',
    reason: 'private',
    handler: answer({ 'Cache-Control': 'private' }),
    a: { version: '1.0', headers: { Host: undefined } },
  },
];

const condition = (
  name: string,
  fields: Record<string, string>,
  handler: Answering = answer(),
  more: Partial<Case> = {},
): Case => ({
  name,
  rule: 'RFC 9110, 13: it is about what A has',
  reason: 'conditional',
  handler,
  a: { headers: fields },
  ...more,
});

const conditions: readonly Case[] = [
  condition('If-None-Match', { 'If-None-Match': '"a"' }),
  condition('If-None-Match: *', { 'If-None-Match': '*' }),
  condition('If-Modified-Since', { 'If-Modified-Since': 'Thu, 01 Jan 2015 00:00:00 GMT' }),
  condition('If-Match', { 'If-Match': '"a"' }),
  condition('If-Unmodified-Since', { 'If-Unmodified-Since': 'Thu, 01 Jan 2015 00:00:00 GMT' }),
  condition(
    'a 304 to the validator of A',
    { 'If-None-Match': '"a"' },
    answer({ ...FRESH, ETag: '"a"' }, 304),
  ),
  condition('a 412 to the validator of A', { 'If-Match': '"b"' }, answer(FRESH, 412)),
  condition('a Range that begins far behind', { Range: `bytes=${2 ** 30}-` }, answer(), {
    reason: 'range',
    rule: 'RFC 9111, 3.3',
  }),
  condition('a Range counted from the end', { Range: 'bytes=-5' }, answer(), {
    reason: 'range',
    rule: 'RFC 9111, 3.3',
  }),
  condition(
    'a 206 that the handler makes for a Range',
    { Range: 'bytes=-5' },
    answer({ ...FRESH, 'Content-Range': 'bytes 75-99/100' }, 206),
    { reason: 'range', rule: 'RFC 9111, 3.3' },
  ),
  condition(
    'a 206 that the handler makes although it sees no Range',
    { Range: 'bytes=0-24' },
    answer({ ...FRESH, 'Content-Range': 'bytes 0-24/100' }, 206),
    { reason: 'not-200', rule: 'RFC 9111, 3.3' },
  ),
  condition(
    'a 416 that the handler makes',
    { Range: 'bytes=-5' },
    answer({ ...FRESH, 'Content-Range': 'bytes */9' }, 416),
    { reason: 'range', rule: 'RFC 9111, 3.3' },
  ),
  condition(
    'several ranges of what is private',
    { Range: 'bytes=0-1,4-5' },
    answer({ 'Cache-Control': 'private' }),
    {
      reason: 'private',
      rule: 'RFC 9111, 5.2.2.7',
    },
  ),
  condition(
    'a Range with If-Range of what is private',
    { Range: 'bytes=0-1', 'If-Range': '"other"' },
    answer({ 'Cache-Control': 'private', ETag: '"a"' }),
    { reason: 'private', rule: 'RFC 9111, 5.2.2.7' },
  ),
];

export const groups: readonly Group[] = [
  { title: 'Requests with a body', cases: bodies },
  { title: 'Requests that are none', cases: malformed },
  { title: 'Connections', cases: connections },
  { title: 'Conditions and ranges', cases: conditions },
];
