// docs/guides/origin.md

import { areHeaderNames, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import type { Authenticate } from './authenticate.ts';
import type { OriginTarget } from './request.ts';

/** A server that has what is asked for. */
export interface OriginPlace {
  /** http: or https:. */
  url: string | URL;
  /** Sent to this host, and never to another one: credentials, say. */
  headers?: Readonly<Record<string, string>>;
  /** How to answer a 401 of this host, as `tokenAuth()` does. What it says is never sent to another one. */
  authenticate?: Authenticate;
}

/** An answer that is given without asking anybody. */
export interface OriginAnswer {
  status: number;
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
}

/** What the function that is given as `origin` may answer; undefined: it is not there, and the application behind the filter answers. */
export type OriginOutcome =
  | string
  | URL
  | OriginPlace
  | readonly (string | URL | OriginPlace)[]
  | OriginAnswer
  | undefined;

/** Whether the outcome is an answer. */
export function isAnswer(outcome: unknown): outcome is OriginAnswer {
  return typeof outcome === 'object' && outcome !== null && 'status' in outcome;
}

/**
 * Servers, in order of preference.
 * @param value a URL, `{ url, headers }`, or an array of them
 * @throws OptionError saying what of it can't be used
 */
export function placesOf(value: unknown): OriginTarget[] {
  const places: unknown[] = Array.isArray(value) ? value : [value];
  if (places.length === 0) throw new OptionError('origin', 'origin is an empty array: name at least one URL');
  return places.map(placeOf);
}

function placeOf(value: unknown): OriginTarget {
  if (typeof value === 'string' || value instanceof URL) return { url: urlOf(value) };
  const { url, headers, authenticate, ...rest } = Object(value) as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined)
    throw new OptionError(
      'origin',
      `origin has an unknown member ${show(unknown)}; a place has url, headers and authenticate`,
    );
  if (authenticate !== undefined && typeof authenticate !== 'function')
    throw new OptionError('origin', 'authenticate of origin must be a function, such as tokenAuth() makes');
  return {
    url: urlOf(url),
    ...(headers === undefined ? {} : { headers: fieldsOf(headers) }),
    ...(authenticate === undefined ? {} : { authenticate: authenticate as Authenticate }),
  };
}

function urlOf(value: unknown): URL {
  const text = value instanceof URL ? value.href : value;
  if (typeof text !== 'string' || !URL.canParse(text))
    throw new OptionError(
      'origin',
      `origin must be a URL such as 'https://files.example', got ${show(value)}`,
    );
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new OptionError('origin', `origin must be an http: or https: URL, got ${show(url.protocol)}`);
  if (url.username !== '' || url.password !== '')
    throw new OptionError(
      'origin',
      "origin has a user in its URL; write { url, headers: { Authorization: 'Basic …' } }",
    );
  url.hash = '';
  return url;
}

function fieldsOf(value: unknown): HeaderPairs {
  const fields = typeof value === 'object' && value !== null ? Object.entries(value) : undefined;
  if (
    fields === undefined ||
    !areHeaderNames(fields.map(([name]) => name)) ||
    fields.some(([, text]) => typeof text !== 'string' || /[\r\n\0]/.test(text))
  )
    throw new OptionError(
      'origin',
      "headers of origin must be an object of strings, for example { Authorization: 'Bearer …' }",
    );
  return fields;
}

/** The URL of a path (with its query) on a server: below the path of the server's own URL, whose query goes before. */
export function below({ url, ...rest }: OriginTarget, target: string): OriginTarget {
  // By string, never by `new URL(target, base)`: '//elsewhere/x' has to stay a path.
  const at = target.indexOf('?');
  const [path, query] = at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)];
  const whole = new URL(url.origin + url.pathname.replace(/\/$/, '') + path);
  const queries = [url.search.slice(1), query].filter((each) => each !== '');
  whole.search = queries.join('&');
  return { ...rest, url: whole };
}

/** What to say to an origin with credentials and no policy. */
export const WHO_MAY =
  "say who may have what they fetch: give authorize, or authorize: 'anyone' for all who reach the filter";

/** What only says which of several representations is wanted, or who is asking. */
const HARMLESS: ReadonlySet<string> = new Set(['accept', 'accept-encoding', 'accept-language', 'user-agent']);

/** Whether something is sent there that others don't have. */
export function hasCredentials({ headers = [], authenticate }: OriginTarget): boolean {
  return authenticate !== undefined || headers.some(([name]) => !HARMLESS.has(name.toLowerCase()));
}
