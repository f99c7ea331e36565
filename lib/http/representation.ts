import type { ResponseHead } from './body.ts';
import { fieldValues } from './headers.ts';

/** Fields that say which representation a response is of, and what its bytes mean (RFC 9110, 8). */
const DESCRIBING = ['etag', 'last-modified', 'content-type', 'content-encoding', 'content-language'];

/** Whether two heads may stand before the same bytes: then one of them may be followed by the rest of the other's body. */
export function isSameRepresentation(
  one: { head: ResponseHead; size?: number | undefined },
  other: { head: ResponseHead; size?: number | undefined },
): boolean {
  return (
    one.size === other.size &&
    one.head.status === other.head.status &&
    DESCRIBING.every((name) => textOf(one.head, name) === textOf(other.head, name))
  );
}

function textOf({ headers }: ResponseHead, name: string): string {
  return fieldValues(headers, name).join(', ');
}
