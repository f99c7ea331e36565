// docs/guides/origin.md

import type { IncomingMessage } from 'node:http';
import { OptionReader, show } from './checks.ts';
import { OptionError } from './errors.ts';
import type { AnyRequest } from './http/message.ts';
import { type ResolvedUpstream, resolveUpstream, type UpstreamOptions } from './origin/options.ts';
import { hasCredentials, type OriginOutcome, type OriginPlace, placesOf, WHO_MAY } from './origin/places.ts';
import type { OriginTarget } from './origin/request.ts';
import type { OriginContext } from './policy/hooks.ts';

/** Those of the filter's options that are about an origin. All but `origin` itself are refused without one. */
export interface OriginOptions<Req extends AnyRequest = IncomingMessage> {
  /**
   * Where what is missing is fetched from, below its path: a URL, several in order of preference, or a function. Default: the handlers
   * behind the filter answer.
   */
  origin?:
    | string
    | URL
    | OriginPlace
    | readonly (string | URL | OriginPlace)[]
    | ((context: OriginContext<Req>) => OriginOutcome | Promise<OriginOutcome>);
  /** How the origin is asked: limits, retries, circuit breaker. */
  upstream?: UpstreamOptions;
  /** Request headers that the origin is told, besides those that a route varies by. Default Accept, Accept-Language. */
  forwardHeaders?: readonly string[];
  /** Methods that purge and are sent to the origin, in place of the application. Default none. */
  forwardMethods?: readonly string[];
  /** How long it is remembered that the origin has answered 404 or 410, in milliseconds. Default 0: not at all. */
  negativeTtlMs?: number;
  /** Path and query, below the mount point, of what has the id, for `filter.prefetch(id)`. Default: what the pattern of a route says. */
  urlFor?: (id: string) => string;
  /** Where the filter is mounted, for what nobody asked for: keys begin with it. Default at the root. */
  mountPath?: string;
  /** Of `filter.prefetch()`: how many at a time (default 2), and how often each is tried again (default 3). */
  prefetch?: { concurrency?: number; retries?: number };
  /** Of what is fetched for nobody who waits: how much of it at a time (default 16), and how fast in all (default: as fast as it comes). */
  background?: { maxFills?: number; maxBytesPerSecond?: number };
}

/** The same, with every default filled in. */
export interface OriginConfig {
  origin: readonly OriginTarget[] | ((context: OriginContext<AnyRequest>) => unknown) | undefined;
  upstream: ResolvedUpstream;
  /** Lower-case. */
  forwardHeaders: readonly string[];
  forwardMethods: readonly string[];
  negativeTtlMs: number;
  urlFor: ((id: string) => unknown) | undefined;
  mountPath: string;
  prefetch: { concurrency: number; retries: number };
  background: { maxFills: number; maxBytesPerSecond: number | undefined };
}

export const ORIGIN_OPTIONS: Record<keyof OriginOptions, true> = {
  origin: true,
  upstream: true,
  forwardHeaders: true,
  forwardMethods: true,
  negativeTtlMs: true,
  urlFor: true,
  mountPath: true,
  prefetch: true,
  background: true,
};

/** The default of `forwardHeaders`. */
const FORWARD_HEADERS: readonly string[] = ['Accept', 'Accept-Language'];

/** @throws OptionError */
export function resolveOriginOptions<Req extends AnyRequest>(
  all: OriginOptions<Req> & { authorize?: unknown },
): OriginConfig {
  const { authorize } = all;
  const names = Object.keys(ORIGIN_OPTIONS) as (keyof OriginOptions)[];
  const options = Object.fromEntries(names.map((name) => [name, all[name]])) as OriginOptions<Req>;
  const { origin } = options;
  const idle = names.find((name) => origin === undefined && options[name] !== undefined);
  if (idle !== undefined)
    throw new OptionError(idle, `${idle} is about an origin, and there is none: give origin, a URL`);
  const read = new OptionReader(options, ORIGIN_OPTIONS);
  const places = origin === undefined || typeof origin === 'function' ? undefined : placesOf(origin);
  if (places?.some(hasCredentials) && authorize === undefined)
    throw new OptionError('origin', `origin has headers of its own; ${WHO_MAY}`);
  const mountPath = read.text('mountPath', '');
  if (!/^(\/.*[^/])?$/.test(mountPath))
    throw new OptionError('mountPath', `mountPath must be a path such as '/files', got ${show(mountPath)}`);
  return {
    origin: places ?? (origin as OriginConfig['origin']),
    upstream: resolveUpstream(options.upstream),
    forwardHeaders: read.headerNames('forwardHeaders', FORWARD_HEADERS),
    forwardMethods: methodsOf(options.forwardMethods ?? []),
    negativeTtlMs: read.duration('negativeTtlMs', 0),
    urlFor: read.hook('urlFor') as OriginConfig['urlFor'],
    mountPath,
    prefetch: prefetchOf(options.prefetch ?? {}),
    background: backgroundOf(options.background ?? {}),
  };
}

function methodsOf(methods: unknown): string[] {
  if (Array.isArray(methods) && methods.every((each) => /^[A-Z]+$/.test(String(each))))
    return methods as string[];
  throw new OptionError(
    'forwardMethods',
    `forwardMethods must be an array of methods in capitals, for example ['DELETE'], got ${show(methods)}`,
  );
}

function prefetchOf(options: NonNullable<OriginOptions['prefetch']>): OriginConfig['prefetch'] {
  const read = new OptionReader(options, { concurrency: true, retries: true });
  return { concurrency: read.count('concurrency', 2), retries: read.bytes('retries', 3) };
}

function backgroundOf(options: NonNullable<OriginOptions['background']>): OriginConfig['background'] {
  const read = new OptionReader(options, { maxFills: true, maxBytesPerSecond: true });
  const { maxBytesPerSecond } = options;
  if (maxBytesPerSecond !== undefined) read.count('maxBytesPerSecond', 1);
  return { maxFills: read.bytes('maxFills', 16), maxBytesPerSecond };
}
