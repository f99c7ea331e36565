// docs/reference/disk-format.md

import createDebug from 'debug';
import { requireBytes } from '../checks.ts';
import { OptionError } from '../errors.ts';
import { Layout } from '../fs/layout.ts';
import { WorkLock } from '../fs/lock.ts';
import { prepareDirectory } from '../fs/prepare.ts';
import { Space } from '../fs/space.ts';
import { Log } from '../log.ts';
import type {
  Cache,
  CacheStats,
  Claim,
  ClaimOptions,
  Entry,
  EntryInfo,
  EntryUse,
  Invalidation,
  Key,
  Removed,
  RunningFill,
  Verified,
  VerifyOptions,
} from './cache.ts';
import { type FileCacheOptions, resolveFileCacheOptions } from './file-cache-options.ts';
import { FileEntries } from './file-entries.ts';
import { FileFills } from './fill/file-fills.ts';
import { HotEntries } from './hot-entries.ts';
import { InvalidBodies } from './invalid.ts';
import { concerned, records } from './janitor.ts';
import { removeLeftovers } from './leftovers.ts';
import { Notices } from './notices.ts';
import { Pace } from './pace.ts';
import { FileQueue } from './queue.ts';
import { scrub } from './scrub.ts';
import { Standby } from './standby.ts';

const debug = createDebug('cache-filter:store');

export type { FileCacheOptions };

/** How often a running fill says that its process lives, in milliseconds. */
const HEARTBEAT_MS = 500;

/** Bodies as files below one directory, within a hard budget. Several may share a directory, in any number of processes. */
export class FileCache implements Cache {
  readonly directory: string;
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
  readonly queue: FileQueue;
  readonly #layout: Layout;
  readonly #entries: FileEntries;
  readonly #hot: HotEntries | undefined;
  readonly #fills: FileFills;
  readonly #invalid: InvalidBodies;
  readonly #notices: Notices;
  readonly #standby: Standby;
  #scanned: Promise<void> = Promise.resolve();
  readonly #heart: NodeJS.Timeout;
  readonly #closing = new AbortController();

  /** @throws DirectoryError where the directory can't be used, OptionError */
  constructor(options: FileCacheOptions) {
    const { directory, maxBytes, maxEntryBytes, ...rest } = resolveFileCacheOptions(options);
    const { memory, fileMode, directoryMode, maxInvalidBytes, minFreeBytes, inactiveMs } = rest;
    this.directory = directory;
    this.maxBytes = maxBytes;
    this.maxEntryBytes = maxEntryBytes;
    const modes = { file: fileMode, directory: directoryMode };
    const layout = new Layout(directory);
    const log = new Log(rest.logger);
    this.#layout = layout;
    this.#notices = new Notices(directory, log);
    this.#invalid = new InvalidBodies(layout, { maxBytes: maxInvalidBytes, directoryMode });
    this.#hot = memory && new HotEntries(layout, memory);
    this.#entries = new FileEntries(layout, {
      directory,
      maxBytes,
      verify: rest.verify,
      fileMode,
      inactiveMs,
      space: new Space(directory, minFreeBytes),
      notices: this.#notices,
      expendable: this.#invalid,
      hot: this.#hot,
      lock: new WorkLock(layout.upkeepLock, rest.locks),
      ownFills: () => this.#fills.ids,
      scanned: () => this.#scanned,
    });
    this.queue = new FileQueue({
      layout,
      modes,
      isDown: () => this.#standby.down,
      isStored: (key) => this.#isStored(key),
      isFetched: (key) => this.#isClosed || this.#fills.has(key),
      charge: (bytes) => this.#entries.ledger.charge('queue', bytes),
    });
    this.#fills = new FileFills({
      layout,
      modes,
      durability: rest.durability,
      maxBytes,
      maxEntryBytes,
      entries: this.#entries,
      invalid: this.#invalid,
      isClosed: () => this.#isClosed,
      open: (key) => this.open(key),
      isNewer: (name) => this.#notices.isNewer(name),
      stored: (name) =>
        this.queue.clear(name).catch((error: unknown) => debug('%s stays queued: %o', name, error)),
    });
    const prepare = () => prepareDirectory(directory, layout, modes);
    const purge = (what: Invalidation) => this.#invalidate(what);
    const ready = () => {
      this.#scanned = this.#scan();
      this.#entries.upkeep.start();
    };
    this.#standby = new Standby({ directory, log, prepare, purge, ready }, rest.startDegraded);
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#heart.unref();
  }

  /** Without a wait where the entry is hot. */
  open(key: Key): Promise<Entry | undefined> | Entry | undefined {
    if (this.#isClosed || this.#standby.down) return undefined;
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
    const follower = this.#fills.follow(key);
    if (follower !== undefined) return follower;
    if (this.#isClosed) return join ? undefined : { role: 'declined', reason: 'closed' };
    if (this.#standby.down) return join ? undefined : { role: 'declined', reason: 'store-down' };
    return join ? this.#followOthers(key) : this.#fills.lead(key, newerThan);
  }

  async #followOthers(key: Key): Promise<Claim | undefined> {
    return this.#fills.followOthers(key).catch((error: unknown) => {
      debug('%s can not be followed: %o', key.primary, error);
      return undefined;
    });
  }

  async invalidate(what: Invalidation): Promise<number> {
    if (!this.#standby.down) return this.#invalidate(what);
    this.#standby.remember(what);
    return 0;
  }

  async info(key: Key): Promise<(EntryInfo & EntryUse) | undefined> {
    if (this.#standby.down) return undefined;
    const record = await this.#entries.record(key);
    return record && this.#entries.upkeep.info(this.#layout.name(key.primary, key.variant), record);
  }

  async *list(): AsyncGenerator<EntryInfo & EntryUse> {
    if (this.#standby.down) return;
    for await (const { name, record } of records(this.#layout)) yield this.#entries.upkeep.info(name, record);
  }

  async pin(key: string, on: boolean): Promise<number> {
    return this.#standby.down ? 0 : this.#entries.upkeep.pin(key, on);
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    requireBytes('toBytes', toBytes);
    await this.#scanned;
    return this.#entries.upkeep.prune(toBytes);
  }

  async clean({ stalledMs = 86_400_000 }: { stalledMs?: number } = {}): Promise<Removed> {
    if (typeof stalledMs !== 'number' || !(stalledMs >= 0))
      throw new OptionError(
        'stalledMs',
        `stalledMs must be milliseconds, 0 or more, got ${String(stalledMs)}`,
      );
    await this.#scanned;
    if (this.#standby.down) return { entries: 0, bytes: 0 };
    const { removed } = await removeLeftovers(this.#layout, this.#fills.ids, stalledMs);
    const { entries, bytes } = await this.#invalid.clean();
    return { entries: entries + removed.entries, bytes: bytes + removed.bytes };
  }

  verify(options: VerifyOptions = {}): AsyncGenerator<Verified> {
    return this.#verify(new Pace(options).until(this.#closing.signal));
  }

  fills(): RunningFill[] {
    return this.#fills.running;
  }

  async stats(): Promise<CacheStats> {
    await this.#scanned;
    const { entries, bytes, maxBytes, evictions, expired, pinned } = this.#entries.ledger;
    const { corrupt, unknown } = this.#notices;
    const invalid = { files: this.#invalid.files, bytes: this.#invalid.bytes };
    const memory = this.#hot && { memory: this.#hot.stats };
    return {
      entries,
      bytes,
      maxBytes,
      fills: this.#fills.count,
      evictions,
      expired,
      pinned,
      corrupt,
      unknown,
      invalid,
      unlinked: this.#entries.openFiles.unlinked,
      ...memory,
    };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#standby.close();
    this.#invalid.close();
    clearInterval(this.#heart);
    this.#fills.close();
    await this.#hot?.close();
    await this.#entries.inventory.close();
    await this.#scanned;
    await this.#entries.upkeep.close();
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async *#verify(pace: Pace): AsyncGenerator<Verified> {
    await this.#scanned;
    if (this.#isClosed || this.#standby.down) return;
    try {
      yield* scrub(this.#layout, this.#entries, pace);
    } catch (error) {
      // A cache that is closed has nothing.
      if (error !== this.#closing.signal.reason) throw error;
    }
  }

  async #scan(): Promise<void> {
    try {
      await this.#invalid.start();
      await this.#entries.inventory.scan();
      await this.queue.count();
    } catch (error) {
      debug('the start-up scan failed: %o', error);
    }
  }

  /** Claims first, the records second: a commit in between finds its claim gone, or has its record removed. */
  async #invalidate(what: Invalidation): Promise<number> {
    await this.#fills.doom(what);
    const names: string[] = [];
    for await (const name of concerned(this.#layout, what)) names.push(name);
    let count = 0;
    for (const name of names) if (await this.#entries.remove(name)) count++;
    await this.queue.purge(what).catch((error: unknown) => debug('the queue stays as it is: %o', error));
    return count;
  }

  /** By whatever version of this package: what a newer one has stored need not be fetched. */
  async #isStored(key: Key): Promise<boolean> {
    const record = await this.#entries.record(key);
    return record !== undefined || this.#notices.isNewer(this.#layout.name(key.primary, key.variant));
  }

  #beat(): void {
    this.#fills.beat();
    this.#hot?.closeUnlinked();
  }
}
