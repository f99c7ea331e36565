import type { Readable } from 'node:stream';

/** Header fields in the order and letter case they were set; a repeated field is a repeated pair. */
export type HeaderPairs = (readonly [name: string, value: string])[];

/** Half-open: `start` is the first byte, `end` the one after the last. */
export interface ByteRange {
  start: number;
  end: number;
}

/** What a response says before its body. */
export interface ResponseHead {
  status: number;
  statusMessage?: string;
  headers: HeaderPairs;
  /** Lower-case names that the handler took away from what earlier middleware had set. */
  removed?: string[];
  /** Lower-case names whose values are added to what the response already carries (`Vary`), not put in its place. */
  merged?: string[];
}

/** How the bytes of a body came to an end. */
export type BodyEnd = 'complete' | 'failed' | 'superseded' | 'orphaned';

/** Something that can be sent: a stored entry, or a fill that is still growing. */
export interface Body {
  head: ResponseHead;
  /** Length of the whole in bytes; undefined while it is not known. */
  size?: number;
  /** The whole body, where it is in memory. */
  bytes?: Uint8Array;
  /** The file that holds the body from offset 0, where there is one and it is complete. */
  path?: string;
  /**
   * Makes sure of what comes first of `range` (default: the whole), before a head promises it. Rejects where that can't be had, or is not
   * what it should be: the body is of no use then. undefined: nothing has to be waited for.
   */
  prepare?(range?: ByteRange): Promise<void> | undefined;
  /** The bytes of `range` (default: the whole). The stream is destroyed with an error where they can't all be had. */
  read(range?: ByteRange): Readable;
  /**
   * The same, piece by piece, by whoever can do it without memory of its own for each of them: a piece may be overwritten as soon as
   * its `take` has resolved. Rejects with what `take` rejected with, or where the bytes can't all be had.
   */
  pour?(range: ByteRange | undefined, take: (piece: Uint8Array) => Promise<void>): Promise<void>;
  /** Says that nothing more will be read: a `pour` that waits for bytes to come rejects. Calling it again does nothing. */
  release(): void;
}
