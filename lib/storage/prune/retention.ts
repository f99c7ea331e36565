import { type Slices, sortInSlices } from '../../fs/slices.ts';
import type { Cutoffs } from './run.ts';

/** What decides whether a tag stays. */
export interface Tag {
  name: string;
  /** When it was last pushed, in milliseconds since the epoch (statement 42). */
  modifiedAt: number;
  /** When it was last pulled, where that is known. */
  usedAt?: number | undefined;
}

/**
 * The names of the tags that go. A tag stays where anything says so: it is young enough, one of the newest, or was used lately. Without a limit of
 * age or number all stay.
 */
export async function expiredTags(
  tags: readonly Tag[],
  { manifest, keepTags, used }: Omit<Cutoffs, 'upload'>,
  slices: Slices,
): Promise<Set<string>> {
  if (manifest === undefined && keepTags === undefined) return new Set();
  const newestFirst = (a: Tag, b: Tag) => b.modifiedAt - a.modifiedAt || (a.name < b.name ? -1 : 1);
  const rest =
    keepTags === undefined ? tags : (await sortInSlices(tags, newestFirst, slices)).slice(keepTags);
  const isYoung = ({ modifiedAt }: Tag) => manifest !== undefined && modifiedAt >= manifest;
  const isUsed = ({ usedAt }: Tag) => used !== undefined && usedAt !== undefined && usedAt >= used;
  return new Set(rest.filter((tag) => !isYoung(tag) && !isUsed(tag)).map(({ name }) => name));
}
