import type { Key } from './cache/cache.ts';
import type { HeaderPairs } from './http/body.ts';
import { appendCacheStatus, type CacheStatus, formatCacheStatus } from './http/cache-status.ts';
import type { AnyRequest, AnyResponse } from './http/message.ts';
import type { Config } from './options.ts';
import type { HookContext } from './policy/policy.ts';
import type { Reason } from './reasons.ts';
import type { Asked } from './response/send.ts';
import type { RouteMatch } from './routes/route.ts';

export type Next = (error?: unknown) => unknown;

/** What the filter did with a request; `getCacheInfo(res)` tells. */
export interface CacheInfo {
  status: 'hit' | 'miss' | 'bypass';
  /** Name of the route that matched, and what the request named there. */
  route: string;
  id: string;
  key: string;
  /** The response is being kept. */
  stored?: boolean;
  /** The response came from a fill that another request began. */
  collapsed?: boolean;
  /** Why it was not answered from the cache, or not kept. */
  reason?: Reason;
}

const infos = new WeakMap<object, CacheInfo>();

/** What the filter did with the request of this response; undefined where it did not match a route. */
export function getCacheInfo(res: object): Readonly<CacheInfo> | undefined {
  return infos.get(res);
}

/** One matched request on its way through the filter. */
export class Exchange {
  readonly req: AnyRequest;
  readonly res: AnyResponse;
  readonly next: Next;
  readonly match: RouteMatch;
  readonly key: Key;
  readonly tag: string;
  /** What the client asked, as it came. */
  readonly asked: Asked;
  /** The request carries credentials, and no `authorize` says who may have what. */
  readonly credentials: boolean;
  readonly info: CacheInfo;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** The head arrived at this time in an entry that is no longer fresh. */
  staleSince: number | undefined;
  readonly #status: Config['cacheStatus'];

  constructor(
    config: Config,
    req: AnyRequest,
    res: AnyResponse,
    next: Next,
    match: RouteMatch,
    mount: string,
  ) {
    this.req = req;
    this.res = res;
    this.next = next;
    this.match = match;
    this.key = keyOf(config, match, mount);
    this.tag = tagOf(match.route.name, match.id);
    this.asked = { method: req.method ?? 'GET', headers: { ...req.headers } };
    this.credentials = config.authorize === undefined && carriesCredentials(req, config.credentialHeaders);
    this.info = { status: 'miss', route: match.route.name, id: match.id, key: this.key.primary };
    this.#status = config.cacheStatus;
    infos.set(res, this.info);
    const controller = new AbortController();
    this.signal = controller.signal;
    res.once('close', () => controller.abort());
  }

  get context(): HookContext<AnyRequest> {
    const { route, id, params, digest } = this.match;
    return {
      req: this.req,
      id,
      key: this.key.primary,
      route: route.name,
      params,
      signal: this.signal,
      ...(digest === undefined ? {} : { digest }),
    };
  }

  /** The Cache-Status field of an answer whose own field so far is `existing`. */
  statusField(status: CacheStatus, existing?: string): HeaderPairs {
    if (this.#status === undefined) return [];
    const { name, key } = this.#status;
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

/** The part of the path that was taken off by mounting; the path is matched below it. */
export function mountOf(req: AnyRequest): string {
  const { originalUrl } = req as { originalUrl?: unknown };
  if (typeof originalUrl !== 'string') return '';
  const [original, path] = [pathOf(originalUrl), pathOf(req.url ?? '')];
  if (original.endsWith(path)) return original.slice(0, original.length - path.length);
  // Of a request for the mount point itself nothing is left; Express and Connect write that as a slash.
  return path === '/' ? original : '';
}

function pathOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? url : url.slice(0, at);
}

/** What an entry is stored under. The query tells variants apart, so that purging a path takes all of them. */
export function keyOf({ namespace }: Pick<Config, 'namespace'>, match: RouteMatch, mount: string): Key {
  const primary = `${namespace}${namespace === '' ? '' : ':'}${match.key ?? `${mount}${match.path}`}`;
  return match.query === '' ? { primary } : { primary, variant: `?${match.query}` };
}

export function tagOf(route: string, id: string): string {
  return `${route}:${id}`;
}

function carriesCredentials(req: AnyRequest, names: readonly string[]): boolean {
  if (names.some((name) => req.headers[name] !== undefined)) return true;
  const socket = req.socket as { authorized?: boolean; getPeerCertificate?(): object } | null;
  return socket?.authorized === true && Object.keys(socket.getPeerCertificate?.() ?? {}).length > 0;
}
