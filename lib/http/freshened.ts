import type { HeaderPairs, ResponseHead } from './body.ts';
import { conflicts, declaredDigests } from './digest.ts';
import { DENIED_HEADERS, fieldValue, listMembers } from './headers.ts';

/**
 * What a 304 does not change, lower-case: what the stored bytes are, and how they are to be read. They stay as they were, so that what is
 * said of them stays too; and what a 304 says of its own content (Content-Digest) is said of nothing.
 */
const OF_THE_BODY: ReadonlySet<string> = new Set([
  'content-digest',
  'content-encoding',
  'content-md5',
  'content-range',
  'docker-content-digest',
  'etag',
  'repr-digest',
  'x-image-meta-checksum',
]);

/** What was true of one message only: where the newer one does not say it, it is not known (RFC 9111, 4.2.3). */
const OF_THE_MESSAGE: ReadonlySet<string> = new Set(['age', 'date']);

/**
 * The head of a stored response, brought up to date by a 304 (RFC 9111, 3.2): a field of the update takes the place of all stored ones of
 * its name. undefined: the 304 is about another representation (RFC 9111, 4.3.4), and says nothing about the stored one.
 */
export function freshened(stored: ResponseHead, update: ResponseHead): ResponseHead | undefined {
  if (!isAbout(stored, update)) return undefined;
  const connection = new Set(
    listMembers(fieldValue(update.headers, 'connection') ?? '').map((name) => name.toLowerCase()),
  );
  const taken: HeaderPairs = update.headers.filter(([name]) => {
    const key = name.toLowerCase();
    const isOurs = key.startsWith(':') || OF_THE_BODY.has(key);
    return !(isOurs || DENIED_HEADERS.has(key) || connection.has(key));
  });
  const replaced = new Set(taken.map(([name]) => name.toLowerCase()));
  const kept = stored.headers.filter(([name]) => {
    const key = name.toLowerCase();
    return !(replaced.has(key) || OF_THE_MESSAGE.has(key));
  });
  return { ...stored, headers: [...kept, ...taken] };
}

/** A validator or a digest that it has must be the stored one's; where it has none, it is about what was asked for. */
function isAbout(stored: ResponseHead, update: ResponseHead): boolean {
  const [before, now] = [fieldValue(stored.headers, 'etag'), fieldValue(update.headers, 'etag')];
  if (now !== undefined && !confirms(now, before)) return false;
  const since = fieldValue(update.headers, 'last-modified');
  const then = fieldValue(stored.headers, 'last-modified');
  if (now === undefined && since !== undefined && since !== then) return false;
  const digests = (head: ResponseHead) =>
    declaredDigests(head.headers.filter(([name]) => !isOfContent(name)));
  return conflicts(digests(update), digests(stored)) === undefined;
}

/** A strong validator has to be the very same. A weak one may be what somebody on the way has made of a strong one. */
function confirms(now: string, before: string | undefined): boolean {
  return now === before || (now.startsWith('W/') && now.slice('W/'.length) === before);
}

function isOfContent(name: string): boolean {
  return ['content-digest', 'content-md5'].includes(name.toLowerCase());
}
