// docs/guides/routes.md

import type { IncomingHttpHeaders } from 'node:http';
import type { Key } from '../cache/cache.ts';
import type { AnyRequest } from '../http/message.ts';
import type { Config } from '../options.ts';
import type { RouteMatch } from '../routes/route.ts';
import { targetOf } from '../routes/table.ts';

/** The part of the path that was taken off by mounting; the path is matched below it. */
export function mountOf(req: AnyRequest): string {
  const { originalUrl, baseUrl } = req as { originalUrl?: unknown; baseUrl?: unknown };
  // Express says it; Connect leaves it to be found out.
  if (typeof baseUrl === 'string') return baseUrl;
  if (typeof originalUrl !== 'string') return '';
  const [original, path] = [targetOf(originalUrl).path, targetOf(req.url ?? '').path];
  if (original.endsWith(path)) return original.slice(0, original.length - path.length);
  // Of a request for the mount point itself nothing is left, which is written as a slash. A URL that was rewritten is kept apart.
  return path === '/' ? original : `${original} `;
}

/** What of the filter's options makes a key. */
type KeyRules = Pick<Config, 'namespace' | 'keyHost'>;

/**
 * What an entry is stored under. Query, spelling, and the request headers that the route varies by tell variants apart, so that purging
 * a path takes all of them.
 */
export function keyOf(
  { namespace, keyHost }: KeyRules,
  match: RouteMatch,
  mount: string,
  headers: IncomingHttpHeaders,
): Key {
  const scope = `${namespace}${namespace === '' ? '' : ':'}${keyHost ? `//${hostOf(headers)}` : ''}`;
  const primary = `${scope}${match.key ?? `${mount}${match.path}`}`;
  let variant = match.key === undefined ? (match.spelling ?? '') : '';
  if (match.query !== '') variant += `?${match.query}`;
  for (const name of match.route.vary) variant += `\n${name}: ${selecting(headers[name])}`;
  return variant === '' ? { primary } : { primary, variant };
}

function hostOf(headers: IncomingHttpHeaders): string {
  const host = headers[':authority'] ?? headers.host;
  return typeof host === 'string' ? host.toLowerCase() : '';
}

/** A header as far as it selects a representation: white space and how it was split over lines mean nothing (RFC 9111, 4.1). */
function selecting(value: string | string[] | undefined): string {
  const text = Array.isArray(value) ? value.join(',') : (value ?? '');
  return text
    .trim()
    .replace(/\s*,\s*/g, ',')
    .replace(/\s+/g, ' ');
}

/** The tag of all that was stored for one id on one route. */
export function tagOf({ namespace }: Pick<Config, 'namespace'>, route: string, id: string): string {
  return `${namespace}:${route}:${id}`;
}
