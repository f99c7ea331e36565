import { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import session from 'express-session';
import { deferred } from '../support/deferred.ts';
import type { Handler, Kind } from '../support/servers.ts';
import {
  ANYONE,
  type Answering,
  beside,
  type Case,
  finish,
  type Group,
  IMMUTABLE,
  type Options,
} from './case.ts';

const RULE = 'RFC 6265, 3; RFC 9111, 7.3';
const COOKIE = 'sid=1; Path=/';

type Way = [name: string, how: (res: Parameters<Answering>[1], secret: string) => void];

/** Every way to set a cookie that Node has on both protocols. */
const WAYS: readonly Way[] = [
  ['setHeader', (res, secret) => res.setHeader('Set-Cookie', `sid=${secret}`)],
  ['setHeader in capitals', (res, secret) => res.setHeader('SET-COOKIE', `sid=${secret}`)],
  ['setHeader with an array', (res, secret) => res.setHeader('Set-Cookie', [COOKIE, `sid=${secret}`])],
  ['setHeader with an empty value', (res) => res.setHeader('Set-Cookie', '')],
  ['appendHeader', (res, secret) => void res.appendHeader('Set-Cookie', `sid=${secret}`)],
  [
    'appendHeader twice',
    (res, secret) => void res.appendHeader('set-cookie', COOKIE).appendHeader('Set-Cookie', `sid=${secret}`),
  ],
  ['setHeaders with a Map', (res, secret) => void res.setHeaders(new Map([['set-cookie', `sid=${secret}`]]))],
  [
    'setHeaders with Headers',
    (res, secret) =>
      void res.setHeaders(
        new Headers([
          ['Set-Cookie', COOKIE],
          ['Set-Cookie', `sid=${secret}`],
        ]),
      ),
  ],
  ['writeHead with an object', (res, secret) => void res.writeHead(200, { 'Set-Cookie': `sid=${secret}` })],
  [
    'writeHead with an object of arrays',
    (res, secret) => void res.writeHead(200, { 'Set-Cookie': [COOKIE, `sid=${secret}`] }),
  ],
  ['writeHead with a flat array', (res, secret) => void res.writeHead(200, ['set-cookie', `sid=${secret}`])],
  [
    'writeHead after setHeader of something else',
    (res, secret) => {
      res.setHeader('X-Other', '1');
      res.writeHead(200, { 'set-cookie': `sid=${secret}` });
    },
  ],
  [
    'setHeader, after a removal',
    (res, secret) => {
      res.setHeader('Set-Cookie', COOKIE);
      res.removeHeader('Set-Cookie');
      res.setHeader('set-cookie', `sid=${secret}`);
    },
  ],
];

function cookie([how, set]: Way, kind: Kind, options?: Options): Case {
  const on = kind === 'http' ? '' : ' on HTTP/2';
  return {
    name: `Set-Cookie by ${how}${on}`,
    rule: RULE,
    reason: 'set-cookie',
    kind,
    handler: (req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=3600');
      set(res, secret);
      finish(req, res, secret);
    },
    ...(options === undefined ? {} : { options }),
  };
}

const inner = (handler: Handler): Answering => {
  return (req, res, secret) =>
    handler(req, res, () => {
      res.setHeader('Cache-Control', 'max-age=3600');
      finish(req, res, secret);
    });
};

const express: readonly Case[] = (['express5', 'express4'] as const).flatMap((kind) => [
  {
    name: `Set-Cookie by res.cookie() on ${kind}`,
    rule: RULE,
    reason: 'set-cookie' as const,
    kind,
    handler: (_req, res, secret) => {
      const own = res as never as {
        cookie(...args: unknown[]): { set(...args: string[]): { send(body: string): void } };
      };
      own.cookie('sid', secret).set('Cache-Control', 'max-age=60').send(`body of ${secret}`);
    },
  },
  {
    name: `Set-Cookie by express-session behind the filter on ${kind}`,
    rule: RULE,
    reason: 'set-cookie' as const,
    kind,
    handler: inner(
      session({
        secret: 'x',
        resave: false,
        saveUninitialized: true,
        genid: (req) => `for ${(req as { socket: { remotePort?: number } }).socket.remotePort}`,
      }) as unknown as Handler,
    ),
    differs: 'its cookie is signed',
  },
]);

const others: readonly Case[] = [
  {
    name: 'Set-Cookie by writeHead with an array of pairs',
    rule: RULE,
    reason: 'set-cookie',
    // Node takes pairs only where no field has been set before.
    options: { cacheStatus: false },
    handler: (_req, res, secret) => {
      const pairs = [
        ['Cache-Control', 'max-age=3600'],
        ['Set-Cookie', `sid=${secret}`],
      ];
      res.writeHead(200, pairs as never).end(`body of ${secret}`);
    },
  },
  {
    name: 'Set-Cookie past the response, by res.stream.respond() on HTTP/2',
    rule: RULE,
    reason: 'unfinished',
    kind: 'http2',
    handler: (_req, res, secret) => {
      const { stream } = res as unknown as { stream: ServerHttp2Stream };
      stream.respond({ ':status': 200, 'cache-control': 'max-age=60', 'set-cookie': `sid=${secret}` });
      stream.end(`body of ${secret}`);
    },
  },
  {
    name: 'Set-Cookie by the method of the prototype',
    rule: RULE,
    fate: 'without',
    handler: beside((res, secret) => {
      ServerResponse.prototype.setHeader.call(res, 'Set-Cookie', `sid=${secret}`);
    }),
  },
  ...WAYS.slice(0, 2).map((way) => ({
    ...cookie(way, 'http', IMMUTABLE),
    name: `Set-Cookie by ${way[0]}, on an immutable route`,
  })),
  {
    ...cookie(WAYS[0] as Way, 'http', ANYONE),
    name: 'Set-Cookie although everybody is authorised',
  },
  {
    name: 'Set-Cookie beside public and s-maxage',
    rule: RULE,
    reason: 'set-cookie',
    handler: (req, res, secret) => {
      res.setHeader('Cache-Control', 'public, s-maxage=60, max-age=60');
      res.setHeader('Set-Cookie', `sid=${secret}`);
      finish(req, res, secret);
    },
  },
  {
    name: 'Set-Cookie added to one of earlier middleware',
    rule: RULE,
    reason: 'set-cookie',
    before: [
      (_req, res, next) => {
        res.setHeader('Set-Cookie', COOKIE);
        next();
      },
    ],
    handler: (req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=3600');
      res.appendHeader('Set-Cookie', `user=${secret}`);
      finish(req, res, secret);
    },
  },
  {
    name: 'Set-Cookie in place of one of earlier middleware',
    rule: RULE,
    reason: 'set-cookie',
    before: [
      (_req, res, next) => {
        res.setHeader('Set-Cookie', COOKIE);
        next();
      },
    ],
    handler: (req, res, secret) => {
      res.writeHead(200, { 'Cache-Control': 'max-age=9', 'set-cookie': `user=${secret}` });
      finish(req, res, secret);
    },
  },
  {
    name: 'Set-Cookie that a promise of earlier middleware sets while the handler runs',
    rule: RULE,
    reason: 'set-cookie',
    before: [
      (req, res, next) => {
        const { promise, resolve } = deferred();
        Object.assign(req, { run: resolve });
        void promise.then(() => res.setHeader('Set-Cookie', COOKIE));
        next();
      },
    ],
    handler: (req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=3600');
      (req as unknown as { run(): void }).run();
      setImmediate(() => finish(req, res, secret));
    },
  },
];

export const groups: readonly Group[] = [
  {
    title: 'Set-Cookie',
    cases: [
      ...WAYS.map((way) => cookie(way, 'http')),
      ...WAYS.filter(([name]) => !/append|setHeaders|flat/.test(name)).map((way) => cookie(way, 'http2')),
      ...express,
      ...others,
    ],
  },
];
