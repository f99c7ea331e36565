// docs/reference/options.md

import type { IncomingMessage } from 'node:http';
import type { Cache } from './cache/cache.ts';
import { OptionError } from './errors.ts';
import type { AnyRequest } from './http/message.ts';
import { type Freshness, freshnessProblem } from './policy/freshness.ts';
import type { AuthorizeContext, AuthorizeOutcome, HookContext, MetadataOutcome } from './policy/policy.ts';
import { type ResolvedRoute, type Route, resolveRoutes } from './routes/route.ts';

export interface CacheFilterOptions<Req extends AnyRequest = IncomingMessage, R = unknown> {
  /** Where the files are kept. Required unless `cache` is given; never a temporary directory of our own choosing. */
  directory?: string;
  /** A cache to use in place of the filesystem cache in `directory`. */
  cache?: Cache;
  /** Hard limit for everything kept in `directory`, in bytes. Default 10 GiB. */
  maxBytes?: number;
  /** Smallest body worth keeping, in bytes. Default 0. */
  minEntryBytes?: number;
  /** Largest body that is kept, in bytes. Default half of `maxBytes`. */
  maxEntryBytes?: number;
  /** Which requests can be answered from the cache. Default: every GET below the mount point. */
  routes?: readonly (Route | readonly Route[])[];
  /** How long an entry may be served. Default `'response'`: what the response itself says. */
  freshness?: Freshness;
  /** Keeps the keys of several filters on one directory apart. Default none. */
  namespace?: string;
  /** Steps aside for a request: it goes to the application untouched. */
  bypass?: (context: HookContext<Req>) => boolean | Promise<boolean>;
  /** What the application knows of the resource, for this caller. Asked on every hit, before any byte. */
  metadata?: (context: HookContext<Req>) => MetadataOutcome<R> | Promise<MetadataOutcome<R>>;
  /** Whether this caller may have the entry. Asked on every hit, before any byte. `'anyone'`: whoever reaches the filter. */
  authorize?:
    | 'anyone'
    | ((context: AuthorizeContext<Req, R>) => AuthorizeOutcome | Promise<AuthorizeOutcome>);
  /** Request headers that count as credentials. */
  credentialHeaders?: readonly string[];
  /** Response headers that are never stored, besides those that never are. */
  dropHeaders?: readonly string[];
  /** What proves a body: a length or a digest, a digest, or the clean end of the response. Default `'length'`. */
  integrity?: 'length' | 'digest' | 'end';
  /** What a Range request for something not stored does. Default `'fill'`. */
  coldRange?: 'fill' | 'bypass';
  /** The Cache-Status response header (RFC 9211). Default true: named `cache-filter`, without the key. */
  cacheStatus?: boolean | { name?: string; key?: boolean };
  /** How long a request waits for the head of somebody else's fill, in milliseconds. Default 30,000. */
  collapseTimeoutMs?: number;
  /** How long `close()` waits for what runs, in milliseconds. Default 25,000. */
  closeTimeoutMs?: number;
}

/** The options with every default filled in; frozen. */
export interface Config {
  directory: string | undefined;
  cache: Cache | undefined;
  maxBytes: number;
  minEntryBytes: number;
  maxEntryBytes: number;
  routes: readonly ResolvedRoute[];
  namespace: string;
  bypass: ((context: HookContext<AnyRequest>) => unknown) | undefined;
  metadata: ((context: HookContext<AnyRequest>) => unknown) | undefined;
  authorize: 'anyone' | ((context: AuthorizeContext<AnyRequest, unknown>) => unknown) | undefined;
  credentialHeaders: readonly string[];
  dropHeaders: ReadonlySet<string>;
  integrity: 'length' | 'digest' | 'end';
  coldRange: 'fill' | 'bypass';
  cacheStatus: { name: string; key: boolean } | undefined;
  collapseTimeoutMs: number;
  closeTimeoutMs: number;
}

export const CREDENTIAL_HEADERS: readonly string[] = [
  'Authorization',
  'Cookie',
  'Proxy-Authorization',
  'X-Auth-Token',
  'X-Api-Key',
];

const GIB = 2 ** 30;

/**
 * @throws OptionError naming the option, what came, and what would be right. Unknown names are refused with the nearest known one;
 *   `undefined` is the same as absent; the caller's object is not touched.
 */
export function resolveOptions<Req extends AnyRequest, R>(options: CacheFilterOptions<Req, R>): Config {
  if (typeof options !== 'object' || options === null) {
    throw new OptionError(
      'options',
      `cacheFilter takes an object of options, got ${show(options)}; write cacheFilter({ directory: './cache' })`,
    );
  }
  refuseUnknown(options);
  const { directory, cache } = options;
  if (directory === undefined && cache === undefined) {
    throw new OptionError(
      'directory',
      "directory is required: where the files are kept, for example directory: './.cache/files'",
    );
  }
  if (directory !== undefined && cache !== undefined) {
    throw new OptionError('cache', 'directory and cache exclude each other; give one of them');
  }
  if (
    directory !== undefined &&
    (typeof directory !== 'string' || directory === '' || directory.includes('\0'))
  ) {
    throw new OptionError('directory', `directory must be a path, got ${show(directory)}`);
  }
  if (cache !== undefined) requireCache(cache);

  const maxBytes = bytes(options, 'maxBytes', 10 * GIB);
  const freshness = options.freshness ?? 'response';
  const problem = freshnessProblem(freshness);
  if (problem !== undefined)
    throw new OptionError('freshness', `freshness ${problem}, got ${show(freshness)}`);

  return Object.freeze<Config>({
    directory,
    cache,
    maxBytes,
    minEntryBytes: bytes(options, 'minEntryBytes', 0),
    maxEntryBytes: bytes(options, 'maxEntryBytes', Math.floor(maxBytes / 2)),
    routes: resolveRoutes(options.routes, freshness),
    namespace: text(options, 'namespace', ''),
    bypass: hook(options, 'bypass') as Config['bypass'],
    metadata: hook(options, 'metadata') as Config['metadata'],
    authorize:
      options.authorize === 'anyone' ? 'anyone' : (hook(options, 'authorize') as Config['authorize']),
    credentialHeaders: names(options, 'credentialHeaders', CREDENTIAL_HEADERS),
    dropHeaders: new Set(names(options, 'dropHeaders', [])),
    integrity: oneOf(options, 'integrity', ['length', 'digest', 'end']),
    coldRange: oneOf(options, 'coldRange', ['fill', 'bypass']),
    cacheStatus: resolveCacheStatus(options.cacheStatus),
    collapseTimeoutMs: milliseconds(options, 'collapseTimeoutMs', 30_000),
    closeTimeoutMs: milliseconds(options, 'closeTimeoutMs', 25_000),
  });
}

const KNOWN: Record<keyof CacheFilterOptions, true> = {
  directory: true,
  cache: true,
  maxBytes: true,
  minEntryBytes: true,
  maxEntryBytes: true,
  routes: true,
  freshness: true,
  namespace: true,
  bypass: true,
  metadata: true,
  authorize: true,
  credentialHeaders: true,
  dropHeaders: true,
  integrity: true,
  coldRange: true,
  cacheStatus: true,
  collapseTimeoutMs: true,
  closeTimeoutMs: true,
};

function refuseUnknown(options: object): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(KNOWN, name)) continue;
    const near = nearest(name, Object.keys(KNOWN));
    throw new OptionError(
      name,
      `unknown option ${show(name)}${near === undefined ? '' : `; did you mean ${near}?`}`,
    );
  }
}

/** The known name that takes the fewest single-letter edits, if that is few enough to be a slip of the pen. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = edits(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

type Options = CacheFilterOptions<never, never>;
type Name = keyof CacheFilterOptions;

function bytes(options: object, name: Name, fallback: number): number {
  const value = (options as Options)[name] ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new OptionError(
      name,
      `${name} must be a whole number of bytes, got ${show(value)}; write for example 100 * 2 ** 30`,
    );
  }
  return value;
}

function milliseconds(options: object, name: Name, fallback: number): number {
  const value = (options as Options)[name] ?? fallback;
  // setTimeout fires at once beyond 2 ** 31 - 1.
  if (typeof value !== 'number' || !(value >= 0) || value > 2 ** 31 - 1) {
    throw new OptionError(
      name,
      `${name} must be a number of milliseconds from 0 to 2147483647, got ${show(value)}`,
    );
  }
  return value;
}

function text(options: object, name: Name, fallback: string): string {
  const value = (options as Options)[name] ?? fallback;
  if (typeof value !== 'string') throw new OptionError(name, `${name} must be a string, got ${show(value)}`);
  return value;
}

function hook(options: object, name: 'bypass' | 'metadata' | 'authorize'): unknown {
  const value = (options as Options)[name];
  if (value !== undefined && typeof value !== 'function') {
    const also = name === 'authorize' ? " or 'anyone'" : '';
    throw new OptionError(name, `${name} must be a function${also}, got ${show(value)}`);
  }
  return value;
}

function oneOf<T extends string>(options: object, name: Name, allowed: readonly [T, ...T[]]): T {
  const value = (options as Options)[name] ?? allowed[0];
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new OptionError(
      name,
      `${name} must be one of ${allowed.map((word) => `'${word}'`).join(', ')}, got ${show(value)}`,
    );
  }
  return found;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function names(options: object, name: Name, fallback: readonly string[]): string[] {
  const value: unknown = (options as Options)[name] ?? fallback;
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string' && TOKEN.test(item))) {
    throw new OptionError(name, `${name} must be an array of header names, got ${show(value)}`);
  }
  return value.map((item: string) => item.toLowerCase());
}

function resolveCacheStatus(value: CacheFilterOptions['cacheStatus'] = true): Config['cacheStatus'] {
  if (value === false) return undefined;
  if (value === true) return { name: 'cache-filter', key: false };
  if (typeof value !== 'object' || value === null) {
    throw new OptionError(
      'cacheStatus',
      `cacheStatus must be true, false or { name, key }, got ${show(value)}`,
    );
  }
  const { name = 'cache-filter', key = false, ...rest } = value;
  if (typeof name !== 'string' || name === '' || typeof key !== 'boolean' || Object.keys(rest).length > 0) {
    throw new OptionError(
      'cacheStatus',
      `cacheStatus takes { name: string, key: boolean }, got ${show(value)}`,
    );
  }
  return { name, key };
}

const CACHE_METHODS = [
  'open',
  'claim',
  'invalidate',
  'info',
  'list',
  'prune',
  'clean',
  'stats',
  'close',
] as const;

function requireCache(cache: unknown): void {
  const missing = CACHE_METHODS.filter(
    (name) => typeof (cache as Record<string, unknown> | null)?.[name] !== 'function',
  );
  if (missing.length > 0) {
    throw new OptionError(
      'cache',
      `cache must be a Cache (FileCache, MemoryCache or your own); it lacks ${missing.join(', ')}`,
    );
  }
}

/** A value as one would write it, short enough for an error message. */
export function show(value: unknown): string {
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`;
  if (typeof value === 'bigint') return `${value}n`;
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // cyclic, or a toJSON that throws
  }
  text ??= String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
