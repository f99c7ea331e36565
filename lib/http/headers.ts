import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { HeaderPairs } from './body.ts';

/** A header value as handlers give it to Node. */
export type OutgoingValue = number | string | readonly string[];

/** What a handler says with `res.writeHead(…)`. */
export interface WrittenHead {
  status: number;
  statusMessage?: string;
  headers: [name: string, value: OutgoingValue][];
  /** Repeated names are repeated fields, which together replace what was set before; otherwise the last one counts. */
  appends: boolean;
}

/** Fields that are never stored, lower-case. */
export const DENIED_HEADERS: ReadonlySet<string> = new Set([
  // About one connection (RFC 9110 7.6.1) or the framing of one message.
  'connection',
  'content-length',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // About one user: replayed, they would hand a session to the next one.
  'authentication-info',
  'authorization',
  'set-cookie',
  'set-cookie2',
  'www-authenticate',
  'x-auth-token',
  'x-subject-token',
  // Where Glance has an image stored, credentials for that place included (CVE-2013-1840).
  'x-image-meta-location',
  // About one response.
  'alt-svc',
  'cache-status',
  'clear-site-data',
  'server-timing',
]);

/** The values of a field, one for each of its lines. */
export function fieldValues(headers: HeaderPairs, name: string): string[] {
  const wanted = name.toLowerCase();
  return headers.filter(([each]) => each.toLowerCase() === wanted).map(([, value]) => value);
}

/** The value of a field, its lines joined by `, ` (RFC 9110 5.3); undefined where it is absent. */
export function fieldValue(headers: HeaderPairs, name: string): string | undefined {
  const values = fieldValues(headers, name);
  return values.length > 0 ? values.join(', ') : undefined;
}

/**
 * The fields that may be stored: without `DENIED_HEADERS`, the fields that Connection names (RFC 9110 7.6.1), the pseudo
 * fields of HTTP/2, and those in `drop` (lower-case).
 */
export function storedHeaders(headers: HeaderPairs, drop: ReadonlySet<string>): HeaderPairs {
  const connection = new Set(listMembers(fieldValue(headers, 'connection') ?? '').map(lowerCase));
  return headers.filter(([name]) => {
    const key = name.toLowerCase();
    return !(key.startsWith(':') || DENIED_HEADERS.has(key) || connection.has(key) || drop.has(key));
  });
}

/**
 * The arguments of `res.writeHead(status[, reason][, headers])`, in every form that Node takes: the reason absent or
 * undefined, the headers an object, a flat array or an array of pairs. Fields without a name are left out, as Node does.
 *
 * @throws RangeError or TypeError with Node's codes (`ERR_HTTP_INVALID_STATUS_CODE`, `ERR_INVALID_ARG_VALUE`,
 *   `ERR_INVALID_HTTP_TOKEN`, `ERR_HTTP_INVALID_HEADER_VALUE`, `ERR_INVALID_CHAR`) where Node would throw
 */
export function parseWriteHead(args: readonly unknown[]): WrittenHead {
  const [givenStatus, reason, last] = args;
  // Node's own conversion: '200' and 200.7 are 200, undefined is 0.
  const status = (givenStatus as number) | 0;
  if (status < 100 || status > 999) {
    const error = new RangeError(`Invalid status code: ${givenStatus}`);
    throw Object.assign(error, { code: 'ERR_HTTP_INVALID_STATUS_CODE' });
  }
  const hasReason = typeof reason === 'string';
  if (hasReason) validateHeaderValue('statusMessage', reason);
  const given = hasReason ? last : (last ?? reason);
  const headers: WrittenHead['headers'] = [];
  for (const [name, value] of headerEntries(given)) {
    if (name === '') continue;
    validateHeaderName(name as string);
    validateHeaderValue(name as string, value as string);
    headers.push([name as string, outgoingValue(value)]);
  }
  return { status, ...(hasReason && { statusMessage: reason }), headers, appends: Array.isArray(given) };
}

/**
 * The members of a comma-separated list (RFC 9110 5.6.1), trimmed, without empty ones. Commas in quoted strings separate
 * nothing, but a quote that is never closed is no quote: it must not hide a `no-store` behind it.
 */
export function listMembers(value: string): string[] {
  const members: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < value.length; at++) {
    const char = value[at];
    if (char === '"') quoted = !quoted;
    else if (quoted && char === '\\') at++;
    else if (!quoted && char === ',') {
      members.push(value.slice(start, at));
      start = at + 1;
    }
  }
  const rest = value.slice(start);
  members.push(...(quoted ? rest.split(',') : [rest]));
  return members.map((member) => member.trim()).filter((member) => member !== '');
}

/** The union of two lists of names such as those of Vary: in any letter case, in order; `*` stands for all. */
export function mergeList(existing: string | undefined, added: string): string {
  const merged = new Map<string, string>();
  for (const member of [...listMembers(existing ?? ''), ...listMembers(added)]) {
    const key = member.toLowerCase();
    if (!merged.has(key)) merged.set(key, member);
  }
  return merged.has('*') ? '*' : [...merged.values()].join(', ');
}

/** The members of `list` that are not in `base`, in any letter case; empty if there are none. */
export function without(list: string, base: string | undefined): string {
  const known = new Set(listMembers(base ?? '').map(lowerCase));
  return listMembers(list)
    .filter((member) => !known.has(member.toLowerCase()))
    .join(', ');
}

function headerEntries(given: unknown): (readonly [name: unknown, value: unknown])[] {
  if (!Array.isArray(given)) return typeof given === 'object' && given !== null ? Object.entries(given) : [];
  const fields: readonly unknown[] = given;
  if (Array.isArray(fields[0])) {
    return fields.map((pair) => {
      if (!Array.isArray(pair) || pair.length !== 2) throw invalidHeaders();
      return [pair[0], pair[1]];
    });
  }
  if (fields.length % 2 !== 0) throw invalidHeaders();
  return Array.from({ length: fields.length / 2 }, (_, index) => [fields[2 * index], fields[2 * index + 1]]);
}

function invalidHeaders(): TypeError {
  const error = new TypeError("The argument 'headers' is invalid: an array needs a value for every name");
  return Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' });
}

function outgoingValue(value: unknown): OutgoingValue {
  if (Array.isArray(value)) return value.map(String);
  return typeof value === 'number' ? value : String(value);
}

function lowerCase(text: string): string {
  return text.toLowerCase();
}
