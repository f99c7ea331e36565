// docs/reference/disk-format.md

import type * as fs from 'node:fs/promises';
import { resolve } from 'node:path';
import createDebug from 'debug';
import { OptionError } from '../errors.ts';
import { createNew, unlink } from '../fs/files.ts';
import { Layout } from '../fs/layout.ts';
import { prepareDirectory } from '../fs/prepare.ts';
import { Space } from '../fs/space.ts';
import type { ResponseHead } from '../http/body.ts';
import type {
  Cache,
  CacheStats,
  Claim,
  ClaimOptions,
  Declined,
  Entry,
  EntryInfo,
  EntryUse,
  Fill,
  FillOptions,
  Invalidation,
  Key,
  Removed,
} from './cache.ts';
import { charge, FileEntries } from './file-entries.ts';
import { ClaimFile, doomOthers } from './fill/claim.ts';
import { FileFill } from './fill/file-fill.ts';
import { publish } from './fill/publish.ts';
import { Run, Runs } from './fill/runs.ts';
import { concerns } from './invalidation.ts';
import { namesOf, records } from './janitor.ts';
import { FileQueue } from './queue.ts';
import { recordBytes } from './record.ts';
import { Reservation } from './reservation.ts';

const debug = createDebug('cache-filter:store');

export interface FileCacheOptions {
  /** Where everything is kept; created where it is missing. */
  directory: string;
  /** Hard limit in bytes. Default 10 GiB. */
  maxBytes?: number;
  /** Largest body that is kept, in bytes. Default half of `maxBytes`. */
  maxEntryBytes?: number;
  /** Free space to be left on the file system, in bytes; 0: none. Default the larger of 1 GiB and 5 % of it. */
  minFreeBytes?: number;
  /** Entries that are not used for so many milliseconds are removed. Default: they are not. */
  inactiveMs?: number;
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
  readonly #modes: { file: number; directory: number };
  readonly #layout: Layout;
  readonly #entries: FileEntries;
  readonly queue: FileQueue;
  readonly #runs = new Runs<FileRun>();
  /** Of the running fills, the purged ones included. */
  readonly #claims = new Set<ClaimFile>();
  readonly #scanned: Promise<void>;
  readonly #heart: NodeJS.Timeout;
  #closed = false;

  /** @throws DirectoryError where the directory can't be used, OptionError */
  constructor(options: FileCacheOptions) {
    const { directory, maxBytes = 10 * 2 ** 30, fileMode = 0o600, directoryMode = 0o700 } = options;
    const { maxEntryBytes = Math.floor(maxBytes / 2), minFreeBytes, inactiveMs } = options;
    if (typeof directory !== 'string' || directory === '')
      throw new OptionError('directory', 'directory must be a path');
    for (const [name, value] of Object.entries({
      maxBytes,
      maxEntryBytes,
      minFreeBytes: minFreeBytes === undefined ? 0 : minFreeBytes,
    })) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new OptionError(name, `${name} must be a whole number of bytes, got ${String(value)}`);
      }
    }
    this.directory = resolve(directory);
    this.maxBytes = maxBytes;
    this.maxEntryBytes = maxEntryBytes;
    this.#modes = { file: fileMode, directory: directoryMode };
    this.#layout = new Layout(this.directory);
    prepareDirectory(this.directory, this.#layout, this.#modes);
    const space = new Space(this.directory, minFreeBytes);
    this.#entries = new FileEntries(this.#layout, {
      directory: this.directory,
      maxBytes,
      fileMode,
      space,
      inactiveMs,
    });
    this.queue = new FileQueue({
      layout: this.#layout,
      modes: this.#modes,
      isStored: async (key) => (await this.#entries.record(key)) !== undefined,
      isFetched: (key) => this.#closed || this.#runs.of(key) !== undefined,
      charge: (bytes) => this.#entries.ledger.charge('queue', bytes),
    });
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#heart.unref();
    this.#scanned = this.#entries
      .scan(this.#ownFills)
      .then(() => this.queue.count())
      .catch((error: unknown) => debug('the start-up scan failed: %o', error));
  }

  async open(key: Key): Promise<Entry | undefined> {
    if (this.#closed) return undefined;
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
    await doomOthers(this.#layout, what, this.#ownFills);
    const names: string[] = [];
    if ('key' in what) {
      names.push(...(await namesOf(this.#layout, what.key)));
    } else {
      for await (const { name, record } of records(this.#layout)) {
        if (concerns(what, record.key, record.tags)) names.push(name);
      }
    }
    let count = 0;
    for (const name of names) if (await this.#entries.remove(name)) count++;
    await this.queue.remove(what).catch((error: unknown) => debug('the queue stays as it is: %o', error));
    return count;
  }

  async info(key: Key): Promise<(EntryInfo & EntryUse) | undefined> {
    const record = await this.#entries.record(key);
    return record && this.#entries.upkeep.info(this.#layout.name(key.primary, key.variant), record);
  }

  async *list(): AsyncGenerator<EntryInfo & EntryUse> {
    for await (const { name, record } of records(this.#layout)) yield this.#entries.upkeep.info(name, record);
  }

  async pin(key: string, on: boolean): Promise<number> {
    return this.#entries.upkeep.pin(key, on);
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    await this.#scanned;
    return this.#entries.upkeep.prune(toBytes);
  }

  async stats(): Promise<CacheStats> {
    await this.#scanned;
    const { corrupt, ledger } = this.#entries;
    const { entries, bytes, maxBytes, evictions, expired, pinned } = ledger;
    return { entries, bytes, maxBytes, fills: this.#claims.size, evictions, expired, pinned, corrupt };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#heart);
    await this.#scanned;
    await this.#entries.upkeep.close();
  }

  async #lead(key: Key, newerThan: number): Promise<Claim> {
    const name = this.#layout.name(key.primary, key.variant);
    // Registered before the first wait: a second claim finds it.
    const file = ClaimFile.create(this.#layout, name, key, this.#modes.file).catch((error: unknown) => {
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
    const room = () => reservation.reach(charge(size ?? 0, record), spare);
    const hasRoom = (await room()) || ((await this.#entries.upkeep.recheckPins()) && (await room()));
    if (!hasRoom) return decline('no-room');
    const path = this.#layout.incompleteBody(name, claim.fill);
    let file: fs.FileHandle;
    try {
      file = await createNew(path, this.#modes.file);
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
      grow: async (bytes) =>
        bytes <= this.maxEntryBytes &&
        (await reservation.reach(charge(bytes, record), spare)) &&
        reservation.write(bytes),
      publish: async (info) => {
        const { fill } = claim;
        await this.#entries.replace(
          { name, fill, size: info.size },
          () => publish(this.#layout, claim, { ...info, head, fill }, this.#modes),
          () => {
            this.#claims.delete(claim);
            reservation.release(charge(info.size, record));
          },
        );
        await this.queue
          .clear(name)
          .catch((error: unknown) => debug('%s stays queued: %o', key.primary, error));
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

  get #ownFills(): Set<string> {
    return new Set([...this.#claims].map(({ fill }) => fill));
  }

  #beat(): void {
    for (const claim of this.#claims) claim.beat().catch(() => undefined);
  }
}
