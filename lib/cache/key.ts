import type { Key } from './cache.ts';

/** One string for each key, by which maps in memory tell keys apart. */
export function idOf({ primary, variant = '' }: Key): string {
  return JSON.stringify([primary, variant]);
}
