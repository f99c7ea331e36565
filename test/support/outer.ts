import { randomUUID } from 'node:crypto';
import { Writable } from 'node:stream';
import compression from 'compression';
import cors from 'cors';
import session from 'express-session';
import helmet from 'helmet';
import morgan from 'morgan';
import { pinoHttp } from 'pino-http';
import responseTime from 'response-time';
import type { Handler } from './servers.ts';

/** Middleware that people mount outside, each of which touches the response in its own way. */
export interface Outer {
  name: string;
  handlers(log: string[]): Handler[];
}

function into(log: string[]): Writable {
  return new Writable({
    write(chunk, _encoding, callback) {
      log.push(String(chunk));
      callback();
    },
  });
}

export const OUTER: readonly Outer[] = [
  {
    name: 'morgan',
    handlers: (log) => [
      morgan(':method :url :status :res[content-length]', { stream: into(log) }) as unknown as Handler,
    ],
  },
  {
    name: 'express-session',
    handlers: () => [
      session({ secret: 'test', resave: true, saveUninitialized: true }) as unknown as Handler,
      (req, _res, next) => {
        (req as unknown as { session: { visits?: number } }).session.visits = 1;
        next();
      },
    ],
  },
  { name: 'helmet', handlers: () => [helmet() as unknown as Handler] },
  {
    name: 'cors',
    handlers: () => [
      cors({ origin: ['http://a.example', 'http://b.example'], credentials: true }) as unknown as Handler,
    ],
  },
  { name: 'compression', handlers: () => [compression({ threshold: 0 }) as unknown as Handler] },
  { name: 'response-time', handlers: () => [responseTime() as unknown as Handler] },
  { name: 'pino-http', handlers: (log) => [pinoHttp({}, into(log)) as unknown as Handler] },
  {
    name: 'a request id',
    handlers: () => [
      (_req, res, next) => {
        res.setHeader('X-Request-Id', randomUUID());
        next();
      },
    ],
  },
];

/** All of them, one around the other. */
export const ALL_OUTER: Outer = {
  name: 'all of them at once',
  handlers: (log) => OUTER.flatMap((outer) => outer.handlers(log)),
};
