/** What was counted of one kind of fate. */
export interface Tally {
  /** Objects in the backend, of whatever kind. */
  objects: number;
  /** Of those objects. */
  bytes: number;
  uploads: number;
  tags: number;
  /** Of repositories, by their digests; the content of each is one of the blobs. */
  manifests: number;
  blobs: number;
}

/** What could not be looked at, or is not as it should be. */
export interface PruneProblem {
  namespace: string;
  /** Its path in the backend. */
  what: string;
  error: Error;
}

export interface NamespaceReport {
  removed: Tally;
  kept: Tally;
  /** Whether its blobs were looked through; false where it could not be known which of them are needed. */
  swept: boolean;
}

export interface PruneReport {
  /** Or would have been, in a dry run. */
  removed: Tally;
  kept: Tally;
  problems: PruneProblem[];
  /** By their names. */
  namespaces: Record<string, NamespaceReport>;
}

export type Kind = Exclude<keyof Tally, 'objects' | 'bytes'>;

export function emptyTally(): Tally {
  return { objects: 0, bytes: 0, uploads: 0, tags: 0, manifests: 0, blobs: 0 };
}

export function sumUp(tallies: Iterable<Tally>): Tally {
  const sum = emptyTally();
  for (const tally of tallies) for (const key of Object.keys(sum) as (keyof Tally)[]) sum[key] += tally[key];
  return sum;
}
