// docs/guides/command-line.md

import type { IncomingMessage } from 'node:http';
import { match } from 'path-to-regexp';
import { OptionError } from '../errors.ts';
import type { CacheFilterOptions } from '../options.ts';
import type { Freshness } from '../policy/freshness.ts';
import { glance } from '../routes/glance.ts';
import type { Route } from '../routes/route.ts';
import { authorizeByUrl } from './authorize-url.ts';
import type { Authorize, Routes } from './flags.ts';
import { type GlanceImage, glancePolicy } from './glance-policy.ts';
import type { Upstream } from './upstream.ts';

/** What is cached, and who may have it. */
export interface PolicyFlags {
  routes: Routes;
  /** Not with Glance, whose images never change. Default 'response'. */
  freshness?: Freshness | undefined;
  /** Default 'download' with Glance; without it, this or an authorising server is required. */
  authorize?: Authorize | undefined;
}

type FilterPolicy = Pick<
  CacheFilterOptions<IncomingMessage, GlanceImage>,
  'routes' | 'freshness' | 'metadata' | 'authorize'
>;

/**
 * The filter's routes and hooks.
 *
 * @param authority the server behind `--authorize-url`
 * @throws OptionError where the flags don't go together, or leave open who may have what
 */
export function policyOf(
  flags: PolicyFlags,
  origin: Upstream,
  authority: Upstream | undefined,
): FilterPolicy {
  return flags.routes === 'glance'
    ? glancePolicyOf(flags, origin, authority)
    : plainPolicyOf(flags, authority);
}

function glancePolicyOf(
  { freshness, authorize }: PolicyFlags,
  origin: Upstream,
  authority: Upstream | undefined,
): FilterPolicy {
  if (freshness !== undefined) {
    throw new OptionError(
      'freshness',
      '--freshness is not for --routes glance: images never change under their id',
    );
  }
  if (authorize === 'anyone') {
    throw new OptionError(
      'authorize',
      '--authorize anyone is not for --routes glance; write download or visible',
    );
  }
  const also = authority && authorizeByUrl(authority);
  return { routes: [glance()], ...glancePolicy(origin, { download: authorize !== 'visible', also }) };
}

function plainPolicyOf(
  { routes, freshness, authorize }: PolicyFlags,
  authority: Upstream | undefined,
): FilterPolicy {
  if (authorize === 'download' || authorize === 'visible') {
    throw new OptionError('authorize', `--authorize ${authorize} is for --routes glance only; write anyone`);
  }
  if (authorize !== undefined && authority !== undefined) {
    throw new OptionError(
      'authorize',
      '--authorize anyone and --authorize-url exclude each other; write one of them',
    );
  }
  const may = authorize ?? (authority && authorizeByUrl(authority));
  if (may === undefined) {
    throw new OptionError(
      'authorize',
      'it is not said who may have what is in the cache; write --authorize-url URL to have a server asked each time, ' +
        'or --authorize anyone if whoever reaches this port may have all of it',
    );
  }
  return {
    authorize: may,
    ...(freshness === undefined ? {} : { freshness }),
    ...routesOf(routes),
  };
}

/** The filter's routes for patterns; none where all are meant. */
export function routesOf(routes: Routes): Pick<FilterPolicy, 'routes'> {
  return Array.isArray(routes) ? { routes: routes.map(exactRoute) } : {};
}

/**
 * A route for a pattern. Unlike a route of an application it takes the path literally, letter case and trailing slash included, and has an
 * entry for each spelling: what is the same to the origin, only the origin knows.
 */
function exactRoute(pattern: string): Route {
  const matches = match(pattern, { sensitive: true, trailing: false, decode: false });
  return { name: pattern, path: ({ path }) => (matches(path) ? { id: path } : undefined) };
}
