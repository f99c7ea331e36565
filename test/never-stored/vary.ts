import compression from 'compression';
import type { Handler } from '../support/servers.ts';
import { ANYONE, type Answering, answer, type Case, FRESH, finish, type Group, IMMUTABLE } from './case.ts';

const RULE = 'RFC 9111, 4.1';

const vary = (name: string, value: string | readonly string[], more: Partial<Case> = {}): Case => ({
  name,
  rule: RULE,
  reason: 'vary',
  handler: answer({ ...FRESH, Vary: value }),
  ...more,
});

const late = (name: string, handler: Answering, more: Partial<Case> = {}): Case => ({
  name,
  rule: RULE,
  reason: 'vary',
  handler,
  ...more,
});

const earlier =
  (value: string): Handler =>
  (_req, res, next) => {
    res.setHeader('Vary', value);
    next();
  };

const language = { headers: { 'Accept-Language': 'de' } };

const cases: readonly Case[] = [
  vary('Vary: *', '*'),
  vary('Vary: * beside a name', 'Accept, *'),
  vary('Vary: Cookie', 'Cookie'),
  vary('Vary: Authorization', 'Authorization'),
  vary('Vary: Accept-Encoding', 'Accept-Encoding'),
  vary('Vary: Accept-Language', 'Accept-Language', { a: language, b: {} }),
  vary('Vary: Host', 'Host'),
  vary('Vary: X-Forwarded-Host', 'X-Forwarded-Host', {
    a: { headers: { 'X-Forwarded-Host': 'evil.example' } },
    b: {},
  }),
  vary('Vary: Origin of a handler', 'Origin', { a: { headers: { Origin: 'http://a.example' } }, b: {} }),
  vary('Vary in odd letter case', 'aCCEPT', { handler: answer({ ...FRESH, vARY: 'aCCEPT' }) }),
  vary('Vary with several names', 'Accept, Accept-Language , Cookie'),
  vary('Vary in two lines', ['Accept', '*']),
  vary('Vary with an empty value', ''),
  vary('Vary, on an immutable route', 'Authorization', {
    handler: answer({ Vary: 'Authorization' }),
    options: IMMUTABLE,
  }),
  vary('Vary, although everybody is authorised', 'Cookie', {
    handler: answer({ Vary: 'Cookie' }),
    options: ANYONE,
  }),
  vary('Vary beside public', 'Accept', {
    handler: answer({ 'Cache-Control': 'public, s-maxage=60', Vary: 'Accept' }),
  }),
  vary('Vary, on HTTP/2', 'Accept-Encoding', { kind: 'http2' }),
  late('Vary added by writeHead', (req, res, secret) => {
    res.setHeader('Cache-Control', 'max-age=3600');
    res.writeHead(200, { VARY: 'Cookie' });
    finish(req, res, secret);
  }),
  late('Vary added by appendHeader', (req, res, secret) => {
    res.setHeader('Cache-Control', 'max-age=3600');
    res.appendHeader('vary', 'Cookie').appendHeader('Vary', 'Accept');
    finish(req, res, secret);
  }),
  late('Vary added by a writeHead that the handler wraps', (req, res, secret) => {
    const { writeHead } = res;
    res.writeHead = ((...args: Parameters<typeof writeHead>) => {
      res.setHeader('Vary', 'Cookie');
      return writeHead.apply(res, args);
    }) as typeof writeHead;
    res.setHeader('Cache-Control', 'max-age=3600');
    finish(req, res, secret);
  }),
  ...(['express5', 'express4'] as const).flatMap((kind) => [
    late(
      `Vary by res.vary() on ${kind}`,
      (_req, res, secret) => {
        (res as never as { vary(name: string): void }).vary('Accept-Language');
        res.setHeader('Cache-Control', 'max-age=3600');
        res.end(`body of ${secret}`);
      },
      { kind },
    ),
    late(
      `Vary by res.format() on ${kind}`,
      (_req, res, secret) => {
        res.setHeader('Cache-Control', 'max-age=3600');
        const format = { 'text/plain': () => res.end(secret), default: () => res.end(secret) };
        (res as never as { format(how: object): void }).format(format);
      },
      { kind },
    ),
    late(
      `Vary that earlier middleware has said, too, by res.vary() on ${kind}`,
      (req, res, secret) => {
        (res as never as { vary(name: string): void }).vary('Accept-Language');
        res.setHeader('Cache-Control', 'max-age=3600');
        finish(req, res, secret);
      },
      { kind, before: [earlier('Accept-Language')], a: language, b: {} },
    ),
  ]),
  late('Vary that earlier middleware has said, too', answer({ ...FRESH, Vary: 'Origin' }), {
    before: [earlier('Origin')],
    a: { headers: { Origin: 'http://a.example' } },
    b: {},
  }),
  late('Vary in place of that of earlier middleware', answer({ ...FRESH, Vary: 'Cookie' }), {
    before: [earlier('Origin')],
  }),
  late('Vary added to that of earlier middleware', answer({ ...FRESH, Vary: 'Origin, Cookie' }), {
    before: [earlier('Origin')],
  }),
  late(
    'compression() behind the filter',
    (req, res, secret) =>
      (compression({ threshold: 0 }) as never as Handler)(req, res, () => {
        res.setHeader('Content-Type', 'text/plain');
        res.setHeader('Cache-Control', 'max-age=3600');
        finish(req, res, secret);
      }),
    { a: { headers: { 'Accept-Encoding': 'identity' } }, b: {} },
  ),
  {
    name: 'a Content-Encoding that earlier middleware chose',
    rule: 'RFC 9110, 12.5.3',
    reason: 'encoding',
    before: [
      (_req, res, next) => {
        res.setHeader('Content-Encoding', 'x-own');
        next();
      },
    ],
    handler: answer(),
  },
];

export const groups: readonly Group[] = [{ title: 'Vary', cases }];
