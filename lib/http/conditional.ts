import type { IncomingHttpHeaders } from 'node:http';
import type { HeaderPairs } from './body.ts';
import { parseHttpDate } from './date.ts';
import { fieldValue } from './headers.ts';

/** What identifies the state of a representation (RFC 9110 8.8): the fields ETag and Last-Modified as they are sent. */
export interface Validators {
  etag?: string;
  lastModified?: string;
  /** The field Date: a Last-Modified that is as new may stand for two states of the representation (RFC 9110 8.8.2.2). */
  date?: string;
}

/** The validators among the fields of a response. */
export function validatorsOf(headers: HeaderPairs): Validators {
  const etag = fieldValue(headers, 'etag');
  const lastModified = fieldValue(headers, 'last-modified');
  const date = fieldValue(headers, 'date');
  return {
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { lastModified }),
    ...(date === undefined ? {} : { date }),
  };
}

/** `opaque` with its quotes. */
interface EntityTag {
  weak: boolean;
  opaque: string;
}

/** The fields that make a request conditional. */
export const CONDITIONS: readonly string[] = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
];

/** Whether a request has preconditions that can change its status; If-Range is none of them. */
export function isConditional(headers: IncomingHttpHeaders): boolean {
  return CONDITIONS.some((name) => headers[name] !== undefined);
}

/**
 * The preconditions of a request against a representation that exists, in the order of RFC 9110 13.2.2.
 *
 * @returns `not-modified`: answer 304; `failed`: answer 412; `proceed`: answer as without preconditions, where the next
 *   step is If-Range
 */
export function evaluate(
  method: string,
  headers: IncomingHttpHeaders,
  validators: Validators,
): 'proceed' | 'not-modified' | 'failed' {
  const reads = method === 'GET' || method === 'HEAD';
  const ifMatch = headers['if-match'];
  if (ifMatch !== undefined) {
    if (!listed(ifMatch, validators.etag, strongMatch)) return 'failed';
  } else if (modifiedSince(headers['if-unmodified-since'], validators) === true) {
    return 'failed';
  }
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    if (listed(ifNoneMatch, validators.etag, weakMatch)) return reads ? 'not-modified' : 'failed';
  } else if (reads && modifiedSince(headers['if-modified-since'], validators) === false) {
    return 'not-modified';
  }
  return 'proceed';
}

/**
 * Whether Range may be answered as far as If-Range goes (RFC 9110 13.1.5): it is absent, or names exactly this
 * representation. An entity tag is compared strongly. A date has to be the same, and a second older than Date where there
 * is one (8.8.2.2).
 */
export function ifRangeHolds(headers: IncomingHttpHeaders, validators: Validators): boolean {
  const value = headers['if-range'];
  if (value === undefined) return true;
  if (typeof value !== 'string') return false;
  const tag = entityTag(value);
  if (tag !== undefined) {
    const current = entityTag(validators.etag);
    return current !== undefined && strongMatch(tag, current);
  }
  const date = httpDate(value);
  const made = httpDate(validators.date);
  return (
    date !== undefined &&
    date === httpDate(validators.lastModified) &&
    !(made !== undefined && made - date < 1000)
  );
}

/** Undefined where the condition is to be ignored: there is no date on one side or the other (RFC 9110 13.1.3, 13.1.4). */
function modifiedSince(condition: string | undefined, validators: Validators): boolean | undefined {
  const since = httpDate(condition);
  const modified = httpDate(validators.lastModified);
  return since === undefined || modified === undefined ? undefined : modified > since;
}

/** Whether `*` or a list of entity tags (RFC 9110 13.1.1, 13.1.2) names the tag of a representation. */
function listed(
  value: string,
  etag: string | undefined,
  match: (a: EntityTag, b: EntityTag) => boolean,
): boolean {
  if (value.trim() === '*') return true;
  const current = entityTag(etag);
  return current !== undefined && entityTags(value).some((tag) => match(tag, current));
}

function strongMatch(a: EntityTag, b: EntityTag): boolean {
  return !a.weak && !b.weak && a.opaque === b.opaque;
}

function weakMatch(a: EntityTag, b: EntityTag): boolean {
  return a.opaque === b.opaque;
}

/** The well-formed members of a list. Commas are part of a tag, and a backslash in one escapes nothing (RFC 9110 8.8.3). */
function entityTags(list: string): EntityTag[] {
  const members = list.match(/[ \t]*(?:W\/)?"[^"]*"[^,]*|[^,]+/g) ?? [];
  return members.flatMap((member) => entityTag(member) ?? []);
}

function entityTag(text: string | undefined): EntityTag | undefined {
  const [, weak, opaque] = /^(W\/)?("[^"]*")$/.exec(text?.trim() ?? '') ?? [];
  return opaque === undefined ? undefined : { weak: weak !== undefined, opaque };
}

function httpDate(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseHttpDate(text.trim());
}
