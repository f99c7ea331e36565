import { matchRoute, type Route, type RouteMatch, resolveRoutes } from '../../lib/routes/route.ts';

/** What a request line means to these routes: `GET /files/a?b=1`. */
export function meaning(
  routes: readonly (Route | readonly Route[])[] | undefined,
  line: string,
): RouteMatch | undefined {
  const [, method = '', path = '', query = ''] = /^(\S+) ([^?]*)(?:\?(.*))?$/s.exec(line) ?? [];
  return matchRoute(resolveRoutes(routes, 'response'), { method, path, query });
}
