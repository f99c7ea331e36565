// docs/guides/routes.md

import { areHeaderNames, isBytes, nearest } from '../checks.ts';
import { HookError, OptionError } from '../errors.ts';
import { type Digest, type DigestAlgorithm, parseDigest } from '../http/digest.ts';
import type { AnyRequest } from '../http/message.ts';
import { type Freshness, freshnessProblem } from '../policy/freshness.ts';
import type { RewriteContext } from '../policy/hooks.ts';
import { finder, pathOfId, type RouteAnswer, type RoutePath, type RouteRequest } from './finder.ts';

export type { RouteAnswer, RouteRequest };

/** Which requests can be answered from the cache, and what they name. */
export interface Route {
  /** A pattern of path-to-regexp 8 (`/files/:id`, `/pool/*path`), a RegExp, or a function; of the path below the mount point. */
  path: RoutePath;
  /** What hooks see as `route`. Default: the pattern as written. */
  name?: string;
  /** The parameter, or named group, that is the resource's id. Default `id`, else the first. */
  id?: string;
  /** Ids that are none: such a request does not match. */
  reserved?: readonly string[];
  /** Whether GET and HEAD are answered. Default true; false for routes that only purge. */
  read?: boolean;
  /** Methods that purge when the application has answered them with 2xx. Default DELETE. */
  purge?: readonly string[];
  /** Default: the filter's. */
  freshness?: Freshness;
  /** The primary key, from the id and the parameters. Default: the path as originally requested. */
  key?: (match: { id: string; params: Readonly<Record<string, string>> }) => string;
  /** Which query parameters tell representations apart. Default: all of the query, as it came; false: none. */
  query?: readonly string[] | false;
  /** Request headers that tell representations apart. Default: the filter's. */
  vary?: readonly string[];
  /** Smallest and largest body worth keeping, in bytes. Default: the filter's. */
  minEntryBytes?: number;
  maxEntryBytes?: number;
  /** Digests to compute besides SHA-256 and the declared ones, so that `metadata` can be compared with them. */
  digests?: readonly DigestAlgorithm[];
  /** `false`: answers are never kept, nor looked for. Default true. */
  store?: boolean;
  /**
   * What is kept and sent in place of a document that came from the origin with 200; undefined: the document itself. It is read as a whole,
   * decoded, at most 64 MiB. A strong ETag becomes a weak one.
   */
  rewrite?: (
    context: RewriteContext<AnyRequest>,
    body: Buffer,
  ) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /** `'off'`: what matches is none of the filter's business, whatever later routes say. */
  filter?: 'off';
}

/** What of a route the filter has a default for. */
export interface RouteDefaults {
  freshness: Freshness;
  /** Lower-case. */
  vary: readonly string[];
  minEntryBytes: number;
  maxEntryBytes: number;
}

export interface ResolvedRoute extends RouteDefaults {
  name: string;
  /** What it says of a request depends on nothing but method and target. */
  fixed: boolean;
  store: boolean;
  rewrite: Route['rewrite'];
  digests: readonly DigestAlgorithm[];
  /** The path of an id, where the pattern of the route says it. */
  pathOf?: ((id: string) => string | undefined) | undefined;
  /** `'off'`: what matches is to be left alone. */
  match(request: RouteRequest): Omit<RouteMatch, 'route'> | 'off' | undefined;
}

/** What a request means. */
export interface RouteMatch {
  route: ResolvedRoute;
  action: 'read' | 'purge';
  id: string;
  params: Readonly<Record<string, string>>;
  /** The primary key where the route makes its own; otherwise the path decides. */
  key: string | undefined;
  /** The path below the mount point in one spelling, so that a purge meets all of them. */
  path: string;
  /** The path as it was spelled, where that is another way: the application may tell the two apart. */
  spelling?: string;
  /** The part of the query that tells representations apart. */
  query: string;
  digest?: Digest;
}

/** The first route that matches decides. */
export function matchRoute(routes: readonly ResolvedRoute[], request: RouteRequest): RouteMatch | undefined {
  for (const route of routes) {
    const found = route.match(request);
    if (found === 'off') return undefined;
    if (found !== undefined) return { route, ...found };
  }
  return undefined;
}

/** @throws OptionError where a route can't be understood */
export function resolveRoutes(routes: unknown, defaults: RouteDefaults): ResolvedRoute[] {
  if (routes === undefined) return [resolveRoute({ path: everything, name: 'all' }, 'routes', defaults)];
  if (!Array.isArray(routes)) {
    throw new OptionError(
      'routes',
      "routes must be an array, for example [{ path: '/files/:id' }] or glance()",
    );
  }
  return routes.flat().map((route: unknown, i) => {
    if (typeof route !== 'object' || route === null) {
      throw new OptionError(
        'routes',
        `routes[${i}] must be an object with a path, for example { path: '/files/:id' }`,
      );
    }
    return resolveRoute(route as Route, `routes[${i}]`, defaults);
  });
}

function everything({ path }: RouteRequest): RouteAnswer {
  return { id: path };
}

const KNOWN: Record<keyof Route, true> = {
  path: true,
  name: true,
  id: true,
  reserved: true,
  read: true,
  purge: true,
  freshness: true,
  key: true,
  query: true,
  vary: true,
  minEntryBytes: true,
  maxEntryBytes: true,
  digests: true,
  store: true,
  rewrite: true,
  filter: true,
};

const ALGORITHMS: Record<DigestAlgorithm, true> = {
  md5: true,
  sha1: true,
  sha256: true,
  sha384: true,
  sha512: true,
};

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function resolveRoute(route: Route, where: string, defaults: RouteDefaults): ResolvedRoute {
  const refuse = (text: string) => new OptionError('routes', `${where} ${text}`);
  checkRoute(route, refuse);
  const { path, reserved = [], read = true, purge = ['DELETE'], key, query, digests = [] } = route;
  const {
    freshness = defaults.freshness,
    vary = defaults.vary,
    minEntryBytes = defaults.minEntryBytes,
    maxEntryBytes = defaults.maxEntryBytes,
  } = route;
  const find = finder(route, refuse);
  return {
    name: route.name ?? String(typeof path === 'function' ? path.name || 'function' : path),
    fixed: (typeof path !== 'function' || path === everything) && key === undefined,
    freshness,
    vary: vary.map((name) => name.toLowerCase()),
    minEntryBytes,
    maxEntryBytes,
    digests,
    store: route.store ?? true,
    rewrite: route.rewrite,
    pathOf: read && route.filter !== 'off' ? pathOfId(path, route.id) : undefined,
    match(request) {
      if (route.filter === 'off') return find(request) && 'off';
      const reads = read && (request.method === 'GET' || request.method === 'HEAD');
      if (!reads && !purge.includes(request.method) && typeof path !== 'function') return undefined;
      const answer = find(request);
      if (answer !== undefined && typeof answer?.id !== 'string') {
        throw new HookError(
          'routes',
          `${where} answered ${String(answer)}; a route's function says { id: string } or undefined`,
        );
      }
      if (
        answer === undefined ||
        answer.id === '' ||
        !request.path.startsWith('/') ||
        // A target has no fragment (RFC 9112, 3.2). How much of this one the application reads is its own affair.
        request.path.includes('#') ||
        request.query.includes('#') ||
        reserved.includes(answer.id)
      )
        return undefined;
      const action = answer.action ?? (reads ? 'read' : purge.includes(request.method) ? 'purge' : undefined);
      if (action === undefined || (action === 'read' && !reads)) return undefined;
      const { id, params = {} } = answer;
      const digest = answer.digest === undefined ? undefined : parseDigest(answer.digest);
      return {
        action,
        id,
        params,
        key: key?.({ id, params }),
        ...spelled(request.path, answer.canonical ?? canonicalPath(request.path)),
        query: relevantQuery(request.query, query),
        ...(digest === undefined ? {} : { digest }),
      };
    },
  };
}

/** @throws OptionError, made by `refuse`, for the first member that can't be used as given */
function checkRoute(route: Route, refuse: (text: string) => OptionError): void {
  for (const name of Object.keys(route)) {
    if (Object.hasOwn(KNOWN, name)) continue;
    const names = Object.keys(KNOWN);
    const near = nearest(name, names);
    throw refuse(
      `has an unknown member '${name}'${near === undefined ? '' : `; did you mean ${near}?`}; a route has ${names.join(', ')}`,
    );
  }
  const { freshness, name, read, reserved, query, digests, purge, key, vary, store, rewrite, filter } = route;
  const problem = freshness === undefined ? undefined : freshnessProblem(freshness);
  if (problem !== undefined) throw refuse(`freshness ${problem}`);
  if (name !== undefined && typeof name !== 'string') throw refuse('name must be a string');
  if (read !== undefined && typeof read !== 'boolean') throw refuse('read must be true or false');
  if (reserved !== undefined && !isStrings(reserved))
    throw refuse("reserved must be an array of ids, for example ['detail']");
  if (query !== undefined && query !== false && !isStrings(query)) {
    throw refuse("query must be false, or an array of parameter names, for example ['version']");
  }
  if (vary !== undefined && !areHeaderNames(vary)) {
    throw refuse("vary must be an array of header names, for example ['Accept-Encoding']");
  }
  for (const size of ['minEntryBytes', 'maxEntryBytes'] as const) {
    if (route[size] !== undefined && !isBytes(route[size]))
      throw refuse(`${size} must be a whole number of bytes`);
  }
  if (
    digests !== undefined &&
    !(Array.isArray(digests) && digests.every((each) => Object.hasOwn(ALGORITHMS, each)))
  ) {
    throw refuse(`digests must be an array of ${Object.keys(ALGORITHMS).join(', ')}`);
  }
  if (purge !== undefined && !(Array.isArray(purge) && purge.every((method) => /^[A-Z]+$/.test(method)))) {
    throw refuse("purge must be an array of methods in capitals, for example ['DELETE', 'PUT']");
  }
  if (purge?.includes('GET') || purge?.includes('HEAD'))
    throw refuse('purge may not hold GET or HEAD: they read');
  if (key !== undefined && typeof key !== 'function')
    throw refuse('key must be a function of { id, params }');
  if (store !== undefined && typeof store !== 'boolean') throw refuse('store must be true or false');
  if (rewrite !== undefined && typeof rewrite !== 'function')
    throw refuse('rewrite must be a function of a context and a Buffer');
  if (filter !== undefined && filter !== 'off') throw refuse("filter must be 'off', or left out");
}

function spelled(requested: string, path: string): { path: string; spelling?: string } {
  return requested === path ? { path } : { path, spelling: requested };
}

/** A path with each segment escaped in the one usual way; as it came where its escapes are malformed. */
export function canonicalPath(path: string): string {
  try {
    return path
      .split('/')
      .map((segment) => encodeURIComponent(decodeURIComponent(segment)))
      .join('/');
  } catch {
    return path;
  }
}

/** Parsers of applications stop at this many parameters (node:querystring and qs alike). */
const PARSED_PARAMETERS = 1000;

function relevantQuery(query: string, wanted: Route['query']): string {
  if (wanted === false) return '';
  if (wanted === undefined || isAmbiguous(query)) return query;
  const parameters = [...new URLSearchParams(query)].map(([name, value]) => ({ name, value }));
  const kept = new URLSearchParams();
  for (const each of wanted) {
    for (const { name, value } of parameters) if (baseOf(name) === each) kept.append(name, value);
  }
  return kept.toString();
}

/** Whether an application may read something else in it than we do: then all of it tells representations apart. */
function isAmbiguous(query: string): boolean {
  if (query.split('&', PARSED_PARAMETERS).length === PARSED_PARAMETERS) return true;
  try {
    decodeURIComponent(query);
    return false;
  } catch {
    return true;
  }
}

/** `version[]`, `version[x]` and `[version]` are `version` to qs, which Express uses. */
function baseOf(name: string): string {
  return name.split(/[[\]]+/).find((part) => part !== '') ?? name;
}
