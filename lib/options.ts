// docs/reference/options.md

import type { IncomingMessage } from 'node:http';
import type { Cache } from './cache/cache.ts';
import { FILE_CACHE_OPTIONS, type FileCacheOptions } from './cache/file-cache-options.ts';
import { requireCache } from './cache/require.ts';
import { OptionReader, show } from './checks.ts';
import { OptionError } from './errors.ts';
import type { AnyRequest } from './http/message.ts';
import {
  ORIGIN_OPTIONS,
  type OriginConfig,
  type OriginOptions,
  resolveOriginOptions,
} from './origin-options.ts';
import { type ClientAbort, clientAbortProblem } from './policy/client-abort.ts';
import { type Freshness, freshnessProblem } from './policy/freshness.ts';
import type {
  AuthorizeContext,
  AuthorizeOutcome,
  HookContext,
  Hooks,
  MetadataOutcome,
  ResponseContext,
  ServedContext,
} from './policy/hooks.ts';
import { type ResolvedRoute, type Route, resolveRoutes } from './routes/route.ts';

/** Options of the filesystem cache that the filter makes in `directory`. */
type StoreOptions = Omit<FileCacheOptions, 'directory'>;

/** What `cacheFilter()` takes. `Req` is the request as hooks see it, `R` what `metadata` knows of a resource. */
export interface CacheFilterOptions<Req extends AnyRequest = IncomingMessage, R = unknown>
  extends StoreOptions,
    OriginOptions<Req> {
  /** Where the files are kept; created where it is missing. Required unless `cache` is given. */
  directory?: string;
  /** A cache to use in place of the filesystem cache in `directory`. The options of a cache are then given to it; `close()` leaves it open. */
  cache?: Cache;
  /** Smallest body worth keeping, in bytes. Default 0. */
  minEntryBytes?: number;
  /** Keep what is asked for the n-th time, counted by this process. Default 1: the first time. */
  minUses?: number;
  /** Which requests can be answered from the cache. Default: every GET below the mount point. */
  routes?: readonly (Route | readonly Route[])[];
  /** How long an entry may be served. Default `'response'`: what the response itself says. */
  freshness?: Freshness;
  /** Request headers that tell representations apart, as a response says by Vary. Default none: what varies is not kept. */
  vary?: readonly string[];
  /** Keeps hosts apart: the Host header is part of the key. Default false. */
  keyHost?: boolean;
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
  /** Whether a response that may be kept is worth it. */
  shouldStore?: (context: ResponseContext<Req>) => boolean | Promise<boolean>;
  /** What the body of a response must hash to: `'sha256:<hex>'` or `'sha256-<base64>'`; undefined where nobody knows. */
  digest?: (context: ResponseContext<Req>) => string | undefined | Promise<string | undefined>;
  /** Told of each answer that the filter has given, when it is over. */
  onServed?: (context: ServedContext<Req>) => void | Promise<void>;
  /** How long a hook may take, in milliseconds. Default 30,000. */
  hookTimeoutMs?: number;
  /**
   * Request headers that count as credentials, in place of the default: Authorization, Cookie, Proxy-Authorization, X-Auth-Token,
   * X-Api-Key.
   */
  credentialHeaders?: readonly string[];
  /** Response headers that are never stored, besides those that never are. */
  dropHeaders?: readonly string[];
  /** What proves a body: a length or a digest, a digest, or the clean end of the response. Default `'length'`. */
  integrity?: 'length' | 'digest' | 'end';
  /** What a Range request for something not stored does. Default `'direct'` with an origin, else `'fill'`. */
  coldRange?: 'direct' | 'fill' | 'bypass';
  /** Whether a part of a body that is still being fetched goes out at once, unverified, or waits for the end. Default `'serve'`. */
  provisionalRanges?: 'serve' | 'wait';
  /** The Cache-Status response header (RFC 9211). Default true: named `cache-filter`, without the key. */
  cacheStatus?: boolean | { name?: string; key?: boolean };
  /** How long a request waits for the head of somebody else's fill, in milliseconds. Default 30,000. */
  collapseTimeoutMs?: number;
  /** So many fills are led at a time. Default 64; what comes beyond is answered by the application, or joins one of them. */
  maxFills?: number;
  /** How long a handler may do nothing before its fill is handed over, in milliseconds; 0: for ever. Default 60,000. */
  stallTimeoutMs?: number;
  /** How long a handler may take for a fill in all, in milliseconds. Default: for ever. */
  maxFillMs?: number;
  /** How long a client may take nothing before it is cut off, in milliseconds; 0: for ever. Default 120,000. */
  sendTimeoutMs?: number;
  /** How long the cache may take to find, claim, begin or purge something, in milliseconds; 0: for ever. Default 30,000. */
  storeTimeoutMs?: number;
  /** What becomes of a fill when its last client has left. Default `'finish'`. */
  clientAbort?: ClientAbort<Req>;
  /** How long `close()` waits for what runs, in milliseconds. Default 25,000. */
  closeTimeoutMs?: number;
}

/** The options with every default filled in; frozen. */
export interface Config extends Hooks, OriginConfig {
  /** The cache to use, or what to make one of. */
  cache: Cache | undefined;
  store: FileCacheOptions;
  minEntryBytes: number;
  maxEntryBytes: number;
  minUses: number;
  routes: readonly ResolvedRoute[];
  keyHost: boolean;
  namespace: string;
  credentialHeaders: readonly string[];
  dropHeaders: ReadonlySet<string>;
  integrity: 'length' | 'digest' | 'end';
  coldRange: 'direct' | 'fill' | 'bypass';
  provisionalRanges: 'serve' | 'wait';
  cacheStatus: { name: string; key: boolean } | undefined;
  collapseTimeoutMs: number;
  maxFills: number;
  stallTimeoutMs: number;
  maxFillMs: number | undefined;
  sendTimeoutMs: number;
  storeTimeoutMs: number;
  clientAbort: ClientAbort;
  closeTimeoutMs: number;
}

/** The default of `credentialHeaders`. */
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
  const read = new OptionReader(options, KNOWN);
  const store = storeOptions(options);
  const maxBytes = read.bytes('maxBytes', 10 * GIB);
  const freshness = options.freshness ?? 'response';
  const problem = freshnessProblem(freshness);
  if (problem !== undefined)
    throw new OptionError('freshness', `freshness ${problem}, got ${show(freshness)}`);
  const { clientAbort = 'finish' } = options;
  const wrong = clientAbortProblem(clientAbort);
  if (wrong !== undefined)
    throw new OptionError('clientAbort', `clientAbort ${wrong}, got ${show(clientAbort)}`);
  const minEntryBytes = read.bytes('minEntryBytes', 0);
  // A cache that was given has a limit of its own.
  const most = options.cache === undefined ? Math.floor(maxBytes / 2) : Number.MAX_SAFE_INTEGER;
  const maxEntryBytes = read.bytes('maxEntryBytes', most);
  const defaults = { freshness, vary: read.headerNames('vary', []), minEntryBytes, maxEntryBytes };

  return Object.freeze<Config>({
    cache: options.cache,
    store,
    minEntryBytes,
    maxEntryBytes,
    minUses: read.count('minUses', 1),
    routes: resolveRoutes(options.routes, defaults),
    keyHost: read.flag('keyHost', false),
    namespace: read.text('namespace', ''),
    bypass: read.hook('bypass') as Config['bypass'],
    metadata: read.hook('metadata') as Config['metadata'],
    authorize: read.hook('authorize', 'anyone') as Config['authorize'],
    shouldStore: read.hook('shouldStore') as Config['shouldStore'],
    digest: read.hook('digest') as Config['digest'],
    onServed: read.hook('onServed') as Config['onServed'],
    hookTimeoutMs: read.milliseconds('hookTimeoutMs', 30_000),
    credentialHeaders: read.headerNames('credentialHeaders', CREDENTIAL_HEADERS),
    dropHeaders: new Set(read.headerNames('dropHeaders', [])),
    integrity: read.oneOf('integrity', ['length', 'digest', 'end']),
    ...resolveOriginOptions(options),
    coldRange: coldRangeOf(options, read),
    provisionalRanges: read.oneOf('provisionalRanges', ['serve', 'wait']),
    cacheStatus: resolveCacheStatus(options.cacheStatus),
    collapseTimeoutMs: read.milliseconds('collapseTimeoutMs', 30_000),
    maxFills: read.count('maxFills', 64),
    stallTimeoutMs: read.milliseconds('stallTimeoutMs', 60_000),
    maxFillMs: read.milliseconds('maxFillMs', undefined),
    sendTimeoutMs: read.milliseconds('sendTimeoutMs', 120_000),
    storeTimeoutMs: read.milliseconds('storeTimeoutMs', 30_000),
    clientAbort: clientAbort as ClientAbort,
    closeTimeoutMs: read.milliseconds('closeTimeoutMs', 25_000),
  });
}

function coldRangeOf<Req extends AnyRequest, R>(
  { origin, coldRange }: CacheFilterOptions<Req, R>,
  read: OptionReader<CacheFilterOptions<Req, R>>,
): Config['coldRange'] {
  if (origin !== undefined) return read.oneOf('coldRange', ['direct', 'fill', 'bypass']);
  if (coldRange === 'direct')
    throw new OptionError(
      'coldRange',
      "coldRange: 'direct' asks an origin for ranges, and there is none: give origin, a URL",
    );
  return read.oneOf('coldRange', ['fill', 'bypass']);
}

/** Those of the filter's options that its FileCache checks itself. */
const { directory: _, ...STORE }: Record<keyof FileCacheOptions, true> = FILE_CACHE_OPTIONS;

const KNOWN: Record<keyof CacheFilterOptions, true> = {
  ...STORE,
  ...ORIGIN_OPTIONS,
  directory: true,
  cache: true,
  minEntryBytes: true,
  minUses: true,
  routes: true,
  freshness: true,
  vary: true,
  keyHost: true,
  namespace: true,
  bypass: true,
  metadata: true,
  authorize: true,
  shouldStore: true,
  digest: true,
  onServed: true,
  hookTimeoutMs: true,
  credentialHeaders: true,
  dropHeaders: true,
  integrity: true,
  coldRange: true,
  provisionalRanges: true,
  cacheStatus: true,
  collapseTimeoutMs: true,
  maxFills: true,
  stallTimeoutMs: true,
  maxFillMs: true,
  sendTimeoutMs: true,
  storeTimeoutMs: true,
  clientAbort: true,
  closeTimeoutMs: true,
};

/** What to make a FileCache of. */
function storeOptions(options: StoreOptions & { directory?: string; cache?: Cache }): FileCacheOptions {
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
  const given = Object.entries(options).filter(
    ([name, value]) => Object.hasOwn(STORE, name) && value !== undefined,
  );
  const misplaced = given.find(([name]) => cache !== undefined && name !== 'maxEntryBytes')?.[0];
  if (misplaced !== undefined) {
    throw new OptionError(
      misplaced,
      `${misplaced} is an option of the cache in directory; give it to the cache that you made`,
    );
  }
  return { directory: directory ?? '', ...Object.fromEntries(given) };
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
