// docs/reference/disk-format.md

import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import createDebug from 'debug';
import { DirectoryError, OptionError } from '../errors.ts';
import { createNew, isMissing, list, onDisk, readIfThere, unlink } from '../fs/files.ts';
import { Layout, parseFileName, primaryName } from '../fs/layout.ts';
import type { ResponseHead } from '../http/body.ts';
import type { Cache, CacheStats, Claim, ClaimOptions, Declined, Entry, EntryInfo, Fill, FillOptions, Invalidation, Key, Removed } from './cache.ts';
import { FileEntry } from './file-entry.ts';
import { ClaimFile } from './fill/claim.ts';
import { FileFill } from './fill/file-fill.ts';
import { publish } from './fill/publish.ts';
import { records, sweep } from './janitor.ts';
import { Ledger } from './ledger.ts';
import { decodeRecord, type EntryRecord } from './record.ts';

const debug = createDebug('cache-filter:store');

export interface FileCacheOptions {
  /** Where everything is kept; created where it is missing. */
  directory: string;
  /** Hard limit in bytes. Default 10 GiB. */
  maxBytes?: number;
  /** Largest body that is kept, in bytes. Default half of `maxBytes`. */
  maxEntryBytes?: number;
  /** Default 0o600. */
  fileMode?: number;
  /** Default 0o700. */
  directoryMode?: number;
}

/** How often a running fill says that its process lives, in milliseconds. */
const HEARTBEAT_MS = 500;

/** An entry's recency on disk is brought up to date at most this often, in milliseconds. */
const TOUCH_MS = 60_000;

/** Charged for a claim that has no body yet. */
const CLAIM_BYTES = onDisk(1);

/** A running fill's budget grows by at least this, where its length is not known. */
const GROW_BYTES = 4 * 1024 * 1024;

/** One key being fetched by this process. */
interface Running {
  key: Key;
  tags: readonly string[];
  file: Promise<ClaimFile | undefined>;
  /** What followers get; undefined: nothing. */
  fill: Promise<FileFill | undefined>;
  settle(fill: FileFill | undefined): void;
}

/** Bodies as files below one directory, within a hard budget. Several may share a directory, in any number of processes. */
export class FileCache implements Cache {
  readonly directory: string;
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
  readonly #fileMode: number;
  readonly #directoryMode: number;
  readonly #layout: Layout;
  readonly #ledger: Ledger;
  readonly #running = new Map<string, Running>();
  /** Claim files that exist: running fills, the purged ones included. */
  readonly #claims = new Set<ClaimFile>();
  readonly #touched = new Map<string, number>();
  readonly #scanned: Promise<void>;
  readonly #heart: NodeJS.Timeout;
  #corrupt = 0;
  #closed = false;

  /** @throws DirectoryError where the directory can't be used, OptionError */
  constructor(options: FileCacheOptions) {
    const { directory, maxBytes = 10 * 2 ** 30, fileMode = 0o600, directoryMode = 0o700 } = options;
    if (typeof directory !== 'string' || directory === '') throw new OptionError('directory', 'directory must be a path');
    if (!Number.isSafeInteger(maxBytes) || maxBytes < 0) {
      throw new OptionError('maxBytes', `maxBytes must be a whole number of bytes, got ${String(maxBytes)}`);
    }
    this.directory = resolve(directory);
    this.maxBytes = maxBytes;
    this.maxEntryBytes = options.maxEntryBytes ?? Math.floor(maxBytes / 2);
    this.#fileMode = fileMode;
    this.#directoryMode = directoryMode;
    this.#layout = new Layout(this.directory);
    this.#prepare();
    this.#ledger = new Ledger(maxBytes, (name) => this.#unlinkEntry(name));
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#heart.unref();
    this.#scanned = this.#scan().catch((error: unknown) => debug('the start-up scan failed: %o', error));
  }

  async open(key: Key): Promise<Entry | undefined> {
    if (this.#closed) return undefined;
    const name = this.#layout.name(key.primary, key.variant);
    try {
      // Replaced between record and body: once more, from the record.
      return (await this.#openOnce(name, key)) ?? (await this.#openOnce(name, key));
    } catch (error) {
      debug('%s could not be opened: %o', key.primary, error);
      return undefined;
    }
  }

  async claim(key: Key, { join = false, newerThan = Number.NEGATIVE_INFINITY }: ClaimOptions = {}): Promise<Claim | undefined> {
    const name = this.#layout.name(key.primary, key.variant);
    const running = this.#running.get(name);
    if (running !== undefined) {
      return { role: 'follower', fill: running.fill.then((fill) => fill?.reader()) };
    }
    if (join) return undefined;
    if (this.#closed) return { role: 'declined', reason: 'closed' };
    return this.#lead(name, key, newerThan);
  }

  async invalidate(what: Invalidation): Promise<number> {
    if ('key' in what) return this.#invalidatePrimary(what.key);
    const matches = (key: Key, tags: readonly string[]): boolean => {
      if ('prefix' in what) return key.primary.startsWith(what.prefix);
      return 'tag' in what ? tags.includes(what.tag) : true;
    };
    for (const { key, tags } of [...this.#running.values()]) {
      if (matches(key, tags)) await this.#doom(this.#layout.name(key.primary, key.variant));
    }
    let count = 0;
    for await (const { name, record } of records(this.#layout)) {
      if (matches(record.key, record.tags)) count += await this.#removeEntry(name);
    }
    return count;
  }

  async info(key: Key): Promise<EntryInfo | undefined> {
    const record = await this.#record(this.#layout.name(key.primary, key.variant));
    return record && infoOf(record);
  }

  async *list(): AsyncGenerator<EntryInfo> {
    for await (const { record } of records(this.#layout)) yield infoOf(record);
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    await this.#scanned;
    return this.#ledger.evict(toBytes);
  }

  async stats(): Promise<CacheStats> {
    await this.#scanned;
    const { entries, bytes, evictions } = this.#ledger;
    return { entries, bytes, maxBytes: this.maxBytes, fills: this.#claims.size, evictions, corrupt: this.#corrupt };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#heart);
    await this.#scanned;
  }

  #prepare(): void {
    const { entries, incomplete, tag } = this.#layout;
    try {
      for (const path of [entries, incomplete]) mkdirSync(path, { recursive: true, mode: this.#directoryMode });
      accessSync(this.directory, constants.R_OK | constants.W_OK | constants.X_OK);
      for (const path of [entries, incomplete]) accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
      writeFileSync(tag, TAG, { mode: this.#fileMode });
    } catch (error) {
      const { code, path = this.directory } = error as NodeJS.ErrnoException;
      throw new DirectoryError(
        this.directory,
        `the cache directory ${this.directory} can't be used: ${code} on ${path}, as user ${userName()}; it must be a directory that this user may read, write and enter`,
        { cause: error },
      );
    }
  }

  async #openOnce(name: string, key: Key): Promise<Entry | undefined> {
    const record = await this.#record(name);
    if (record === undefined || record.key.primary !== key.primary || (record.key.variant ?? '') !== (key.variant ?? '')) return undefined;
    const path = this.#layout.body(name, record.fill);
    let file: fs.FileHandle;
    try {
      file = await fs.open(path, 'r');
    } catch (error) {
      if (!isMissing(error)) throw error;
      if ((await this.#record(name))?.fill === record.fill) await this.#drop(name, 'its body is missing');
      return undefined;
    }
    const { size } = await file.stat();
    const fd = file.fd;
    if (size !== record.size) {
      await file.close();
      await this.#drop(name, `its body has ${size} of ${record.size} bytes`);
      return undefined;
    }
    if (!this.#ledger.has(name)) this.#ledger.add(name, charge(record.size));
    this.#touch(name);
    const release = this.#ledger.hold(name);
    return new FileEntry(record, path, fd, () => {
      release();
      file.close().catch(() => undefined);
    });
  }

  /** The record of an entry; a damaged one is removed, and is none. */
  async #record(name: string): Promise<EntryRecord | undefined> {
    const bytes = await readIfThere(this.#layout.record(name));
    if (bytes === undefined) return undefined;
    const record = decodeRecord(bytes);
    if (record === undefined) await this.#drop(name, 'its record is damaged');
    return record;
  }

  async #drop(name: string, why: string): Promise<void> {
    debug('dropping %s: %s', name, why);
    this.#corrupt++;
    await this.#removeEntry(name);
  }

  #touch(name: string): void {
    this.#ledger.touch(name);
    const now = Date.now();
    if (now - (this.#touched.get(name) ?? 0) < TOUCH_MS) return;
    this.#touched.set(name, now);
    const time = new Date(now);
    // Losing it is harmless: recency is a little older after a restart.
    fs.utimes(this.#layout.record(name), time, time).catch(() => undefined);
  }

  async #lead(name: string, key: Key, newerThan: number): Promise<Claim> {
    let settle!: (fill: FileFill | undefined) => void;
    const fill = new Promise<FileFill | undefined>((done) => {
      settle = done;
    });
    // Registered before the first wait: a second claim finds it.
    const file = ClaimFile.create(this.#layout, name, key, this.#fileMode).catch((error: unknown) => {
      debug('no claim for %s: %o', key.primary, error);
      return undefined;
    });
    const running: Running = { key, tags: [], file, fill, settle };
    this.#running.set(name, running);
    const claim = await file;
    if (claim === undefined || this.#closed) {
      await claim?.remove();
      this.#unregister(name, running);
      return { role: 'declined', reason: claim === undefined ? 'store-down' : 'closed' };
    }
    this.#claims.add(claim);
    const entry = await this.open(key);
    if (entry !== undefined && entry.info.storedAt <= newerThan) entry.release();
    else if (entry !== undefined) {
      await this.#giveUp(claim);
      this.#unregister(name, running);
      return { role: 'entry', entry };
    }
    return {
      role: 'leader',
      start: (head, options = {}) => this.#start(claim, running, head, options),
      abandon: async () => {
        await this.#giveUp(claim);
        this.#unregister(name, running);
      },
    };
  }

  async #start(claim: ClaimFile, running: Running, head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
    const { name } = claim;
    const decline = async (declined: Declined['declined']): Promise<Declined> => {
      await this.#giveUp(claim);
      this.#unregister(name, running);
      return { declined };
    };
    const { size } = options;
    if (size !== undefined && size > this.maxEntryBytes) return decline('too-large');
    let reserved = CLAIM_BYTES + (size === undefined ? GROW_BYTES : onDisk(size));
    if (!(await this.#ledger.reserve(reserved))) return decline('no-room');
    const path = this.#layout.incompleteBody(name, claim.fill);
    let file: fs.FileHandle;
    try {
      file = await createNew(path, this.#fileMode);
    } catch (error) {
      debug('no body file for %s: %o', running.key.primary, error);
      this.#ledger.unreserve(reserved);
      return decline('store-down');
    }
    const release = () => {
      this.#ledger.unreserve(reserved);
      reserved = 0;
    };
    const fill = new FileFill({
      key: running.key,
      head,
      options,
      file,
      grow: async (bytes) => {
        if (bytes > this.maxEntryBytes) return false;
        const missing = CLAIM_BYTES + onDisk(bytes) - reserved;
        if (missing <= 0) return true;
        const more = Math.max(missing, GROW_BYTES);
        if (!(await this.#ledger.reserve(more))) return false;
        reserved += more;
        return true;
      },
      publish: async (info) => {
        const { fill: id } = claim;
        const bytes = await publish(this.#layout, claim, { ...info, head, fill: id }, this.#directoryMode);
        this.#claims.delete(claim);
        release();
        this.#ledger.add(name, charge(info.size, bytes));
        this.#touched.delete(name);
      },
      unjoinable: () => this.#unregister(name, running),
      discard: async () => {
        await unlink(path).catch(() => undefined);
        await this.#giveUp(claim);
        release();
      },
      closed: () => file.close().catch(() => undefined),
    });
    running.tags = options.tags ?? [];
    running.settle(fill);
    return fill;
  }

  async #giveUp(claim: ClaimFile): Promise<void> {
    this.#claims.delete(claim);
    await claim.remove().catch((error: unknown) => debug('claim %s stays behind: %o', claim.path, error));
  }

  #unregister(name: string, running: Running): void {
    if (this.#running.get(name) === running) this.#running.delete(name);
    running.settle(undefined);
  }

  /** Cuts a running fill off from the cache: nobody joins, and its claim is gone, so it can't be published. */
  async #doom(name: string): Promise<void> {
    const running = this.#running.get(name);
    if (running !== undefined) this.#running.delete(name);
    const claim = await running?.file;
    if (claim !== undefined) await unlink(claim.path).catch(() => undefined);
  }

  /** Claims first, the record second: a commit in between finds its claim gone, or has its record removed. */
  async #invalidatePrimary(primary: string): Promise<number> {
    const base = this.#layout.name(primary, undefined);
    const isOf = (file: string): string | undefined => {
      const name = parseFileName(file)?.name;
      return name !== undefined && primaryName(name) === base ? name : undefined;
    };
    for (const name of [...this.#running.keys()]) if (primaryName(name) === base) await this.#doom(name);
    for (const file of await list(this.#layout.incomplete)) {
      if (isOf(file) !== undefined && file.endsWith('.claim')) await unlink(`${this.#layout.incomplete}/${file}`);
    }
    let count = 0;
    for (const file of await list(this.#layout.shard(base))) {
      const name = isOf(file);
      if (name !== undefined && file.endsWith('.json')) count += await this.#removeEntry(name);
    }
    return count;
  }

  /** 1 where there was an entry, else 0. */
  async #removeEntry(name: string): Promise<number> {
    const removed = await this.#unlinkEntry(name);
    this.#ledger.drop(name);
    this.#touched.delete(name);
    return removed ? 1 : 0;
  }

  async #unlinkEntry(name: string): Promise<boolean> {
    const record = decodeRecord((await readIfThere(this.#layout.record(name))) ?? Buffer.alloc(0));
    const removed = await unlink(this.#layout.record(name));
    if (record !== undefined) await unlink(this.#layout.body(name, record.fill));
    return removed;
  }

  async #scan(): Promise<void> {
    await sweep(this.#layout, new Set([...this.#claims].map(({ fill }) => fill)));
    const found: { name: string; bytes: number; usedAt: number }[] = [];
    for await (const { name, record, usedAt } of records(this.#layout)) {
      found.push({ name, bytes: charge(record.size), usedAt });
    }
    found.sort((a, b) => a.usedAt - b.usedAt);
    // What was used meanwhile is there already, and more recent.
    for (const { name, bytes } of found) if (!this.#ledger.has(name)) this.#ledger.add(name, bytes);
    await this.#ledger.evict(this.maxBytes);
  }

  #beat(): void {
    for (const claim of this.#claims) claim.beat().catch(() => undefined);
  }
}

const TAG = `Signature: 8a477f597d28d172789f06886806bc55
# This file says that the directory is a cache: backups may leave it out. https://bford.info/cachedir/
`;

/** What an entry costs of the budget, in bytes on disk. */
function charge(size: number, record = 1): number {
  return onDisk(size) + onDisk(record);
}

function infoOf({ key, size, digests, storedAt, tags }: EntryRecord): EntryInfo {
  return { key, size, digests, storedAt, tags };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
