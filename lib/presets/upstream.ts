import { areHeaderNames, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { OriginPlace } from '../origin/places.ts';

/** The server that a preset mirrors. */
export interface PresetUpstream {
  /** Without a slash at the end, without query and fragment. */
  readonly base: string;
  readonly host: string;
  /** What of `base` is a path. */
  readonly prefix: string;
  /** What is there for a path below it. `headers`: besides the upstream's own. */
  at(path: string, headers?: Readonly<Record<string, string>>): OriginPlace;
}

/** @throws OptionError for what is no URL, nor an object with one */
export function presetUpstream(option: string, value: unknown): PresetUpstream {
  if (typeof value === 'string' || value instanceof URL) return presetUpstream(option, { url: value });
  const { url: given, headers = {}, ...rest } = Object(value) as Record<string, unknown>;
  const url = baseUrl(option, given);
  if (typeof headers !== 'object' || headers === null || !areHeaderNames(Object.keys(headers)))
    throw new OptionError(
      option,
      `${option} has headers ${show(headers)}; write { Authorization: 'Bearer …' }`,
    );
  const own = { ...headers } as Record<string, string>;
  const base = url.href.replace(/\/$/, '');
  return {
    base,
    host: url.host,
    prefix: url.pathname.replace(/\/$/, ''),
    at(path, more = {}) {
      const all = { ...more, ...own };
      return { ...rest, url: base + path, ...(Object.keys(all).length === 0 ? {} : { headers: all }) };
    },
  };
}

/**
 * A URL that paths are put behind.
 * @throws OptionError
 */
export function baseUrl(option: string, value: unknown): URL {
  const text = value instanceof URL ? value.href : value;
  if (typeof text !== 'string' || !URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new OptionError(
      option,
      `${option} must be an http: or https: URL such as 'https://files.example', got ${show(value)}`,
    );
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    throw new OptionError(
      option,
      `${option} has a user in its URL; write { url, headers: { Authorization: 'Basic …' } }`,
    );
  if (url.search !== '' || url.hash !== '')
    throw new OptionError(
      option,
      `${option} must be a URL without query and fragment, got ${show(url.pathname + url.search + url.hash)}`,
    );
  return url;
}
