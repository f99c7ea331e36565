import type { Key } from '../cache/cache.ts';
import type { HeaderPairs, ResponseHead } from '../http/body.ts';
import { appendCacheStatus, type CacheStatus, formatCacheStatus } from '../http/cache-status.ts';
import type { AnyRequest, AnyResponse } from '../http/message.ts';
import type { Config } from '../options.ts';
import type { HookContext } from '../policy/hooks.ts';
import { isPublic } from '../policy/storable.ts';
import type { Reason } from '../reasons.ts';
import { onDeparture } from '../response/departure.ts';
import { ClientGone } from '../response/flow.ts';
import type { Asked } from '../response/plan.ts';
import type { RouteMatch } from '../routes/route.ts';
import { targetOf } from '../routes/table.ts';
import type { Errand } from './errand.ts';
import { keyOf, mountOf, tagOf } from './keys.ts';

/** What hands a request on, or an error to the application's error handler. */
export type Next = (error?: unknown) => unknown;

/** What the filter did with a request; `getCacheInfo(res)` tells. */
export interface CacheInfo {
  status: 'hit' | 'miss' | 'bypass';
  /** Name of the route that matched, and what the request named there. */
  route: string;
  id: string;
  /** The primary key. */
  key: string;
  /** The response is being kept; false: it was not. */
  stored?: boolean;
  /** The response came from a fill that another request began. */
  collapsed?: boolean;
  /** Why it was not answered from the cache, or not kept. */
  reason?: Reason;
}

/** On the response itself: a WeakMap of as many keys as there are requests is work for the garbage collector. */
const INFO = Symbol('cache-filter');

/** What the filter did with the request of this response; undefined where it did not match a route. */
export function getCacheInfo(res: object): Readonly<CacheInfo> | undefined {
  return (res as { [INFO]?: CacheInfo })[INFO];
}

/** One matched request on its way through the filter. */
export class Exchange implements Errand {
  readonly req: AnyRequest;
  readonly res: AnyResponse;
  readonly next: Next;
  readonly match: RouteMatch;
  readonly key: Key;
  /** What the client asked, as it came. */
  asked: Asked;
  /** The request carries credentials, and no `authorize` says who may have what. */
  readonly credentials: boolean;
  readonly info: CacheInfo;
  /** The head arrived at this time in an entry that is no longer fresh. */
  staleSince: number | undefined;
  /** The cache has not answered in time: it is not asked again. */
  storeIsLate = false;
  /** Which version of the resource a response will be of, as `metadata` said before the application was asked. */
  version: string | undefined;
  readonly #config: Config;
  // Made when somebody asks: a hit from memory is over before anybody could leave.
  #over: AbortController | undefined;
  #closing: AbortController | undefined;
  #context: HookContext<AnyRequest> | undefined;

  constructor(config: Config, req: AnyRequest, res: AnyResponse, next: Next, match: RouteMatch) {
    this.#config = config;
    this.req = req;
    this.res = res;
    this.next = next;
    this.match = match;
    this.key = keyOf(config, match, mountOf(req), req.headers);
    this.asked = { method: req.method ?? 'GET', headers: req.headers };
    this.credentials = config.authorize === undefined && tells(config, req);
    this.info = { status: 'miss', route: match.route.name, id: match.id, key: this.key.primary };
    (res as { [INFO]?: CacheInfo })[INFO] = this.info;
  }

  get target(): string {
    const { path, query } = targetOf(this.req.url ?? '');
    return query === '' ? path : `${path}?${query}`;
  }

  get tag(): string {
    return tagOf(this.#config, this.match.route.name, this.match.id);
  }

  /** How long the client may take nothing of an answer, in milliseconds; 0: for ever. */
  get sendTimeoutMs(): number {
    return this.#config.sendTimeoutMs;
  }

  /** A part of a body that is being fetched waits until the whole is verified. */
  get waitsForProof(): boolean {
    return this.#config.provisionalRanges === 'wait';
  }

  /** Aborted when the client leaves, or with `closing`. Has to be asked for before the response is tapped. */
  get signal(): AbortSignal {
    this.#over ??= this.#watch();
    return this.#over.signal;
  }

  /** Aborted when the filter closes and can't wait any longer. */
  get closing(): AbortSignal {
    this.#closing ??= new AbortController();
    return this.#closing.signal;
  }

  #watch(): AbortController {
    const over = new AbortController();
    onDeparture(this.req, this.res, () => over.abort(new ClientGone()));
    return over;
  }

  /** Its client has gone, as an answer that could not be written shows before the connection says so. */
  left(): void {
    this.#over?.abort(new ClientGone());
  }

  /** From here on handlers run, which may change the request's own headers. */
  keepAsked(): void {
    this.asked = { ...this.asked, headers: { ...this.asked.headers } };
  }

  /** Ends what the filter does for this request; a client that is still there sees it. */
  stop(reason: Error): void {
    this.#over ??= this.#watch();
    this.#closing ??= new AbortController();
    this.#over.abort(reason);
    this.#closing.abort(reason);
  }

  /** Whether an answer with this head may go to this client: not with credentials, unless it is for everybody. */
  mayShare(head: ResponseHead): boolean {
    return !this.credentials || isPublic(head);
  }

  /** Why it went on to whoever has it. */
  get forwarded(): { fwd: 'uri-miss' | 'stale' } {
    return { fwd: this.staleSince === undefined ? 'uri-miss' : 'stale' };
  }

  /** What hooks are called with. */
  get context(): HookContext<AnyRequest> {
    if (this.#context !== undefined) return this.#context;
    const { route, id, params, digest } = this.match;
    const exchange = this;
    this.#context = {
      req: this.req,
      id,
      key: this.key.primary,
      route: route.name,
      params,
      get signal() {
        return exchange.signal;
      },
      ...(digest === undefined ? {} : { digest }),
    };
    return this.#context;
  }

  /** The Cache-Status field of an answer whose own field so far is `existing`. */
  statusField(status: CacheStatus, existing?: string): HeaderPairs {
    const { cacheStatus } = this.#config;
    if (cacheStatus === undefined) return [];
    const { name, key } = cacheStatus;
    const member = formatCacheStatus(name, { ...status, ...(key ? { key: this.key.primary } : {}) });
    return [['Cache-Status', appendCacheStatus(existing, member)]];
  }

  /** Says on a response that the application gives why it was not the cache. */
  mark(status: CacheStatus): HeaderPairs {
    const field = this.statusField(status, headerText(this.res, 'Cache-Status'));
    if (!this.res.headersSent) for (const [name, value] of field) this.res.setHeader(name, value);
    return field;
  }
}

function headerText(res: AnyResponse, name: string): string | undefined {
  const value = res.getHeader(name);
  return value === undefined ? undefined : String(value);
}

/** Whether the request has a body: then the answer may depend on more than its URL. */
export function hasBody(req: AnyRequest): boolean {
  if ('stream' in req && !req.stream.endAfterHeaders) return true;
  const { headers } = req;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/**
 * Whether the request has a Content-Range. It means nothing there (RFC 9110, 14.4), except to applications that take it for a Range, as
 * Glance does: only they know what they will answer.
 */
export function hasContentRange({ headers }: AnyRequest): boolean {
  return headers['content-range'] !== undefined && headers['content-range'] !== '';
}

/** Whether the answer may be another one for whoever asks: an origin is only told what is forwarded. */
function tells({ origin, forwardHeaders, credentialHeaders }: Config, req: AnyRequest): boolean {
  if (origin === undefined) return carriesCredentials(req, credentialHeaders);
  return credentialHeaders.some((name) => forwardHeaders.includes(name) && req.headers[name] !== undefined);
}

function carriesCredentials(req: AnyRequest, names: readonly string[]): boolean {
  if (names.some((name) => req.headers[name] !== undefined)) return true;
  // A name, with or without a password, in a target in absolute form (RFC 9110, 4.2.4), wherever the filter is mounted.
  const { originalUrl = req.url } = req as { originalUrl?: unknown };
  if (typeof originalUrl === 'string' && /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*@/i.test(originalUrl)) return true;
  // Whether it was authorised or not: applications have checks of their own.
  const socket = req.socket as { getPeerCertificate?(): object | null } | null;
  return Object.keys(socket?.getPeerCertificate?.() ?? {}).length > 0;
}
