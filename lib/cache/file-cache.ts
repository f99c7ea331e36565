// docs/reference/disk-format.md

import type * as fs from 'node:fs/promises';
import { join, resolve } from 'node:path';
import createDebug from 'debug';
import { OptionError } from '../errors.ts';
import { createNew, list, readIfThere, unlink } from '../fs/files.ts';
import { Layout, parseFileName, primaryName } from '../fs/layout.ts';
import { prepareDirectory } from '../fs/prepare.ts';
import type { ResponseHead } from '../http/body.ts';
import type {
  Cache,
  CacheStats,
  Claim,
  ClaimOptions,
  Declined,
  Entry,
  EntryInfo,
  Fill,
  FillOptions,
  Invalidation,
  Key,
  Removed,
} from './cache.ts';
import { charge, FileEntries } from './file-entries.ts';
import { ClaimFile, mayConcern } from './fill/claim.ts';
import { FileFill } from './fill/file-fill.ts';
import { publish } from './fill/publish.ts';
import { Run, Runs } from './fill/runs.ts';
import { HotEntries, type MemoryOptions, resolveMemory } from './hot-entries.ts';
import { concerns } from './invalidation.ts';
import { records } from './janitor.ts';
import { encodeRecord, infoOf } from './record.ts';
import { Reservation } from './reservation.ts';

const debug = createDebug('cache-filter:store');

export interface FileCacheOptions {
  /** Where everything is kept; created where it is missing. */
  directory: string;
  /** Hard limit in bytes. Default 10 GiB. */
  maxBytes?: number;
  /** Largest body that is kept, in bytes. Default half of `maxBytes`. */
  maxEntryBytes?: number;
  /** What is kept in memory, or open, of the entries asked for most. false: nothing. */
  memory?: MemoryOptions | false;
  /** Default 0o600. */
  fileMode?: number;
  /** Default 0o700. */
  directoryMode?: number;
}

/** How often a running fill says that its process lives, in milliseconds. */
const HEARTBEAT_MS = 500;

/** A running fill's budget grows by at least this, where its length is not known; less where the budget is small. */
const GROW_BYTES = 4 * 1024 * 1024;

/** One key being fetched by this process. */
class FileRun extends Run<FileFill> {
  readonly file: Promise<ClaimFile | undefined>;

  constructor(key: Key, file: Promise<ClaimFile | undefined>) {
    super(key);
    this.file = file;
  }
}

/** Bodies as files below one directory, within a hard budget. Several may share a directory, in any number of processes. */
export class FileCache implements Cache {
  readonly directory: string;
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
  readonly #fileMode: number;
  readonly #directoryMode: number;
  readonly #layout: Layout;
  readonly #entries: FileEntries;
  readonly #hot: HotEntries | undefined;
  readonly #runs = new Runs<FileRun>();
  /** Of the running fills, the purged ones included. */
  readonly #claims = new Set<ClaimFile>();
  readonly #scanned: Promise<void>;
  readonly #heart: NodeJS.Timeout;
  #closed = false;

  /** @throws DirectoryError where the directory can't be used, OptionError */
  constructor(options: FileCacheOptions) {
    const { directory, maxBytes = 10 * 2 ** 30, fileMode = 0o600, directoryMode = 0o700 } = options;
    const { maxEntryBytes = Math.floor(maxBytes / 2) } = options;
    if (typeof directory !== 'string' || directory === '')
      throw new OptionError('directory', 'directory must be a path');
    for (const [name, value] of Object.entries({ maxBytes, maxEntryBytes })) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new OptionError(name, `${name} must be a whole number of bytes, got ${String(value)}`);
      }
    }
    const memory = resolveMemory(options.memory);
    this.directory = resolve(directory);
    this.maxBytes = maxBytes;
    this.maxEntryBytes = maxEntryBytes;
    this.#fileMode = fileMode;
    this.#directoryMode = directoryMode;
    this.#layout = new Layout(this.directory);
    prepareDirectory(this.directory, this.#layout, { file: fileMode, directory: directoryMode });
    this.#hot = memory && new HotEntries(this.#layout, memory);
    this.#entries = new FileEntries(this.#layout, maxBytes, this.#hot);
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#heart.unref();
    this.#scanned = this.#entries
      .scan(this.#ownFills)
      .catch((error: unknown) => debug('the start-up scan failed: %o', error));
  }

  /** Without a wait where the entry is hot. */
  open(key: Key): Promise<Entry | undefined> | Entry | undefined {
    if (this.#closed) return undefined;
    try {
      return this.#entries.openHot(key) ?? this.#openCold(key);
    } catch (error) {
      debug('%s could not be looked at: %o', key.primary, error);
      return this.#openCold(key);
    }
  }

  async #openCold(key: Key): Promise<Entry | undefined> {
    try {
      return await this.#entries.open(key);
    } catch (error) {
      debug('%s could not be opened: %o', key.primary, error);
      return undefined;
    }
  }

  async claim(
    key: Key,
    { join = false, newerThan = Number.NEGATIVE_INFINITY }: ClaimOptions = {},
  ): Promise<Claim | undefined> {
    const run = this.#runs.of(key);
    if (run !== undefined) return { role: 'follower', fill: run.fill.then((fill) => fill?.join()) };
    if (join) return undefined;
    if (this.#closed) return { role: 'declined', reason: 'closed' };
    return this.#lead(key, newerThan);
  }

  /** Claims first, the records second: a commit in between finds its claim gone, or has its record removed. */
  async invalidate(what: Invalidation): Promise<number> {
    await Promise.all(this.#runs.cut(what).map((run) => this.#doom(run)));
    await this.#doomOthers(what);
    const names: string[] = [];
    if ('key' in what) {
      const base = this.#layout.name(what.key, undefined);
      for (const file of await list(this.#layout.shard(base))) {
        const { name, kind } = parseFileName(file) ?? {};
        if (name !== undefined && primaryName(name) === base && kind === 'json') names.push(name);
      }
    } else {
      for await (const { name, record } of records(this.#layout)) {
        if (concerns(what, record.key, record.tags)) names.push(name);
      }
    }
    let count = 0;
    for (const name of names) if (await this.#entries.remove(name)) count++;
    return count;
  }

  async info(key: Key): Promise<EntryInfo | undefined> {
    const record = await this.#entries.record(key);
    return record && infoOf(record);
  }

  async *list(): AsyncGenerator<EntryInfo> {
    for await (const { record } of records(this.#layout)) yield infoOf(record);
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    await this.#scanned;
    return this.#entries.ledger.evict(toBytes);
  }

  async stats(): Promise<CacheStats> {
    await this.#scanned;
    const { corrupt, ledger } = this.#entries;
    const { entries, bytes, maxBytes, evictions } = ledger;
    const memory = this.#hot && { memory: this.#hot.stats };
    return { entries, bytes, maxBytes, fills: this.#claims.size, evictions, corrupt, ...memory };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#heart);
    await this.#hot?.close();
    await this.#scanned;
  }

  async #lead(key: Key, newerThan: number): Promise<Claim> {
    const name = this.#layout.name(key.primary, key.variant);
    // Registered before the first wait: a second claim finds it.
    const file = ClaimFile.create(this.#layout, name, key, this.#fileMode).catch((error: unknown) => {
      debug('no claim for %s: %o', key.primary, error);
      return undefined;
    });
    const run = new FileRun(key, file);
    this.#runs.add(run);
    const claim = await file;
    if (claim === undefined || this.#closed) {
      await claim?.remove();
      this.#end(run);
      return { role: 'declined', reason: claim === undefined ? 'store-down' : 'closed' };
    }
    this.#claims.add(claim);
    const giveUp = async () => {
      await this.#giveUp(claim);
      this.#end(run);
    };
    const entry = await this.open(key);
    if (entry !== undefined && entry.info.storedAt > newerThan) {
      await giveUp();
      return { role: 'entry', entry };
    }
    entry?.release();
    return {
      role: 'leader',
      start: (head, options = {}) => this.#start(claim, run, head, options),
      abandon: giveUp,
    };
  }

  async #start(
    claim: ClaimFile,
    run: FileRun,
    head: ResponseHead,
    options: FillOptions,
  ): Promise<Fill | Declined> {
    const { name } = claim;
    const { key } = run;
    const { size, tags = [] } = options;
    const reservation = new Reservation(this.#entries.ledger);
    const decline = async (declined: Declined['declined']): Promise<Declined> => {
      reservation.release();
      await this.#giveUp(claim);
      this.#end(run);
      return { declined };
    };
    if (size !== undefined && size > this.maxEntryBytes) return decline('too-large');
    const record = recordBytes(key, head, tags);
    const spare = size === undefined ? Math.min(GROW_BYTES, Math.floor(this.maxBytes / 16)) : 0;
    if (!(await reservation.reach(charge(size ?? 0, record), spare))) return decline('no-room');
    const path = this.#layout.incompleteBody(name, claim.fill);
    let file: fs.FileHandle;
    try {
      file = await createNew(path, this.#fileMode);
    } catch (error) {
      debug('no body file for %s: %o', key.primary, error);
      return decline('store-down');
    }
    // A claim that says nothing of its tags is taken for one with any.
    await claim.tag(tags).catch((error: unknown) => debug('no tags for %s: %o', key.primary, error));
    const fill = new FileFill({
      key,
      head,
      options,
      file,
      grow: async (bytes) => bytes <= this.maxEntryBytes && reservation.reach(charge(bytes, record), spare),
      publish: async (info) => {
        const { fill } = claim;
        await this.#entries.replace(
          { name, fill, size: info.size },
          () => publish(this.#layout, claim, { ...info, head, fill }, this.#directoryMode),
          () => {
            this.#claims.delete(claim);
            reservation.release();
          },
        );
      },
      unjoinable: () => this.#end(run),
      discard: async () => {
        await unlink(path).catch(() => undefined);
        await this.#giveUp(claim);
        reservation.release();
      },
      closed: () => file.close().catch(() => undefined),
    });
    if (run.begin(fill, tags)) {
      this.#runs.remove(run);
      await this.#doom(run);
    }
    return fill;
  }

  async #giveUp(claim: ClaimFile): Promise<void> {
    this.#claims.delete(claim);
    await claim.remove().catch((error: unknown) => debug('claim %s stays behind: %o', claim.path, error));
  }

  #end(run: FileRun): void {
    this.#runs.remove(run);
    run.end();
  }

  /** Cuts a running fill off from the cache: its claim is gone, so it can't be published. */
  async #doom(run: FileRun): Promise<void> {
    const claim = await run.file;
    if (claim !== undefined) await unlink(claim.path).catch(() => undefined);
  }

  /** The fills of other processes. */
  async #doomOthers(what: Invalidation): Promise<void> {
    const own = this.#ownFills;
    const base = 'key' in what ? this.#layout.name(what.key, undefined) : undefined;
    for (const file of await list(this.#layout.incomplete)) {
      const { name, fill, kind } = parseFileName(file) ?? {};
      if (name === undefined || fill === undefined || kind !== 'claim' || own.has(fill)) continue;
      const path = join(this.#layout.incomplete, file);
      const claim = base === undefined ? await readIfThere(path) : undefined;
      if (base === undefined ? claim !== undefined && mayConcern(what, claim) : primaryName(name) === base) {
        await unlink(path);
      }
    }
  }

  get #ownFills(): Set<string> {
    return new Set([...this.#claims].map(({ fill }) => fill));
  }

  #beat(): void {
    for (const claim of this.#claims) claim.beat().catch(() => undefined);
    this.#hot?.closeUnlinked();
  }
}

/** What a record takes at most, in bytes, before its digests are known. */
function recordBytes(key: Key, head: ResponseHead, tags: readonly string[]): number {
  const longest = Number.MAX_SAFE_INTEGER;
  const record = { key, head, tags: [...tags], size: longest, storedAt: longest, digests: [], fill: '' };
  return encodeRecord(record).byteLength + 1024;
}
