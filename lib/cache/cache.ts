// docs/reference/cache-contract.md

import type { StoreError } from '../errors.ts';
import type { Body, BodyEnd, ResponseHead } from '../http/body.ts';
import type { Digest, DigestAlgorithm } from '../http/digest.ts';
import type { PartsStore } from './parts/parts.ts';

export type {
  FindOut,
  PartialBody,
  PartsBeginning,
  PartsDeclined,
  PartsDeclineReason,
  PartsStore,
  PartWriter,
} from './parts/parts.ts';

/** What an entry is stored under. Purging acts on `primary`, with all its variants. */
export interface Key {
  primary: string;
  variant?: string;
}

/** What is known of an entry without reading its body. */
export interface EntryInfo {
  key: Key;
  /** Bytes of the body. */
  size: number;
  /** Digests of the bytes as they were stored: always SHA-256, and whatever was declared or asked for. */
  digests: Digest[];
  /** Milliseconds since the epoch at which the head arrived. */
  storedAt: number;
  /** Names under which the entry can be invalidated together with others. */
  tags: string[];
  /** Which version of its resource it is, where that is known. */
  version?: string;
}

/** What has become of an entry since it was stored. Not exact: losing some of it is harmless. */
export interface EntryUse {
  /** How often serving it has begun: each `open` or `claim` that found it. A replaced body begins at 0. */
  hits: number;
  /** Milliseconds since the epoch at which it was last found; at first, when it was stored. */
  usedAt: number;
  /** An operator wants to keep it. */
  pinned: boolean;
}

/** A stored, complete body. It is held (can't be removed under its reader) until `release()`. */
export interface Entry extends Body {
  size: number;
  info: EntryInfo;
  /** @param used false: nobody was given anything of it, so that having opened it counts as no hit. Default true */
  release(used?: boolean): void;
}

/** What is known of an entry to come. */
export type FillInfo = Pick<EntryInfo, 'key' | 'storedAt' | 'tags' | 'version'>;

/** A reader on a fill. It sees bytes as they come; what would make the body look whole comes only once it is verified. */
export interface FillReader extends Body {
  info: FillInfo;
  /** Bytes that can be read at once from position `from`. */
  available(from: number): number;
  /** Settles when the fill has ended; never rejects. */
  ended: Promise<BodyEnd>;
  /**
   * Offers to go on where the writer of the fill can't: it stopped before the end, or its process died. The first who offered is given
   * the claim, `inherited`, once; until it has begun, all readers wait. Offering ends with `release()`. Where nobody offers, the fill fails.
   */
  inherit(heir: (claim: LeaderClaim) => void): void;
}

/** What is known of a body before its first byte. */
export interface FillOptions {
  /** Declared length in bytes. */
  size?: number;
  /** Algorithms to compute besides SHA-256. */
  algorithms?: readonly DigestAlgorithm[];
  /** Names under which it can be invalidated together with others. */
  tags?: readonly string[];
  /** Which version of its resource it is. */
  version?: string;
  /** A body of another size is not kept, in bytes; its readers get it all the same. */
  minBytes?: number;
  maxBytes?: number;
  /** Milliseconds since the epoch; default now. */
  storedAt?: number;
}

/** What must hold for a body to become an entry. */
export interface Proof {
  /** In bytes. */
  length?: number;
  /** All of them must agree. */
  digests?: readonly Digest[];
}

/** The write in progress. Whoever holds it owns its end: exactly one of `commit`, `abort` and `orphan`. */
export interface Fill {
  /** Takes a chunk, always; false says to wait for `drained()` before the next. The chunk may not change afterwards. */
  write(chunk: Uint8Array): boolean;
  /** Resolves when there is room for more; at once where there is. Never rejects. */
  drained(): Promise<void>;
  /** A reader from the first byte on, at any time while it runs. */
  reader(): FillReader;
  /** How many readers there are that have not been released, those of other processes included. */
  readonly readers: number;
  /**
   * Calls `deserted` each time the last of them has been released, and now where there is none, and when `refused` comes while there is
   * none. The latest one given counts.
   */
  onDeserted(deserted: () => void): void;
  /** Why it will not become an entry, once that is known: who reads it gets it all the same. */
  readonly refused: StoreError | undefined;
  /**
   * Verifies and publishes. Afterwards `open` finds the entry, and only then do readers get the rest.
   * @throws IntegrityError when the bytes are not what `proof` says; SupersededError when the key was purged meanwhile;
   *   StoreError when the store could not keep them. In each case nothing is stored and readers see the failure.
   */
  commit(proof: Proof): Promise<EntryInfo>;
  /** Gives up: readers fail with `reason`, nothing is stored. */
  abort(reason: Error): Promise<void>;
  /** The writer can't go on: a reader who offered to (`inherit`) does in its place. Without one, the same as `abort`. */
  orphan(reason: Error): Promise<void>;
}

/** A fill that runs in this process. */
export interface RunningFill extends FillInfo {
  /** Declared length in bytes, where there is one. */
  size?: number;
  /** Bytes that have come so far. */
  bytes: number;
}

/** Why the cache would not take a body. */
export type DeclineReason = 'changed' | 'closed' | 'no-room' | 'store-down' | 'too-large' | 'unknown-format';

/** Not taken; the response goes on without the cache. */
export interface Declined {
  declined: DeclineReason;
}

/** The right, and the duty, to fetch: the holder calls exactly one of `start` and `abandon`. */
export interface LeaderClaim {
  role: 'leader';
  /** Of a fill that lost its writer: the head it began with, and how many bytes of it there are. */
  inherited?: { head: ResponseHead; bytes: number };
  /**
   * Begins the fill, or goes on with an inherited one. That takes the whole body again: what is there already is compared with it, and
   * only what follows is written. Declined as `changed`, and the fill fails, where the head is of another representation.
   */
  start(head: ResponseHead, options?: FillOptions): Promise<Fill | Declined>;
  /** Lets the followers go; each decides for itself. */
  abandon(): Promise<void>;
}

/** Who fetches a key: what `claim` answers. */
export type Claim =
  /** Committed between `open` and `claim`. */
  | { role: 'entry'; entry: Entry }
  | LeaderClaim
  /** Somebody else fetches. undefined: there was nothing to share. */
  | {
      role: 'follower';
      fill: Promise<FillReader | undefined>;
      /** Once `fill` has resolved to undefined: nothing is known of what it would have been, as whoever was to fetch it died, or gave way. */
      readonly again?: boolean;
    }
  | { role: 'declined'; reason: DeclineReason };

/** What a claim is to be. */
export interface ClaimOptions {
  /** Follow a running fill, but never lead. */
  join?: boolean;
  /** An entry stored at this time (milliseconds since the epoch) or before is to be replaced, and is none. */
  newerThan?: number;
}

/** What to make unreachable. */
export type Invalidation = { key: string } | { prefix: string } | { tag: string } | { all: true };

/** What was removed: how many entries, or bodies that never became one, and what they were charged with. */
export interface Removed {
  entries: number;
  bytes: number;
}

/** What can be done with a store. 'read-only': what is there is served, nothing new is stored. 'down': neither. */
export type StoreState = 'up' | 'read-only' | 'down';

/** What a cache holds, and what has gone from it since it was made. */
export interface CacheStats {
  /** Whether what it is kept in works. */
  state: StoreState;
  entries: number;
  /** Bytes charged to the budget: bodies, records, running fills and invalid bodies, in whole blocks. */
  bytes: number;
  /** The budget, in bytes. */
  maxBytes: number;
  /** Fills that run in this process. */
  fills: number;
  /** Entries that went for want of room. */
  evictions: number;
  /** Entries that went because they were not used for `inactiveMs`. */
  expired: number;
  /** Entries that are pinned. */
  pinned: number;
  /** Bodies dropped because their stored form was damaged. */
  corrupt: number;
  /** Entries that a newer version has stored: left alone, and not charged. */
  unknown: number;
  /** Bodies that were not what they should have been, kept for diagnosis; their bytes are among those charged. */
  invalid: { files: number; bytes: number };
  /**
   * Of a cache on disk: bodies that have been removed and take their room until their readers in this process are done. They are not
   * charged. `bytes` is the sum of their sizes.
   */
  unlinked?: { files: number; bytes: number };
  /** Of a cache that keeps some of its entries in memory as well: how many, and their bytes, heads included. */
  memory?: { entries: number; bytes: number };
}

/** How `verify` goes about it. */
export interface VerifyOptions {
  /** Of bodies. Default: as fast as they can be read. */
  maxBytesPerSecond?: number;
  /** Ends it: the iteration throws its reason. */
  signal?: AbortSignal;
}

/** What `verify` has found out about one entry. */
export interface Verified {
  key: Key;
  /** Bytes of its body. */
  size: number;
  /** It is what was stored. Where not, it has been dropped. */
  ok: boolean;
  /** What is wrong with it, in words. */
  why?: string;
  /** Bytes of bodies that are done with, this one included, and of how many there were at the start. */
  bytes: number;
  totalBytes: number;
}

/** A key that is to be fetched ahead of time. */
export interface QueuedKey {
  key: Key;
  /** What was said when it was queued. */
  note?: string;
  /** Milliseconds since the epoch. */
  queuedAt: number;
}

/** Keys that somebody should fetch before they are asked for. A commit of the key, or its invalidation, takes it out. */
export interface CacheQueue {
  /**
   * Queues a key. true, once; false where it is stored, is being fetched, or is queued already.
   * @param note what is needed to fetch it, such as its URL; at most 16 KiB of UTF-8
   * @throws OptionError where the note is too long; QueueFullError; StoreError where it can't be written down
   */
  add(key: Key, note?: string): Promise<boolean>;
  /** Oldest first. */
  list(): AsyncIterable<QueuedKey>;
  /** Takes out; how many there were. They bear no tags. */
  remove(what: Invalidation): Promise<number>;
}

/**
 * Keeps bodies by key. A cache never makes a response worse: what fails inside it is a miss or a decline, never a rejection of
 * `open` or `claim`.
 */
export interface Cache {
  /** The entry, held for the caller, or undefined. */
  open(key: Key): Promise<Entry | undefined> | Entry | undefined;
  /** At most one leader a key at a time. undefined: `join` was asked for, and nothing runs. */
  claim(key: Key, options?: ClaimOptions): Promise<Claim | undefined>;
  /** How many entries became unreachable. Running fills of these keys are cut off from the cache; their readers go on. */
  invalidate(what: Invalidation): Promise<number>;
  /** What is known of an entry, without holding it or counting as a use. */
  info(key: Key): Promise<(EntryInfo & EntryUse) | undefined>;
  /** The same of all entries, in no order. */
  list(): AsyncIterable<EntryInfo & EntryUse>;
  /**
   * Keeps the entries of a primary key, all its variants, until they are purged: they are not evicted for room, and don't expire.
   * The pin stays when an entry is replaced. How many there are.
   * @throws StoreError where it can't be written down
   */
  pin(key: string, on: boolean): Promise<number>;
  readonly queue: CacheQueue;
  /** Bodies of which only parts are there. Absent: they are not kept. */
  readonly parts?: PartsStore;
  /**
   * Removes what has not been used for `inactiveMs`, then the least recently used until at most `toBytes` (default `maxBytes`) are
   * charged; nothing that is being read or is pinned.
   * @throws OptionError where `toBytes` is no number of bytes
   */
  prune(options?: { toBytes?: number }): Promise<Removed>;
  /**
   * Removes what only takes room: bodies kept for diagnosis, and what is unfinished and belongs to no living fill, where nobody has
   * written to it for `stalledMs` (default a day; 0: at once).
   * @throws OptionError where `stalledMs` is no number of milliseconds
   */
  clean(options?: { stalledMs?: number }): Promise<Removed>;
  /**
   * Reads what is stored, all of it, and compares it with its digests; what is not what was stored is dropped. An entry is held while it
   * is looked at, and that is no use of it. What comes or goes meanwhile is passed over.
   * @throws OptionError
   */
  verify(options?: VerifyOptions): AsyncIterable<Verified>;
  /** The fills that run in this process. */
  fills(): RunningFill[];
  stats(): Promise<CacheStats>;
  /** Waits for what runs inside the cache itself. Idempotent; afterwards `claim` declines and `open` finds nothing. */
  close(): Promise<void>;
}
