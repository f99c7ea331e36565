import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { CacheFilterOptions, HookContext } from '../../lib/index.ts';
import type { Reason } from '../../lib/reasons.ts';
import type { Handler, Kind } from '../support/servers.ts';

/** A request as it goes over the wire; by default `GET /a` on a connection of its own that the server closes. */
export interface Say {
  method?: string;
  target?: string;
  version?: '1.0' | '1.1';
  /** Besides `Host` and `Connection: close`, which are sent unless they stand here; undefined: not sent. */
  headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  body?: string;
  /** The very bytes, in place of all of the above (HTTP/1 only). */
  raw?: string;
  /** Leaves as soon as a whole secret has come. */
  leaves?: boolean;
  /** The name on the client's certificate (TLS only). */
  certificate?: 'alice' | 'bob';
}

/**
 * What becomes of A's secret.
 * `never`: nothing is stored, and the handler answers A, B and C, each for themselves.
 * `without`: the response is stored, but not the part that the secret is in; B is answered from the cache.
 * `guarded`: it is stored for A, and the policy keeps it from B.
 * `apart`: it is stored under a key that B's request does not have, and B is answered by the handler.
 * `shared`: B gets it, as documented: nothing in request or response says that it is not for everybody.
 */
export type Fate = 'never' | 'without' | 'guarded' | 'apart' | 'shared';

export type Options = Partial<CacheFilterOptions>;

/** Answers with its secret somewhere in the response. */
export type Answering = (
  req: IncomingMessage,
  res: ServerResponse,
  secret: string,
  next: (error?: unknown) => void,
) => unknown;

export interface Case {
  /** A statement of what the secret is in, or what is asked. */
  name: string;
  /** Why it may not be shared: a section of an RFC, or our own reason. */
  rule: string;
  fate?: Fate;
  /** What `getCacheInfo(res).reason` says of A's request; undefined: nothing; `no route`: the filter does not look at it. */
  reason?: Reason | 'no route';
  options?: Options;
  kind?: Kind;
  /** A server of another kind. Node's own `createServer`, with options, say. */
  listen?: (listener: RequestListener) => Server;
  tls?: boolean;
  /** Middleware outside of the filter. */
  before?: readonly Handler[];
  /** A second filter behind the first, on the same cache. */
  inner?: Options;
  /** Behind the handler: error pages. */
  after?: readonly Handler[];
  handler?: Answering;
  a?: Say;
  /** Default: as A. */
  b?: Say;
  /** A third request, plain. Default: GET for A's target. */
  c?: Say;
  /** The status that B gets. Default 200. */
  status?: number;
  /** A's answer differs from the one without the filter, and this is why. */
  differs?: string;
  /** How often the handler is asked in all, where that is not once by A, B and C each. */
  calls?: number;
  /** B asks only when A has its answer; otherwise the case is tried with both at once, too. */
  inTurn?: boolean;
}

/** Cases that belong together, with a heading. */
export interface Group {
  title: string;
  cases: readonly Case[];
}

export const FRESH: Readonly<Record<string, string>> = { 'Cache-Control': 'max-age=3600' };

export const IMMUTABLE: Options = { freshness: 'immutable' };

/** For everybody, whoever asks. */
export const ANYONE: Options = { freshness: 'immutable', authorize: 'anyone' };

type Fields = Readonly<Record<string, number | string | readonly string[]>>;

/** A body with the secret in it, its length, and these fields. */
export function answer(fields: Fields = FRESH, status = 200): Answering {
  return (req, res, secret) => {
    res.statusCode = status;
    for (const [name, value] of Object.entries(fields)) res.setHeader(name, value as string);
    finish(req, res, secret);
  };
}

/** What is left to do when the head is made: in the body, and in a field for those requests whose answers have none. */
export function finish(req: IncomingMessage, res: ServerResponse, secret: string): void {
  const body = `the body of ${secret}\n`;
  const bodyless = req.method === 'HEAD' || [204, 304].includes(res.statusCode);
  if (!res.headersSent) {
    if (bodyless) res.setHeader('X-Secret', secret);
    if (![204, 304].includes(res.statusCode)) res.setHeader('Content-Length', Buffer.byteLength(body));
  }
  res.end(bodyless ? undefined : body);
}

/** The same body for everybody; the secret is where `say` puts it. */
export function beside(say: (res: ServerResponse, secret: string, req: IncomingMessage) => void): Answering {
  return (req, res, secret) => {
    res.setHeader('Cache-Control', 'max-age=3600');
    say(res, secret, req);
    const body = 'for everybody\n';
    if (!res.headersSent) res.setHeader('Content-Length', body.length);
    res.end(body);
  };
}

/** Who asks, for hooks. */
export function caller({ req }: Pick<HookContext, 'req'>): string {
  return String(req.headers['x-caller']);
}
