import type { FileHandle } from 'node:fs/promises';
import type { ResponseHead } from '../../http/body.ts';
import type { EntryInfo, FillOptions, Key } from '../cache.ts';
import type { Wreck } from '../invalid.ts';

/** What a fill needs of the cache it belongs to. */
export interface FillOwner {
  key: Key;
  head: ResponseHead;
  options: FillOptions;
  file: FileHandle;
  /** Whether other processes read it along. */
  elsewhere: { readonly isSet: boolean };
  /** Asks for this many bytes on disk in all. @throws StoreError where they are not to be had */
  grow(bytes: number): Promise<void>;
  /** Writes; where room is wanting, makes so many bytes of it, and tries once more. */
  attempt<T>(write: () => Promise<T>, bytes: number): Promise<T>;
  /** What is in the file could not be read. */
  unreadable(error: unknown): void;
  /** Publishes the body, with the checksums of its blocks, under its key. @throws SupersededError */
  publish(info: EntryInfo, blocks: Uint32Array): Promise<void>;
  /** Says to those who read it elsewhere that all of it is there and verified, though it is to be no entry. Never rejects. */
  vouch(info: EntryInfo): Promise<void>;
  /** Nobody may join any more: it ended, or its store failed. */
  unjoinable(): void;
  /** Nothing more will come. */
  ended(): void;
  /** The store takes no more; the rest goes through memory, to those who read it already. */
  storeLost(): void;
  /**
   * It will never be published: what it has on disk goes, though those who read it still can.
   * @param wreck where it is the body that was wrong, and all of it that came is on disk
   */
  discard(why: Error, wreck?: Wreck): Promise<void>;
  /** Nobody reads or writes it any more. */
  closed(): Promise<void>;
}
