import * as fs from 'node:fs/promises';
import createDebug from 'debug';
import { publish as tell } from '../events.ts';
import { isMissing, onDisk, readIfThere } from '../fs/files.ts';
import type { Layout } from '../fs/layout.ts';
import type { Space } from '../fs/space.ts';
import type { Entry, Key } from './cache.ts';
import { FileEntry } from './file-entry.ts';
import { identity } from './fill/runs.ts';
import { records, sweep } from './janitor.ts';
import { Ledger, type Older, type Removal } from './ledger.ts';
import { decodeRecord, type EntryRecord } from './record.ts';
import { isNeeded, type RemovedEntry, removeBody, removeEntry } from './removal.ts';
import { STATE_BYTES } from './state.ts';
import { Upkeep, type UpkeepOptions } from './upkeep.ts';

const debug = createDebug('cache-filter:store');

/** An entry that is replaced again and again while it is opened is a miss in the end. */
const OPEN_ATTEMPTS = 10;

export interface FileEntriesOptions extends UpkeepOptions {
  /** As events name it. */
  directory: string;
  maxBytes: number;
  space: Space;
}

/** The entries on disk, and the account of them. */
export class FileEntries {
  readonly ledger: Ledger;
  readonly upkeep: Upkeep;
  /** Dropped because their stored form was damaged. */
  corrupt = 0;
  readonly #layout: Layout;
  readonly #directory: string;
  readonly #touched = new Map<string, number>();
  /** Bodies removed since somebody began to look at, or to write, what is on disk; one set for each of them. */
  readonly #watches = new Set<Set<string>>();

  /** @throws OptionError */
  constructor(layout: Layout, options: FileEntriesOptions) {
    const { directory, maxBytes, space } = options;
    this.#layout = layout;
    this.#directory = directory;
    this.ledger = new Ledger(maxBytes, (name, removal) => this.#evict(name, removal), space);
    this.upkeep = new Upkeep(layout, this.ledger, options);
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
    const record = (await this.#read(this.#layout.name(key.primary, key.variant)))?.record;
    return record !== undefined && identity(record.key) === identity(key) ? record : undefined;
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
      this.#touched.delete(name);
      this.upkeep.usage.forget(name);
      // Purged already, before we came to account for it.
      if (!removed.has(fill)) this.ledger.add(name, charge(size, recordBytes), fill);
    } finally {
      this.#watches.delete(removed);
      release();
    }
  }

  /** Removes an entry; whether there was one. */
  async remove(name: string): Promise<boolean> {
    return (await this.#unlink(name)) !== undefined;
  }

  /** Clears up after others, and takes over the account of what they left. */
  async scan(ownFills: ReadonlySet<string>): Promise<void> {
    await sweep(this.#layout, ownFills);
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
    const found = await this.#read(name);
    // Another process may have removed it.
    if (found === undefined && known !== undefined) {
      this.ledger.drop(name, known);
      this.#touched.delete(name);
    }
    if (found === undefined || identity(found.record.key) !== identity(key)) return undefined;
    const { record, bytes } = found;
    const path = this.#layout.body(name, record.fill);
    const file = await fs.open(path, 'r').catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (file === undefined) {
      // Replaced between record and body: once more, from the record.
      if ((await this.#read(name))?.record.fill !== record.fill) return 'replaced';
      await this.#drop(name, 'its body is missing');
      return undefined;
    }
    const { size } = await file.stat();
    if (size !== record.size) {
      await file.close();
      await this.#drop(name, `its body has ${size} of ${record.size} bytes`);
      return undefined;
    }
    if (!this.ledger.has(name)) await this.#discover(name, record, bytes);
    this.#touch(name);
    const release = this.ledger.hold(name);
    return new FileEntry(record, path, file.fd, () => {
      release();
      file.close().catch(() => undefined);
    });
  }

  /** Accounts for an entry that another process has stored, or that the scan has not come to yet. */
  async #discover(name: string, { size, fill }: EntryRecord, recordBytes: number): Promise<void> {
    const pinned = await this.upkeep.isPinned(name, fill);
    // Somebody else has come across it meanwhile.
    if (this.ledger.has(name)) return;
    this.ledger.add(name, charge(size, recordBytes), fill, { pinned });
    // It may have been removed since its record was read.
    if ((await this.#read(name))?.record.fill !== fill) this.ledger.drop(name, fill);
  }

  /** A record, and its size in bytes; a damaged one is removed, and is none. */
  async #read(name: string): Promise<{ record: EntryRecord; bytes: number } | undefined> {
    const bytes = await readIfThere(this.#layout.record(name));
    if (bytes === undefined) return undefined;
    const record = decodeRecord(bytes);
    if (record !== undefined) return { record, bytes: bytes.byteLength };
    await this.#drop(name, 'its record is damaged');
    return undefined;
  }

  async #drop(name: string, why: string): Promise<void> {
    debug('dropping %s: %s', name, why);
    this.corrupt++;
    await this.remove(name);
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
    fs.utimes(this.#layout.record(name), time, time).catch(() => undefined);
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

  async #unlink(name: string): Promise<RemovedEntry | undefined> {
    this.#touched.delete(name);
    this.upkeep.usage.forget(name);
    const removed = await removeEntry(this.#layout, name);
    if (removed === undefined) return undefined;
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
