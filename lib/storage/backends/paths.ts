// docs/reference/backend-contract.md

import { NameError } from '../../errors.ts';

/** In bytes of UTF-8: what file systems and object stores have in common. */
const MOST_BYTES = { component: 255, path: 1024 };

/** Half of a character: in UTF-8 all of these are one and the same, and two paths would be one. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Whether something is a path of an object: one or more components joined by `/`, none of them empty, `.` or `..`, without NUL, of at most
 * 255 bytes each and 1,024 in all, as UTF-8.
 *
 * @throws NameError
 */
export function requirePath(path: unknown): asserts path is string {
  const wrong = typeof path === 'string' ? faultOf(path) : 'it is no string';
  if (wrong === undefined) return;
  const came = JSON.stringify(typeof path === 'string' ? path.slice(0, 80) : String(path));
  throw new NameError('path', `${came} is no path: ${wrong}`);
}

/** The same, where the top, `''`, is meant as well. @throws NameError */
export function requireFolderPath(path: unknown): asserts path is string {
  if (path !== '') requirePath(path);
}

function faultOf(path: string): string | undefined {
  if (path === '') return 'it has no component';
  if (path.includes('\0')) return 'it has a NUL';
  if (LONE_SURROGATE.test(path)) return 'it is no Unicode text';
  if (Buffer.byteLength(path) > MOST_BYTES.path) return `it has more than ${MOST_BYTES.path} bytes`;
  for (const component of path.split('/')) {
    if (component === '' || component === '.' || component === '..')
      return `it has the component ${JSON.stringify(component)}`;
    if (Buffer.byteLength(component) > MOST_BYTES.component)
      return `it has a component of more than ${MOST_BYTES.component} bytes`;
  }
  return undefined;
}
