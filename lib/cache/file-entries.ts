import * as fs from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { publish as tell } from '../events.ts';
import { isMissing, onDisk, readWithStat } from '../fs/files.ts';
import { identityOf } from '../fs/identity.ts';
import type { Layout } from '../fs/layout.ts';
import type { Space } from '../fs/space.ts';
import type { ResponseHead } from '../http/body.ts';
import type { Entry, EntryInfo, Key } from './cache.ts';
import type { Expendable } from './expendable.ts';
import { FileEntry } from './file-entry.ts';
import type { HotEntries, HotEntry, SeenRecord } from './hot-entries.ts';
import { records, sweep } from './janitor.ts';
import { idOf } from './key.ts';
import { Ledger, type Older, type Removal } from './ledger.ts';
import { MemoryEntry } from './memory-entry.ts';
import type { Notices } from './notices.ts';
import { decodeNewerRecord, decodeRecord, type EntryRecord, infoOf } from './record.ts';
import { isNeeded, type RemovedEntry, removeBody, removeEntry } from './removal.ts';
import { SharedFile } from './shared-file.ts';
import { STATE_BYTES } from './state.ts';
import { Upkeep, type UpkeepOptions } from './upkeep.ts';

/** An entry that is replaced again and again while it is opened is a miss in the end. */
const OPEN_ATTEMPTS = 10;

/** So many are known that can't be read. */
const MOST_UNREADABLE = 10_000;

/** What the entries have to do with. */
export interface FileEntriesOptions extends UpkeepOptions {
  /** As events name it. */
  directory: string;
  maxBytes: number;
  space: Space;
  notices: Notices;
  /** What goes before any entry when room is needed. */
  expendable: Expendable;
  hot: HotEntries | undefined;
}

/** The entries on disk, and the account of them. */
export class FileEntries {
  readonly ledger: Ledger;
  readonly upkeep: Upkeep;
  readonly #notices: Notices;
  readonly #layout: Layout;
  readonly #directory: string;
  readonly #hot: HotEntries | undefined;
  readonly #failed: FileEntriesOptions['failed'];
  readonly #touched = new Map<string, number>();
  /** Bodies that could be opened, and not be read, by their paths. */
  readonly #unreadable = new LRUCache<string, true>({ max: MOST_UNREADABLE });
  /** Bodies removed since somebody began to look at, or to write, what is on disk; one set for each of them. */
  readonly #watches = new Set<Set<string>>();

  constructor(layout: Layout, options: FileEntriesOptions) {
    const { directory, maxBytes, space, notices, expendable, hot } = options;
    this.#layout = layout;
    this.#directory = directory;
    this.#notices = notices;
    this.#hot = hot;
    this.#failed = options.failed;
    const evict = (name: string, removal: Removal) =>
      this.#evict(name, removal).catch((error: unknown) => {
        this.#failed(error, 'change');
        throw error;
      });
    this.ledger = new Ledger(maxBytes, evict, { expendable, space });
    this.upkeep = new Upkeep(layout, this.ledger, options);
  }

  /** The entry, without a wait; undefined where it is not hot: `open` tells whether there is one. */
  openHot(key: Key): Entry | undefined {
    const hot = this.#hot?.find(key);
    return hot && this.#entryOf(hot);
  }

  /** The entry, held; undefined where there is none of this key. */
  async open(key: Key): Promise<Entry | undefined> {
    const name = this.#layout.name(key.primary, key.variant);
    for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
      const entry = await this.#openOnce(name, key);
      if (entry !== 'replaced') return entry;
    }
    return undefined;
  }

  async record(key: Key): Promise<EntryRecord | undefined> {
    const record = (await this.#read(this.#layout.name(key.primary, key.variant), key))?.record;
    return record !== undefined && idOf(record.key) === idOf(key) ? record : undefined;
  }

  /**
   * Accounts for a body that `publish` puts in the place of the one before, or of none. Nothing of that name is evicted meanwhile.
   * @param publish resolves to the size of the record in bytes
   * @param settle called at the moment from which on it is accounted for
   */
  async replace(
    { name, fill, size }: { name: string; fill: string; size: number },
    publish: () => Promise<number>,
    settle: () => void,
  ): Promise<void> {
    await this.ledger.left(name);
    const release = this.ledger.hold(name);
    const removed = this.#watch();
    try {
      const recordBytes = await publish();
      settle();
      this.#hot?.forget(name);
      this.#touched.delete(name);
      this.upkeep.usage.forget(name);
      // Purged already, before we came to account for it.
      if (!removed.has(fill)) this.ledger.add(name, charge(size, recordBytes), fill);
    } finally {
      this.#watches.delete(removed);
      release();
    }
  }

  /** Removes an entry, of whatever format; whether there was one. */
  async remove(name: string): Promise<boolean> {
    return (await this.#unlink(name, { newer: true })) !== undefined;
  }

  /** What was known of the files on disk does not hold any more. */
  reset(): void {
    this.ledger.reset();
    this.#hot?.clear();
    this.#unreadable.clear();
  }

  /** Clears up after others, and takes over the account of what they left. */
  async scan(ownFills: ReadonlySet<string>): Promise<void> {
    await sweep(this.#layout, ownFills, this.#notices);
    const removed = this.#watch();
    const found: Required<Older>[] = [];
    for await (const { name, record, bytes, usedAt } of records(this.#layout)) {
      const pinned = await this.upkeep.isPinned(name, record.fill);
      found.push({ name, bytes: charge(record.size, bytes), body: record.fill, usedAt, pinned });
    }
    found.sort((a, b) => a.usedAt - b.usedAt);
    // What was used meanwhile is there already, and more recent.
    this.ledger.addOlder(found.filter(({ body }) => !removed.has(body)));
    this.#watches.delete(removed);
    await this.ledger.evict(this.ledger.maxBytes);
  }

  async #openOnce(name: string, key: Key): Promise<Entry | 'replaced' | undefined> {
    const known = this.ledger.bodyOf(name);
    const found = await this.#read(name, key);
    // Another process may have removed it.
    if (found === undefined && known !== undefined) {
      this.ledger.drop(name, known);
      this.#touched.delete(name);
    }
    if (found === undefined || idOf(found.record.key) !== idOf(key)) return undefined;
    const { record, bytes } = found;
    const path = this.#layout.body(name, record.fill);
    // Its clients would only be cut off again: let it be fetched anew.
    if (this.#unreadable.has(path)) return undefined;
    const hot = this.#hot?.renew(name, found);
    if (hot !== undefined) return this.#entryOf(hot);
    const handle = await fs.open(path, 'r').catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (handle === undefined) {
      // Replaced between record and body: once more, from the record.
      if ((await this.#read(name, key))?.record.fill !== record.fill) return 'replaced';
      await this.#drop(name, key, 'its body is missing');
      return undefined;
    }
    const file = new SharedFile(handle);
    const close = file.use();
    try {
      const { size } = await handle.stat();
      if (size !== record.size) {
        await this.#drop(name, key, `its body has ${size} of ${record.size} bytes`);
        return undefined;
      }
      if (!this.ledger.has(name)) await this.#discover(name, record, bytes);
      const admitted = await this.#hot?.admit(name, found, file);
      if (admitted === 'damaged') {
        await this.#drop(name, key, 'its body is not what was stored');
        return undefined;
      }
      if (admitted !== undefined) {
        // Removed while it was read: nobody would be given it, but it would take up room.
        if (!this.ledger.has(name)) this.#hot?.forget(name);
        return this.#entryOf(admitted);
      }
      this.#touch(name);
      return this.#fileEntry(name, record.head, infoOf(record), path, file);
    } finally {
      void close();
    }
  }

  #entryOf({ name, head, info, body, bodyPath }: HotEntry): Entry {
    this.#touch(name);
    // Its bytes need no file; who asks for the path does, and what is being read should not be the first to go.
    if (!(body instanceof SharedFile))
      return new MemoryEntry(head, info, body, this.#holding(name), bodyPath);
    return this.#fileEntry(name, head, info, bodyPath, body);
  }

  #fileEntry(name: string, head: ResponseHead, info: EntryInfo, path: string, file: SharedFile): FileEntry {
    const close = file.use();
    const release = this.#holding(name);
    const failed = (error: unknown) => {
      this.#failed(error, 'read');
      this.#unreadable.set(path, true);
      this.#hot?.forget(name);
    };
    const released = (used: boolean) => {
      release(used);
      void close();
    };
    return new FileEntry(head, info, path, file.fd, { failed, released });
  }

  #holding(name: string): (used: boolean) => void {
    const release = this.ledger.hold(name);
    return (used) => {
      release();
      if (!used) this.upkeep.usage.uncount(name);
    };
  }

  /** Accounts for an entry that another process has stored, or that the scan has not come to yet. */
  async #discover(name: string, { key, size, fill }: EntryRecord, recordBytes: number): Promise<void> {
    const pinned = await this.upkeep.isPinned(name, fill);
    // Somebody else has come across it meanwhile.
    if (this.ledger.has(name)) return;
    this.ledger.add(name, charge(size, recordBytes), fill, { pinned });
    // It may have been removed since its record was read.
    if ((await this.#read(name, key))?.record.fill !== fill) this.ledger.drop(name, fill);
  }

  /** A record; a damaged one is removed, and is none; one of a newer format is none of ours. */
  async #read(name: string, key?: Key): Promise<SeenRecord | undefined> {
    const seenAt = Date.now();
    const found = await readWithStat(this.#layout.record(name));
    const record = found && decodeRecord(found.bytes);
    if (found !== undefined && record === undefined) {
      if (decodeNewerRecord(found.bytes) !== undefined) this.#notices.newer(name);
      else await this.#drop(name, key, 'its record is damaged');
      return undefined;
    }
    this.#notices.known(name);
    if (found === undefined || record === undefined) return undefined;
    return { record, bytes: found.bytes.byteLength, identity: identityOf(found.stat), seenAt };
  }

  async #drop(name: string, key: Key | undefined, why: string): Promise<void> {
    this.#notices.damaged(name, why, key);
    await this.#unlink(name);
  }

  #touch(name: string): void {
    if (!this.ledger.has(name)) return;
    this.ledger.touch(name);
    this.upkeep.usage.count(name);
    const now = Date.now();
    if (now - (this.#touched.get(name) ?? 0) < this.upkeep.touchMs) return;
    this.#touched.set(name, now);
    const time = new Date(now);
    // Losing it is harmless: recency is a little older after a restart.
    fs.utimes(this.#layout.record(name), time, time).catch((error: unknown) => this.#failed(error, 'change'));
  }

  /** For want of room, or because nobody uses it. 'pinned': another process has pinned it, and it stays. */
  async #evict(name: string, { why, bytes, body }: Removal): Promise<'pinned' | undefined> {
    const fill = (await this.#read(name))?.record.fill;
    if (fill !== undefined && (await this.upkeep.isPinned(name, fill))) return 'pinned';
    const removed = await this.#unlink(name);
    // Its record was taken away by other means.
    if (removed === undefined && !(await isNeeded(this.#layout, name, body))) {
      await removeBody(this.#layout, name, body);
    }
    const key = removed?.key === undefined ? {} : { key: removed.key };
    tell(`cache-filter:${why}`, () => ({ directory: this.#directory, ...key, bytes }));
    return undefined;
  }

  async #unlink(name: string, options?: { newer: boolean }): Promise<RemovedEntry | undefined> {
    this.#touched.delete(name);
    this.upkeep.usage.forget(name);
    this.#hot?.forget(name);
    const removed = await removeEntry(this.#layout, name, options);
    // Somebody may have read it meanwhile. No request is answered from it, as the record has gone: it only takes up room.
    this.#hot?.forget(name);
    if (removed === undefined) return undefined;
    this.#notices.known(name);
    const { fill } = removed;
    if (fill !== undefined) for (const watch of this.#watches) watch.add(fill);
    this.ledger.drop(name, fill);
    return removed;
  }

  #watch(): Set<string> {
    const removed = new Set<string>();
    this.#watches.add(removed);
    return removed;
  }
}

/** What an entry, or a fill that is to become one, costs of the budget: bytes on disk, its state included. */
export function charge(size: number, recordBytes: number): number {
  return onDisk(size) + onDisk(recordBytes) + onDisk(STATE_BYTES);
}
