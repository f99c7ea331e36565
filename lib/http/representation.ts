import type { ResponseHead } from './body.ts';
import { declaredDigests } from './digest.ts';
import { fieldValues } from './headers.ts';

/** Fields that say which representation a response is of, and what its bytes mean (RFC 9110, 8). */
const DESCRIBING = ['etag', 'last-modified', 'content-type', 'content-encoding', 'content-language'];

/** Fields that differ from one response to the next, whatever they are of. */
const PASSING: ReadonlySet<string> = new Set(['age', 'cache-control', 'date', 'expires']);

interface Representation {
  head: ResponseHead;
  /** Declared length in bytes. */
  size?: number | undefined;
}

/**
 * Whether two heads may stand before the same bytes: then one of them may be followed by the rest of the other's body. Where neither a
 * strong validator nor a digest says so, every field that the two have must be the same.
 */
export function isSameRepresentation(one: Representation, other: Representation): boolean {
  return (
    one.size === other.size &&
    one.head.status === other.head.status &&
    DESCRIBING.every((name) => textOf(one.head, name) === textOf(other.head, name)) &&
    (isIdentified(one.head, other.head) || restOf(one.head) === restOf(other.head))
  );
}

/** Whether both say, in the same words, which bytes follow. */
function isIdentified(one: ResponseHead, other: ResponseHead): boolean {
  if (textOf(one, 'etag').startsWith('"')) return true;
  const digests = JSON.stringify(declaredDigests(one.headers));
  return digests !== '[]' && digests === JSON.stringify(declaredDigests(other.headers));
}

function restOf({ headers }: ResponseHead): string {
  const rest = headers.filter(([name]) => !PASSING.has(name.toLowerCase()));
  return JSON.stringify(rest.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort());
}

function textOf({ headers }: ResponseHead, name: string): string {
  return fieldValues(headers, name).join(', ');
}
