import { OriginError } from '../errors.ts';
import { fieldValues } from '../http/headers.ts';
import type { OriginResponse } from './request.ts';

const FOLLOWED: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Where an answer to a GET or HEAD sends us; undefined: nowhere.
 *
 * @throws OriginError `redirect` where we don't go
 */
export function redirectOf(
  answer: Pick<OriginResponse, 'status' | 'headers'>,
  from: URL,
  method: string,
): URL | undefined {
  if (!FOLLOWED.has(answer.status)) return undefined;
  const [location, ...others] = new Set(fieldValues(answer.headers, 'location'));
  if (location === undefined) return undefined;
  const refuse = (why: string) => new OriginError('redirect', `${method} ${from.host}: the redirect ${why}`);
  if (others.length > 0) throw refuse('leads to several places');
  if (!URL.canParse(location, from.href)) throw refuse('leads to what is no URL');
  // Location comes as latin1; where it is UTF-8 (RFC 9110 allows neither), the bytes are what counts.
  const to = new URL(Buffer.from(location, 'latin1').toString(), from);
  if (to.protocol !== 'http:' && to.protocol !== 'https:') throw refuse(`leads to ${to.protocol}`);
  if (to.username !== '' || to.password !== '') throw refuse('has user information in it');
  if (from.protocol === 'https:' && to.protocol === 'http:') throw refuse('leads from https: to http:');
  to.hash = '';
  return to;
}
