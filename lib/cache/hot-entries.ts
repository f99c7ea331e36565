import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { inspect } from 'node:util';
import { LRUCache } from 'lru-cache';
import { OptionError } from '../errors.ts';
import { type FileIdentity, isSame, isSettled } from '../fs/identity.ts';
import type { Layout } from '../fs/layout.ts';
import type { ResponseHead } from '../http/body.ts';
import type { EntryInfo, Key } from './cache.ts';
import { readWhole } from './file-entry.ts';
import { type EntryRecord, infoOf } from './record.ts';
import { SharedFile } from './shared-file.ts';

/** What a `FileCache` may keep in memory. */
export interface MemoryOptions {
  /** Bound for bodies and heads in memory, in bytes. Default 64 MiB; 0: the same as `memory: false`. */
  maxBytes?: number;
  /** Largest body that is kept in memory, in bytes; of larger ones the file is kept open. Default 1 MiB. */
  maxEntryBytes?: number;
}

/** As many bodies are kept open; a process has 1024 descriptors on most systems. */
const MAX_FILES = 128;

/** Charged for an entry besides its body and its record. */
const OVERHEAD_BYTES = 1024;

/** A record as it was read. */
export interface SeenRecord {
  record: EntryRecord;
  /** Of the record itself. */
  bytes: number;
  identity: FileIdentity;
  /** Milliseconds since the epoch, before it was looked at. */
  seenAt: number;
}

/** An entry that was asked for lately: what its record says, and its body or the open file of it. */
export interface HotEntry {
  readonly id: string;
  readonly name: string;
  readonly key: Key;
  readonly fill: string;
  readonly head: ResponseHead;
  readonly info: EntryInfo;
  readonly recordPath: string;
  readonly bodyPath: string;
  readonly charge: number;
  identity: FileIdentity;
  readonly body: Buffer | SharedFile;
  /** Lets go of the file. */
  readonly close: () => Promise<void> | undefined;
}

/**
 * The entries that are asked for most, answered without a wait. What tells that they still are what the disk holds is one `stat` of
 * the record for each answer: a purge in any process takes the record away first, and a new body comes with a new record. That
 * `stat` can't be spared for the next request in the same turn of the event loop: a turn reads from many sockets, one after the
 * other, and what it reads may have been sent after a purge which came after the `stat`.
 */
export class HotEntries {
  readonly #layout: Layout;
  readonly #maxBytes: number;
  readonly #maxEntryBytes: number;
  readonly #entries: LRUCache<string, HotEntry>;
  /** Those with an open file. */
  readonly #files: LRUCache<string, SharedFile>;
  readonly #ids = new Map<string, string>();
  readonly #loading = new Set<string>();
  readonly #closing = new Set<Promise<void>>();
  #closed = false;

  constructor(layout: Layout, { maxBytes, maxEntryBytes }: Required<MemoryOptions>) {
    this.#layout = layout;
    this.#maxBytes = maxBytes;
    this.#maxEntryBytes = maxEntryBytes;
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ charge }) => charge,
      dispose: (entry) => this.#dispose(entry),
    });
    this.#files = new LRUCache({
      max: MAX_FILES,
      // Afterwards: it takes the file out here as well.
      disposeAfter: (_, id, reason) => {
        if (reason === 'evict') this.#entries.delete(id);
      },
    });
  }

  get stats(): { entries: number; bytes: number } {
    return { entries: this.#entries.size, bytes: this.#entries.calculatedSize };
  }

  /** The entry, where it is hot and still what the disk holds. */
  find(key: Key): HotEntry | undefined {
    const id = idOf(key);
    const entry = this.#entries.get(id);
    if (entry === undefined || !isSameKey(entry.key, key)) return undefined;
    const stat = statSync(entry.recordPath, { throwIfNoEntry: false });
    if (stat === undefined) {
      this.forget(entry.name);
      return undefined;
    }
    // Replaced, or only touched: `renew` tells, once its record has been read again.
    if (!isSame(stat, entry.identity)) return undefined;
    if (!(entry.body instanceof SharedFile)) return entry;
    this.#files.get(id);
    if (entry.body.isWhole(entry.info.size)) return entry;
    this.forget(entry.name);
    return undefined;
  }

  /** The entry, if its record has merely been touched; if another one took its place it is forgotten. */
  renew(name: string, { record, identity, seenAt }: SeenRecord): HotEntry | undefined {
    const entry = this.#entries.peek(this.#ids.get(name) ?? '');
    if (entry === undefined) return undefined;
    const { body } = entry;
    if (entry.fill !== record.fill || (body instanceof SharedFile && !body.isWhole(record.size))) {
      this.forget(name);
      return undefined;
    }
    if (!isSettled(identity, seenAt)) return undefined;
    entry.identity = identity;
    return entry;
  }

  /**
   * Keeps an entry that was found on disk: a small body is read whole and verified, of a larger one the open file is kept. Resolves
   * to undefined where it is not kept (yet), and to 'damaged' where the body is not what was stored.
   */
  async admit(name: string, seen: SeenRecord, file: SharedFile): Promise<HotEntry | 'damaged' | undefined> {
    const { record } = seen;
    if (this.#closed || !isSettled(seen.identity, seen.seenAt)) return undefined;
    const overhead = seen.bytes + OVERHEAD_BYTES;
    if (record.size > this.#maxEntryBytes || record.size + overhead > this.#maxBytes) {
      return this.#keep(name, seen, file, overhead);
    }
    // Others need not read it as well.
    if (this.#loading.has(name)) return undefined;
    this.#loading.add(name);
    try {
      const body = await readWhole(file.fd, record.size);
      const sha256 = record.digests.find(({ algorithm }) => algorithm === 'sha256')?.hex;
      if (createHash('sha256').update(body).digest('hex') !== sha256) return 'damaged';
      return this.#keep(name, seen, body, overhead + record.size);
    } finally {
      this.#loading.delete(name);
    }
  }

  forget(name: string): void {
    const id = this.#ids.get(name);
    if (id !== undefined) this.#entries.delete(id);
  }

  /** Closes files that others have removed: their bytes stay on disk as long as they are open. 1 µs each. */
  closeUnlinked(): void {
    for (const [id, file] of [...this.#files.entries()]) if (file.isUnlinked()) this.#entries.delete(id);
  }

  /** Lets go of the files that are kept open; how many that were, besides those that are being read. */
  async closeFiles(): Promise<number> {
    for (const id of [...this.#files.keys()]) this.#entries.delete(id);
    const closing = [...this.#closing];
    await Promise.all(closing);
    return closing.length;
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
  }

  /** Forgets everything; resolves when every file is closed that nobody reads. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#entries.clear();
    await Promise.all(this.#closing);
  }

  #keep(name: string, seen: SeenRecord, body: Buffer | SharedFile, charge: number): HotEntry | undefined {
    if (this.#closed || charge > this.#maxBytes) return undefined;
    const { record, identity } = seen;
    const id = idOf(record.key);
    const entry: HotEntry = {
      id,
      name,
      key: record.key,
      fill: record.fill,
      head: record.head,
      info: infoOf(record),
      recordPath: this.#layout.record(name),
      bodyPath: this.#layout.body(name, record.fill),
      charge,
      identity,
      body,
      close: body instanceof SharedFile ? body.use() : () => undefined,
    };
    this.#entries.set(id, entry);
    this.#ids.set(name, id);
    if (body instanceof SharedFile) this.#files.set(id, body);
    return entry;
  }

  #dispose({ id, name, close }: HotEntry): void {
    this.#ids.delete(name);
    this.#files.delete(id);
    const closed = close();
    if (closed === undefined) return;
    this.#closing.add(closed);
    void closed.then(() => this.#closing.delete(closed));
  }
}

/** One string for each key, cheaper than its hash. Two keys may share it, so whoever finds an entry by it compares the key itself. */
function idOf({ primary, variant }: Key): string {
  return variant === undefined || variant === '' ? primary : `${primary}\0${variant}`;
}

function isSameKey(one: Key, other: Key): boolean {
  return one.primary === other.primary && (one.variant ?? '') === (other.variant ?? '');
}

/** @throws OptionError */
export function resolveMemory(memory: MemoryOptions | false = {}): Required<MemoryOptions> | undefined {
  if (memory === false) return undefined;
  const { maxBytes = 64 * 2 ** 20, maxEntryBytes = 2 ** 20, ...rest } = Object(memory) as MemoryOptions;
  if (typeof memory !== 'object' || memory === null || Object.keys(rest).length > 0) {
    const came = inspect(memory, { breakLength: Number.POSITIVE_INFINITY });
    throw new OptionError('memory', `memory must be false or { maxBytes, maxEntryBytes }, got ${came}`);
  }
  for (const [name, value] of Object.entries({ maxBytes, maxEntryBytes })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      const right = 'write for example 64 * 2 ** 20';
      throw new OptionError(
        `memory.${name}`,
        `memory.${name} must be a whole number of bytes, got ${inspect(value)}; ${right}`,
      );
    }
  }
  return maxBytes === 0 ? undefined : { maxBytes, maxEntryBytes };
}
