// docs/reference/cache-contract.md

import type { Readable } from 'node:stream';
import type { ByteRange, ResponseHead } from '../../http/body.ts';
import type { DeclineReason, EntryInfo, FillInfo, FillOptions, Key, Proof } from '../cache.ts';

/** Why there are no parts to be had. `busy`: another process has them. */
export type PartsDeclineReason = DeclineReason | 'busy' | 'too-small';

/** Not taken; what is asked for is had without the cache. */
export interface PartsDeclined {
  declined: PartsDeclineReason;
}

/** What is known of a body before any part of it is there. */
export interface PartsBeginning {
  /** That of the whole: what a 200 would have said. */
  head: ResponseHead;
  /** Of the whole, in bytes. */
  size: number;
  options?: Omit<FillOptions, 'size'>;
}

/** Asks somebody else what a body is; undefined: there is nothing to begin. What it rejects with is taken for that. */
export type FindOut = () => Promise<PartsBeginning | undefined>;

/** Bodies of which only parts are there. */
export interface PartsStore {
  /**
   * The parts of a key: the same object for all who open it in this process, each of whom releases it. undefined: there are none, and
   * there is no `begin`. Never rejects.
   * @param begin where there are none: what they are to be of, or finds that out. What was purged meanwhile does not become an entry.
   */
  open(key: Key, begin?: PartsBeginning | FindOut): Promise<PartialBody | PartsDeclined | undefined>;
}

/** A body of which some blocks are there, and some have been promised. All of it is of one representation, that of `head`. */
export interface PartialBody {
  readonly head: ResponseHead;
  readonly info: FillInfo;
  /** Of the whole, in bytes. */
  readonly size: number;
  /** What it comes in; the last block may be shorter. */
  readonly blockBytes: number;
  /** All blocks are there. */
  readonly isWhole: boolean;
  /** It has been purged, given up, or has become an entry: whoever comes now does not get it. */
  readonly isOver: boolean;
  /** Why it was given up: nothing more of it can be had. */
  readonly dropped: Error | undefined;
  /** What has to be fetched for `range` (default: the whole), in whole blocks, merged: neither there nor promised. */
  missing(range?: ByteRange): ByteRange[];
  /**
   * Promises blocks: nobody else fetches them.
   * @param range in whole blocks, all of them missing
   * @throws RangeError where it is not that
   */
  begin(range: ByteRange): PartWriter;
  /**
   * The bytes of a range (default: the whole): those that are there, those that are promised as they come. Destroyed with an error at
   * the first byte that is neither, or does not come after all: it has to be fetched first. The last byte of the whole is held back
   * until `commit` has verified it.
   */
  read(range?: ByteRange): Readable;
  /**
   * Makes an entry of it, once it is whole.
   * @throws IntegrityError where it is not what `proof` says: all of it is dropped; SupersededError where the key was purged, or stored
   *   anew, meanwhile; StoreError where the store could not keep it: what was found to be damaged is missing again
   */
  commit(proof: Proof): Promise<EntryInfo>;
  /** Gives up all of it: readers fail with `reason`. */
  drop(reason: Error): Promise<void>;
  /** Nobody else is given it, and it does not become an entry; who has it goes on. */
  retire(): void;
  /** One of those who opened it is done with it. What was promised by then is still written. */
  release(): void;
}

/** Writes blocks that were promised, one after the other. Whoever holds it calls `end` or `fail` in the end. */
export interface PartWriter {
  readonly range: ByteRange;
  /** Where the next byte goes. */
  readonly position: number;
  /**
   * Takes what comes next; one call at a time. Resolves when it can be read, to whether it is kept: where not, the store takes no more,
   * and the writer has failed.
   * @throws RangeError where more comes than was promised
   */
  write(chunk: Uint8Array): Promise<boolean>;
  /** Nothing more comes. What is not there by now is not promised any more. */
  end(): void;
  /** The same, because of an error: who waits for it gets that. A block counts when it is whole, and of the one begun nothing is left. */
  fail(error: Error): void;
}
