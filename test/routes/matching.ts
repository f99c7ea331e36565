import {
  matchRoute,
  type Route,
  type RouteDefaults,
  type RouteMatch,
  resolveRoutes,
} from '../../lib/routes/route.ts';

/** What a filter without options gives its routes. */
export const DEFAULTS: RouteDefaults = {
  freshness: 'response',
  vary: [],
  minEntryBytes: 0,
  maxEntryBytes: 2 ** 30,
};

/** What a request line means to these routes: `GET /files/a?b=1`. */
export function meaning(
  routes: readonly (Route | readonly Route[])[] | undefined,
  line: string,
): RouteMatch | undefined {
  const [, method = '', path = '', query = ''] = /^(\S+) ([^?]*)(?:\?(.*))?$/s.exec(line) ?? [];
  return matchRoute(resolveRoutes(routes, DEFAULTS), { method, path, query });
}
