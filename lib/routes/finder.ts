import { compile, match, pathToRegexp } from 'path-to-regexp';
import { OptionError } from '../errors.ts';

/** What a route's own function may answer about a request. */
export interface RouteAnswer {
  /** The resource's id. */
  id: string;
  /** Default: by the method, as for other routes. */
  action?: 'read' | 'purge';
  params?: Record<string, string>;
  /** `'sha256:<hex>'`: what the path says the body hashes to. */
  digest?: string;
}

/** What a route sees of a request: the method, the path below the mount point as it came, and the query without its `?`. */
export interface RouteRequest {
  method: string;
  path: string;
  query: string;
}

/** A pattern of path-to-regexp 8, a RegExp, or a function. */
export type RoutePath = string | RegExp | ((request: RouteRequest) => RouteAnswer | undefined);

/** Whether a request names something, and what. `canonical`: the path in one spelling. */
type Finder = (request: RouteRequest) => (RouteAnswer & { canonical?: string }) | undefined;

/** @throws OptionError, made by `refuse`, for a path that is none */
export function finder(
  { path, id: idName }: { path: RoutePath; id?: string },
  refuse: (text: string) => OptionError,
): Finder {
  if (idName !== undefined && typeof idName !== 'string') throw refuse('id must be the name of a parameter');
  const answer = (params: Record<string, string>, whole: string): RouteAnswer => ({
    id: params[idName ?? 'id'] ?? Object.values(params)[0] ?? whole,
    params,
  });
  if (typeof path === 'function') return path;
  if (path instanceof RegExp) {
    const pattern = new RegExp(path.source, path.flags.replace(/[gy]/g, ''));
    return ({ path: requested }) => {
      const found = pattern.exec(requested);
      if (found === null) return undefined;
      const params = decoded(
        found.groups ?? Object.fromEntries(found.slice(1).map((text, i) => [String(i), text])),
      );
      return params && answer(params, requested);
    };
  }
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw refuse("path must be a pattern that begins with '/', a RegExp or a function");
  }
  let matches: ReturnType<typeof match>;
  let build: ReturnType<typeof compile>;
  try {
    matches = match(path);
    build = compile(path);
  } catch (error) {
    throw new OptionError(
      'routes',
      `the path '${path}' is no pattern of path-to-regexp 8: ${(error as Error).message}`,
      { cause: error },
    );
  }
  const names = pathToRegexp(path).keys.map(({ name }) => name);
  if (idName !== undefined && !names.includes(idName)) {
    throw refuse(`id must be a parameter of '${path}', got '${idName}'`);
  }
  return ({ path: requested }) => {
    let found: ReturnType<typeof matches>;
    try {
      found = matches(requested);
    } catch {
      // A malformed escape is no match.
      return undefined;
    }
    if (!found) return undefined;
    const params: Record<string, string> = {};
    for (const [name, value] of Object.entries(found.params)) {
      if (value !== undefined) params[name] = Array.isArray(value) ? value.join('/') : value;
    }
    // One spelling for all that the pattern takes for the same: letter case, a trailing slash, needless escapes.
    return { ...answer(params, requested), canonical: build(found.params) };
  };
}

/** The path of an id on a route with such a pattern; undefined where the id alone does not make one. */
export function pathOfId(
  path: RoutePath,
  idName: string | undefined,
): ((id: string) => string | undefined) | undefined {
  if (typeof path !== 'string') return undefined;
  const { keys } = pathToRegexp(path);
  const key = keys.find(({ name }) => name === (idName ?? 'id')) ?? keys[0];
  const build = compile(path);
  return (id) => {
    if (key === undefined) return id === path ? path : undefined;
    try {
      return build({ [key.name]: key.type === 'wildcard' ? id.split('/') : id });
    } catch {
      // It needs more than the id.
      return undefined;
    }
  };
}

function decoded(raw: Record<string, string | undefined>): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  try {
    for (const [name, value] of Object.entries(raw)) {
      if (value !== undefined) params[name] = decodeURIComponent(value);
    }
  } catch {
    return undefined;
  }
  return params;
}
