import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import {
  type Answering,
  answer,
  beside,
  type Case,
  FRESH,
  finish,
  type Group,
  IMMUTABLE,
  type Options,
} from './case.ts';

const OWN = 'docs/reference/options.md, integrity';
const CUT = 'RFC 9111, 3.3';

const END: Options = { freshness: 'immutable', integrity: 'end' };

/** Says something again and again, until the client has had enough. */
function endless(res: ServerResponse, text: string): void {
  res.write(text);
  const timer = setInterval(() => res.write(text), 5);
  res.on('close', () => clearInterval(timer));
}

const stream =
  (fields: Record<string, string>): Answering =>
  (_req, res, secret) => {
    res.writeHead(200, fields);
    endless(res, `data: ${secret}\n\n`);
  };

const leaving = {
  a: { leaves: true },
  c: { leaves: true },
  differs: 'it has no end to compare',
} satisfies Partial<Case>;

const unending: readonly Case[] = [
  {
    name: 'text/event-stream without an end',
    rule: 'no heuristic freshness',
    reason: 'no-freshness',
    handler: stream({ 'Content-Type': 'text/event-stream' }),
    ...leaving,
  },
  {
    name: 'text/event-stream with no-cache',
    rule: 'RFC 9111, 5.2.2.4',
    reason: 'no-store',
    handler: stream({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' }),
    ...leaving,
  },
  {
    name: 'text/event-stream, on an immutable route',
    rule: OWN,
    reason: 'no-length',
    options: IMMUTABLE,
    handler: stream({ 'Content-Type': 'text/event-stream' }),
    ...leaving,
  },
  {
    name: 'text/event-stream with no-store, where a clean end suffices',
    rule: 'RFC 9111, 5.2.2.5',
    reason: 'no-store',
    options: END,
    handler: stream({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' }),
    ...leaving,
  },
  {
    name: 'a body without an end, in chunks',
    rule: OWN,
    reason: 'no-length',
    handler: stream(FRESH),
    ...leaving,
  },
  {
    name: 'a body without an end, on HTTP/2',
    rule: OWN,
    reason: 'no-length',
    kind: 'http2',
    handler: stream({ 'cache-control': 'max-age=60' }),
    ...leaving,
  },
];

const parts: Answering = (_req, res, secret) => {
  res.writeHead(200, FRESH);
  res.write('the body of ');
  res.end(secret);
};

const unproven: readonly Case[] = [
  { name: 'a body in parts without a length or a digest', rule: OWN, reason: 'no-length', handler: parts },
  {
    name: 'a body in parts, to a client of HTTP/1.0',
    rule: OWN,
    reason: 'no-length',
    handler: parts,
    a: { version: '1.0' },
  },
  {
    name: 'a body from a pipe without a length',
    rule: OWN,
    reason: 'no-length',
    handler: (_req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=9');
      Readable.from([secret, ' and more']).pipe(res);
    },
  },
  {
    name: 'no digest where one is required',
    rule: OWN,
    reason: 'no-digest',
    options: { integrity: 'digest' },
    handler: answer(),
  },
  {
    name: 'a malformed digest where one is required',
    rule: OWN,
    reason: 'no-digest',
    options: { integrity: 'digest' },
    handler: answer({ ...FRESH, 'Content-MD5': 'x' }),
  },
  {
    name: 'a body above maxEntryBytes',
    rule: 'docs/reference/options.md',
    reason: 'too-large',
    options: { maxEntryBytes: 8 },
    handler: answer(),
  },
  {
    name: 'a body below minEntryBytes',
    rule: 'docs/reference/options.md',
    reason: 'too-small',
    options: { minEntryBytes: 100 },
    handler: answer(),
  },
];

const body = (secret: string): string => `the body of ${secret}\n`;

/** The head is right, and the body is not what it says; A must not take it for whole. */
const broken = (
  name: string,
  rule: string,
  reason: NonNullable<Case['reason']>,
  handler: Answering,
  differs?: string,
): Case => ({
  name,
  rule,
  reason,
  handler,
  inTurn: true,
  ...(differs === undefined ? {} : { differs }),
});

const sha256 = (text: string): string => `sha-256=:${createHash('sha256').update(text).digest('base64')}:`;
const sooner = 'it may be cut off before its head has gone out';
const withheld = 'its end is withheld, so that nobody takes it for whole';

const failing: readonly Case[] = [
  broken(
    'a body cut off by res.destroy()',
    CUT,
    'unfinished',
    (_req, res, secret) => {
      res.writeHead(200, { ...FRESH, 'Content-Length': 1000 });
      res.write(body(secret), () => res.destroy());
    },
    sooner,
  ),
  broken(
    'a body cut off by the destruction of the socket',
    CUT,
    'unfinished',
    (req, res, secret) => {
      res.writeHead(200, { ...FRESH, 'Content-Length': 1000 });
      res.write(body(secret), () => req.socket.destroy());
    },
    sooner,
  ),
  {
    ...broken(
      'a body in chunks that is cut off, where a clean end suffices',
      CUT,
      'unfinished',
      (_req, res, secret) => {
        res.writeHead(200, FRESH);
        res.write(body(secret), () => res.destroy());
      },
      sooner,
    ),
    options: END,
  },
  broken(
    'a body that ends before its Content-Length',
    CUT,
    'unproven',
    (_req, res, secret) => {
      res.writeHead(200, { ...FRESH, 'Content-Length': 1000 });
      res.end(body(secret));
    },
    'without the filter the client waits for the rest',
  ),
  broken(
    'a body beyond its Content-Length',
    'RFC 9112, 6.3',
    'unproven',
    (_req, res, secret) => {
      res.writeHead(200, { ...FRESH, 'Content-Length': 5 });
      res.end(body(secret));
    },
    'without the filter the rest would be taken for another response',
  ),
  broken(
    'a body that is not what Repr-Digest says',
    'RFC 9530, 2',
    'unproven',
    (req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=9');
      res.setHeader('Repr-Digest', sha256('something else'));
      finish(req, res, secret);
    },
    withheld,
  ),
  broken(
    'a body that is not what Content-MD5 says',
    OWN,
    'unproven',
    (req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=9');
      res.setHeader('Content-MD5', createHash('md5').update('else').digest('base64'));
      finish(req, res, secret);
    },
    withheld,
  ),
  broken(
    'a body that is not what a digest in the trailer says',
    'RFC 9530, 2',
    'unproven',
    (_req, res, secret) => {
      res.writeHead(200, { ...FRESH, Trailer: 'Repr-Digest' });
      res.write(body(secret));
      res.addTrailers({ 'Repr-Digest': sha256('something else') });
      res.end();
    },
    withheld,
  ),
];

const trailer = (name: string, field: string, more: Partial<Case> = {}): Case => ({
  name,
  rule: 'RFC 9110, 6.5.1',
  fate: 'without',
  options: END,
  handler: (_req, res, secret) => {
    res.writeHead(200, { Trailer: field });
    res.write('for everybody\n');
    res.addTrailers({ [field]: `sid=${secret}` });
    res.end();
  },
  ...more,
});

const trailers: readonly Case[] = [
  trailer('a trailer', 'X-Secret'),
  trailer('Set-Cookie in the trailer', 'Set-Cookie'),
  trailer('Authentication-Info in the trailer', 'Authentication-Info'),
  trailer('a trailer on HTTP/2', 'x-secret', {
    kind: 'http2',
    handler: (_req, res, secret) => {
      res.setHeader('Content-Type', 'text/plain');
      res.write('for everybody\n');
      res.addTrailers({ 'x-secret': secret });
      res.end();
    },
  }),
  {
    name: 'a trailer of a response that is not stored',
    rule: 'RFC 9111, 5.2.2.7',
    reason: 'private',
    handler: (_req, res, secret) => {
      res.writeHead(200, { 'Cache-Control': 'private', Trailer: 'X-Secret' });
      res.write('for everybody\n');
      res.addTrailers({ 'X-Secret': secret });
      res.end();
    },
  },
  {
    name: 'early hints before a response that is stored',
    rule: 'RFC 8297, 2',
    fate: 'without',
    handler: beside((res, secret) => res.writeEarlyHints({ link: `</${secret}>; rel=preload` })),
  },
];

export const groups: readonly Group[] = [
  { title: 'Bodies without an end', cases: unending },
  { title: 'Bodies that nothing proves', cases: unproven },
  { title: 'Bodies that are not what their head says', cases: failing },
  { title: 'Trailers and informational responses', cases: trailers },
];
