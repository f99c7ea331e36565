import type { Invalidation, Key } from './cache.ts';

/** Whether an entry of this key, with these tags, is among what is to be invalidated. */
export function concerns(what: Invalidation, key: Key, tags: readonly string[]): boolean {
  if ('key' in what) return key.primary === what.key;
  if ('prefix' in what) return key.primary.startsWith(what.prefix);
  return 'tag' in what ? tags.includes(what.tag) : true;
}
