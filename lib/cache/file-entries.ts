import * as fs from 'node:fs/promises';
import createDebug from 'debug';
import { isMissing, onDisk, readIfThere } from '../fs/files.ts';
import type { Layout } from '../fs/layout.ts';
import type { Entry, Key } from './cache.ts';
import { FileEntry } from './file-entry.ts';
import { identity } from './fill/runs.ts';
import { records, sweep } from './janitor.ts';
import { Ledger } from './ledger.ts';
import { decodeRecord, type EntryRecord } from './record.ts';
import { removeEntry } from './removal.ts';

const debug = createDebug('cache-filter:store');

/** An entry's recency on disk is brought up to date at most this often, in milliseconds. */
const TOUCH_MS = 60_000;

/** The entries on disk, and the account of them. */
export class FileEntries {
  readonly ledger: Ledger;
  /** Dropped because their stored form was damaged. */
  corrupt = 0;
  readonly #layout: Layout;
  readonly #touched = new Map<string, number>();
  /** Removed while the start-up scan runs, which may have seen them before. */
  #removed: Set<string> | undefined = new Set();

  constructor(layout: Layout, maxBytes: number) {
    this.#layout = layout;
    this.ledger = new Ledger(maxBytes, (name) => this.#unlink(name));
  }

  /** The entry, held; undefined where there is none of this key. */
  async open(key: Key): Promise<Entry | undefined> {
    const name = this.#layout.name(key.primary, key.variant);
    // Replaced between record and body: once more, from the record.
    return (await this.#openOnce(name, key)) ?? (await this.#openOnce(name, key));
  }

  async record(key: Key): Promise<EntryRecord | undefined> {
    const record = (await this.#read(this.#layout.name(key.primary, key.variant)))?.record;
    return record !== undefined && identity(record.key) === identity(key) ? record : undefined;
  }

  /** Accounts for an entry that `publish` has just put in place of the one before, or of none. Nothing is evicted meanwhile. */
  async replace(name: string, size: number, publish: () => Promise<number>): Promise<void> {
    await this.ledger.left(name);
    const release = this.ledger.hold(name);
    try {
      const recordBytes = await publish();
      this.ledger.add(name, charge(size, recordBytes));
      this.#touched.delete(name);
    } finally {
      release();
    }
  }

  /** Removes an entry; whether there was one. */
  async remove(name: string): Promise<boolean> {
    const removed = await this.#unlink(name);
    this.ledger.drop(name);
    return removed;
  }

  /** Clears up after others, and takes over the account of what they left. */
  async scan(ownFills: ReadonlySet<string>): Promise<void> {
    await sweep(this.#layout, ownFills);
    const found: { name: string; bytes: number; usedAt: number }[] = [];
    for await (const { name, record, bytes, usedAt } of records(this.#layout)) {
      found.push({ name, bytes: charge(record.size, bytes), usedAt });
    }
    found.sort((a, b) => a.usedAt - b.usedAt);
    // What was used meanwhile is there already, and more recent.
    this.ledger.addOlder(found.filter(({ name }) => !this.#removed?.has(name)));
    this.#removed = undefined;
    await this.ledger.evict(this.ledger.maxBytes);
  }

  async #openOnce(name: string, key: Key): Promise<Entry | undefined> {
    const found = await this.#read(name);
    // Another process may have removed it.
    if (found === undefined) this.ledger.drop(name);
    if (found === undefined || identity(found.record.key) !== identity(key)) return undefined;
    const { record, bytes } = found;
    const path = this.#layout.body(name, record.fill);
    const file = await fs.open(path, 'r').catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (file === undefined) {
      const same = (await this.#read(name))?.record.fill === record.fill;
      if (same) await this.#drop(name, 'its body is missing');
      return undefined;
    }
    const { size } = await file.stat();
    if (size !== record.size) {
      await file.close();
      await this.#drop(name, `its body has ${size} of ${record.size} bytes`);
      return undefined;
    }
    if (!this.ledger.has(name)) this.ledger.add(name, charge(record.size, bytes));
    this.#touch(name);
    const release = this.ledger.hold(name);
    return new FileEntry(record, path, file.fd, () => {
      release();
      file.close().catch(() => undefined);
    });
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
    this.ledger.touch(name);
    const now = Date.now();
    if (now - (this.#touched.get(name) ?? 0) < TOUCH_MS) return;
    this.#touched.set(name, now);
    const time = new Date(now);
    // Losing it is harmless: recency is a little older after a restart.
    fs.utimes(this.#layout.record(name), time, time).catch(() => undefined);
  }

  #unlink(name: string): Promise<boolean> {
    this.#removed?.add(name);
    this.#touched.delete(name);
    return removeEntry(this.#layout, name);
  }
}

/** What an entry, or a fill that is to become one, costs of the budget: bytes on disk. */
export function charge(size: number, recordBytes: number): number {
  return onDisk(size) + onDisk(recordBytes);
}
