// docs/reference/disk-format.md

import type * as fs from 'node:fs/promises';
import createDebug from 'debug';
import { OptionError } from '../errors.ts';
import { createNew, unlink } from '../fs/files.ts';
import { Layout } from '../fs/layout.ts';
import { prepareDirectory } from '../fs/prepare.ts';
import type { ResponseHead } from '../http/body.ts';
import { Log } from '../log.ts';
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
import { type FileCacheOptions, resolveFileCacheOptions } from './file-cache-options.ts';
import { charge, FileEntries } from './file-entries.ts';
import { ClaimFile, doomOthers } from './fill/claim.ts';
import { FileFill } from './fill/file-fill.ts';
import { publish } from './fill/publish.ts';
import { Run, Runs } from './fill/runs.ts';
import { HotEntries } from './hot-entries.ts';
import { InvalidBodies } from './invalid.ts';
import { concerned, records } from './janitor.ts';
import { removeLeftovers } from './leftovers.ts';
import { Notices } from './notices.ts';
import { infoOf, mostRecordBytes } from './record.ts';
import { Reservation } from './reservation.ts';
import { Standby } from './standby.ts';

const debug = createDebug('cache-filter:store');

export type { FileCacheOptions };

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
  readonly #invalid: InvalidBodies;
  readonly #notices: Notices;
  readonly #standby: Standby;
  #scanned: Promise<void> = Promise.resolve();
  readonly #heart: NodeJS.Timeout;
  #closed = false;

  /** @throws DirectoryError where the directory can't be used, OptionError */
  constructor(options: FileCacheOptions) {
    const { directory, maxBytes, maxEntryBytes, ...rest } = resolveFileCacheOptions(options);
    const { memory, fileMode, directoryMode, maxInvalidBytes, logger, startDegraded } = rest;
    this.directory = directory;
    this.maxBytes = maxBytes;
    this.maxEntryBytes = maxEntryBytes;
    this.#fileMode = fileMode;
    this.#directoryMode = directoryMode;
    const layout = new Layout(directory);
    const log = new Log(logger);
    this.#layout = layout;
    this.#notices = new Notices(directory, log);
    this.#invalid = new InvalidBodies(layout, { maxBytes: maxInvalidBytes, directoryMode });
    this.#hot = memory && new HotEntries(layout, memory);
    this.#entries = new FileEntries(layout, maxBytes, {
      notices: this.#notices,
      expendable: this.#invalid,
      hot: this.#hot,
    });
    const prepare = () => prepareDirectory(directory, layout, { file: fileMode, directory: directoryMode });
    const purge = (what: Invalidation) => this.#invalidate(what);
    const ready = () => {
      this.#scanned = this.#scan();
    };
    this.#standby = new Standby({ directory, log, prepare, purge, ready }, startDegraded);
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#heart.unref();
  }

  /** Without a wait where the entry is hot. */
  open(key: Key): Promise<Entry | undefined> | Entry | undefined {
    if (this.#closed || this.#standby.down) return undefined;
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
    if (this.#standby.down) return { role: 'declined', reason: 'store-down' };
    return this.#lead(key, newerThan);
  }

  async invalidate(what: Invalidation): Promise<number> {
    if (!this.#standby.down) return this.#invalidate(what);
    this.#standby.remember(what);
    return 0;
  }

  async info(key: Key): Promise<EntryInfo | undefined> {
    if (this.#standby.down) return undefined;
    const record = await this.#entries.record(key);
    return record && infoOf(record);
  }

  async *list(): AsyncGenerator<EntryInfo> {
    if (this.#standby.down) return;
    for await (const { record } of records(this.#layout)) yield infoOf(record);
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    await this.#scanned;
    return this.#entries.ledger.evict(toBytes);
  }

  async clean({ stalledMs = 86_400_000 }: { stalledMs?: number } = {}): Promise<Removed> {
    if (typeof stalledMs !== 'number' || !(stalledMs >= 0))
      throw new OptionError(
        'stalledMs',
        `stalledMs must be milliseconds, 0 or more, got ${String(stalledMs)}`,
      );
    await this.#scanned;
    if (this.#standby.down) return { entries: 0, bytes: 0 };
    const { removed } = await removeLeftovers(this.#layout, this.#ownFills, stalledMs);
    const { entries, bytes } = await this.#invalid.clean();
    return { entries: entries + removed.entries, bytes: bytes + removed.bytes };
  }

  async stats(): Promise<CacheStats> {
    await this.#scanned;
    const { entries, bytes, maxBytes, evictions } = this.#entries.ledger;
    const { corrupt, unknown } = this.#notices;
    const invalid = { files: this.#invalid.files, bytes: this.#invalid.bytes };
    const memory = this.#hot && { memory: this.#hot.stats };
    return {
      entries,
      bytes,
      maxBytes,
      fills: this.#claims.size,
      evictions,
      corrupt,
      unknown,
      invalid,
      ...memory,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#standby.close();
    this.#invalid.close();
    clearInterval(this.#heart);
    await this.#hot?.close();
    await this.#scanned;
  }

  async #scan(): Promise<void> {
    try {
      await this.#invalid.start();
      await this.#entries.scan(this.#ownFills);
    } catch (error) {
      debug('the start-up scan failed: %o', error);
    }
  }

  /** Claims first, the records second: a commit in between finds its claim gone, or has its record removed. */
  async #invalidate(what: Invalidation): Promise<number> {
    await Promise.all(this.#runs.cut(what).map((run) => this.#doom(run)));
    await doomOthers(this.#layout, what, this.#ownFills);
    const names: string[] = [];
    for await (const name of concerned(this.#layout, what)) names.push(name);
    let count = 0;
    for (const name of names) if (await this.#entries.remove(name)) count++;
    return count;
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
    if (this.#notices.isNewer(name)) {
      await giveUp();
      return { role: 'declined', reason: 'unknown-format' };
    }
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
    const record = mostRecordBytes(key, head, options);
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
      discard: async (wreck) => {
        const kept =
          wreck !== undefined &&
          (await this.#invalid.keep(claim, { key, head, wreck }, () => reservation.release()));
        if (!kept) await unlink(path).catch(() => undefined);
        await this.#giveUp(claim);
        reservation.release();
        // The note may be longer than the record would have been.
        if (kept) await this.#entries.ledger.evict(this.maxBytes);
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
    this.#hot?.closeUnlinked();
  }
}
