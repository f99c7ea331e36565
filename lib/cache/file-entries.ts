import * as fs from 'node:fs/promises';
import createDebug from 'debug';
import { publish as tell } from '../events.ts';
import { isMissing, readWithStat } from '../fs/files.ts';
import { identityOf } from '../fs/identity.ts';
import type { Layout } from '../fs/layout.ts';
import type { ResponseHead } from '../http/body.ts';
import { BodyChecks } from './body-check.ts';
import type { Entry, EntryInfo, Key } from './cache.ts';
import { charge } from './charge.ts';
import type { FileEntriesOptions } from './file-entries-options.ts';
import { FileEntry } from './file-entry.ts';
import type { HotEntries, HotEntry, SeenRecord } from './hot-entries.ts';
import { Inventory } from './inventory.ts';
import { idOf } from './key.ts';
import { Ledger, type Removal } from './ledger.ts';
import { MemoryEntry } from './memory-entry.ts';
import type { Notices } from './notices.ts';
import { OpenFiles } from './open-files.ts';
import { decodeNewerRecord, decodeRecord, type EntryRecord, infoOf } from './record.ts';
import { isNeeded, type RemovedEntry, removeBody, removeEntry } from './removal.ts';
import { SharedFile } from './shared-file.ts';
import { StoredBody } from './stored-body.ts';
import { Upkeep } from './upkeep.ts';

const debug = createDebug('cache-filter:store');

/** One that is replaced again and again while it is opened is a miss in the end. */
const OPEN_ATTEMPTS = 10;

/** The entries on disk, and the account of them. */
export class FileEntries {
  readonly ledger: Ledger;
  readonly upkeep: Upkeep;
  /** What is known of the bodies that were read. */
  readonly checks: BodyChecks;
  readonly inventory: Inventory;
  readonly openFiles: OpenFiles = new OpenFiles();
  readonly #notices: Notices;
  readonly #layout: Layout;
  readonly #directory: string;
  readonly #hot: HotEntries | undefined;
  readonly #verify: FileEntriesOptions['verify'];
  /** Damaged bodies on their way out, by their fill. */
  readonly #damaged = new Map<string, Promise<void>>();
  readonly #failed: FileEntriesOptions['failed'];
  /** How many wait for an entry. */
  #opening = 0;
  /** Bodies removed since somebody began to look at, or to write, what is on disk; one set for each of them. */
  readonly #watches = new Set<Set<string>>();

  constructor(layout: Layout, options: FileEntriesOptions) {
    const { maxBytes, space, notices, expendable, lock, ownFills, scanned, others } = options;
    this.#layout = layout;
    this.#directory = options.directory;
    this.#notices = notices;
    this.#hot = options.hot;
    this.#failed = options.failed;
    this.#verify = options.verify;
    this.checks = new BodyChecks(layout, options.fileMode);
    const evict = (name: string, removal: Removal) => others().evict(name) ?? this.#tryToEvict(name, removal);
    this.ledger = new Ledger(maxBytes, evict, {
      expendable,
      space,
      outlook: {
        look: async () => {
          await this.inventory.look();
          await others().look();
        },
        usedSince: (name, usedAt) => this.inventory.usedSince(name, usedAt),
      },
    });
    this.inventory = new Inventory({
      layout,
      ledger: this.ledger,
      lock,
      report: notices,
      ownFills,
      scanned,
      watch: () => this.#watch(),
      unwatch: (removed) => this.#watches.delete(removed),
      isOpening: () => this.#opening > 0,
      changed: (name) => this.#forget(name),
    });
    this.upkeep = new Upkeep(layout, this.ledger, options);
  }

  /** The entry, without a wait; undefined where it is not hot: `open` tells whether there is one. */
  openHot(key: Key): Entry | undefined {
    const hot = this.#hot?.find(key);
    return hot && this.#entryOf(hot);
  }

  /** Whether there is one, as far as is known. */
  has({ primary, variant }: Key): boolean {
    return this.ledger.has(this.#layout.name(primary, variant));
  }

  /** The entry, held; undefined where there is none of this key. */
  async open(key: Key): Promise<Entry | undefined> {
    const name = this.#layout.name(key.primary, key.variant);
    this.#opening++;
    try {
      for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
        const entry = await this.#openOnce(name, key);
        if (entry !== 'replaced') return entry;
      }
      return undefined;
    } finally {
      this.#opening--;
    }
  }

  async record(key: Key): Promise<EntryRecord | undefined> {
    const record = (await this.#read(this.#layout.name(key.primary, key.variant), key))?.record;
    return record !== undefined && idOf(record.key) === idOf(key) ? record : undefined;
  }

  /** What is stored under a name, by its record. One that is damaged is dropped, and is none. */
  async recordOf(name: string): Promise<EntryRecord | undefined> {
    return (await this.#read(name))?.record;
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
      this.#forget(name);
      this.inventory.touched(name);
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
  }

  async #openOnce(name: string, key: Key): Promise<Entry | 'replaced' | undefined> {
    const known = this.ledger.bodyOf(name);
    const found = await this.#read(name, key);
    // Another process may have removed it.
    if (found === undefined && known !== undefined) {
      this.ledger.drop(name, known);
      this.#forget(name);
    }
    if (found === undefined || idOf(found.record.key) !== idOf(key)) return undefined;
    const { record, bytes } = found;
    const path = this.#layout.body(name, record.fill);
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
    const file = new SharedFile(handle.fd, this.openFiles.add(handle));
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
      this.upkeep.touch(name);
      return this.#fileEntry(
        name,
        { head: record.head, info: infoOf(record), fill: record.fill, path },
        file,
      );
    } finally {
      void close();
    }
  }

  #entryOf({ name, head, info, fill, body, bodyPath: path }: HotEntry): Entry {
    this.upkeep.touch(name);
    // Its bytes need no file; who asks for the path does, and what is being read should not be the first to go.
    if (!(body instanceof SharedFile)) return new MemoryEntry(head, info, body, this.#holding(name), path);
    return this.#fileEntry(name, { head, info, fill, path }, body);
  }

  #fileEntry(
    name: string,
    { head, info, fill, path }: { head: ResponseHead; info: EntryInfo; fill: string; path: string },
    file: SharedFile,
  ): FileEntry {
    const close = file.use();
    const release = this.#holding(name);
    const { size, digests, key } = info;
    const always = this.#verify === 'always';
    const check =
      this.#verify === 'size' ? undefined : this.checks.of({ name, fill, size, digests }, file.fd, always);
    const body = new StoredBody(file.fd, check, (why, error) => {
      this.#failed(error, 'read');
      return this.damaged(name, fill, why, key);
    });
    const released = (used: boolean) => {
      release(used);
      void close();
    };
    return new FileEntry(head, info, path, body, released);
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

  /** Drops an entry whose body can't be read, or is not what was stored; another one that has its name by now stays. Never rejects. */
  damaged(name: string, fill: string, why: string, key: Key): Promise<void> {
    const drop = async () => {
      if ((await this.#read(name, key))?.record.fill === fill) await this.#drop(name, key, why);
    };
    const dropping =
      this.#damaged.get(fill) ??
      drop()
        .catch((error: unknown) => debug('%s stays, though damaged: %o', name, error))
        .finally(() => this.#damaged.delete(fill));
    this.#damaged.set(fill, dropping);
    return dropping;
  }

  async #drop(name: string, key: Key | undefined, why: string): Promise<void> {
    this.#notices.damaged(name, why, key);
    await this.#unlink(name);
  }

  #tryToEvict(name: string, removal: Removal): Promise<'pinned' | undefined> {
    return this.#evict(name, removal).catch((error: unknown) => {
      this.#failed(error, 'change');
      throw error;
    });
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
    this.#forget(name);
    const removed = await removeEntry(this.#layout, name, options);
    // Somebody may have read it meanwhile. No request is answered from it, as the record has gone: it only takes up room.
    this.#hot?.forget(name);
    if (removed === undefined) return undefined;
    this.inventory.touched(name);
    this.#notices.known(name);
    if (removed.fill !== undefined) for (const watch of this.#watches) watch.add(removed.fill);
    this.ledger.drop(name, removed.fill);
    return removed;
  }

  /** What is known of a body that has gone, or was replaced. */
  #forget(name: string): void {
    this.upkeep.forget(name);
    this.checks.forget(name);
    this.#hot?.forget(name);
  }

  #watch(): Set<string> {
    const removed = new Set<string>();
    this.#watches.add(removed);
    return removed;
  }
}
