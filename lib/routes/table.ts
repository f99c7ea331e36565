import { matchRoute, type ResolvedRoute, type RouteMatch, type RouteRequest } from './route.ts';

/** So many targets are remembered, and none that is longer than this. */
const REMEMBERED = 1000;
const REMEMBERED_LENGTH = 512;

/** The routes of one filter. What they say of the target of a GET is remembered, where that depends on nothing else. */
export class RouteTable {
  readonly #routes: readonly ResolvedRoute[];
  /** No function of the application's has a say. */
  readonly #fixed: boolean;
  readonly #remembered = new Map<string, RouteMatch | undefined>();

  constructor(routes: readonly ResolvedRoute[]) {
    this.#routes = routes;
    this.#fixed = routes.every(({ fixed }) => fixed);
  }

  /** The first route that matches decides. Throws what a function of the application's throws. */
  match(method: string, target: string): RouteMatch | undefined {
    const remember = this.#fixed && method === 'GET' && target.length <= REMEMBERED_LENGTH;
    if (!remember) return matchRoute(this.#routes, { method, ...targetOf(target) });
    const known = this.#remembered.get(target);
    if (known !== undefined || this.#remembered.has(target)) return known;
    const found = matchRoute(this.#routes, { method, ...targetOf(target) });
    // Hooks are handed it, again and again.
    if (found !== undefined) Object.freeze(found.params);
    if (this.#remembered.size >= REMEMBERED) this.#remembered.clear();
    this.#remembered.set(target, found);
    return found;
  }
}

/** Path and query of a request target, in origin form or (RFC 9112, 3.2.2) in absolute form. */
export function targetOf(url: string): Pick<RouteRequest, 'path' | 'query'> {
  const target = url.startsWith('/') ? url : url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
  const at = target.indexOf('?');
  return at < 0 ? { path: target, query: '' } : { path: target.slice(0, at), query: target.slice(at + 1) };
}
