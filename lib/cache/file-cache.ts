// docs/reference/disk-format.md

import createDebug from 'debug';
import { requireBytes } from '../checks.ts';
import { Layout } from '../fs/layout.ts';
import { WorkLock } from '../fs/lock.ts';
import { prepareDirectory } from '../fs/prepare.ts';
import { Presence } from '../fs/presence.ts';
import { probe, readBack } from '../fs/probe.ts';
import { Space } from '../fs/space.ts';
import { Log } from '../log.ts';
import { Breaker } from './breaker.ts';
import type {
  Cache,
  CacheStats,
  Claim,
  ClaimOptions,
  DeclineReason,
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
import type { Doing } from './fault.ts';
import { type FileCacheOptions, resolveFileCacheOptions } from './file-cache-options.ts';
import { FileEntries } from './file-entries.ts';
import { FilePurges } from './file-purges.ts';
import { FileFills } from './fill/file-fills.ts';
import { HotEntries } from './hot-entries.ts';
import { InvalidBodies } from './invalid.ts';
import { records } from './janitor.ts';
import { removeLeftovers, requireStalledMs } from './leftovers.ts';
import { Notices } from './notices.ts';
import { Pace } from './pace.ts';
import { FileParts } from './parts/file-parts.ts';
import { FileQueue } from './queue.ts';
import { infoOf } from './record.ts';
import { scrub } from './scrub.ts';
import { statsOf } from './stats.ts';

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
  readonly parts: FileParts;
  readonly #layout: Layout;
  readonly #entries: FileEntries;
  readonly #hot: HotEntries | undefined;
  readonly #fills: FileFills;
  readonly #invalid: InvalidBodies;
  readonly #notices: Notices;
  readonly #purges: FilePurges;
  readonly #breaker: Breaker;
  readonly #presence: Presence;
  #scanned: Promise<void> = Promise.resolve();
  readonly #heart: NodeJS.Timeout;
  #begun = false;
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
    this.#presence = new Presence([layout.entries, layout.incomplete]);
    const failed = (error: unknown, doing: Doing) => this.#breaker.failed(error, doing);
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
      ownFills: () => new Set([...this.#fills.ids, ...this.parts.ids]),
      others: () => this.parts.resting,
      scanned: () => this.#scanned,
      failed,
    });
    this.queue = new FileQueue({
      layout,
      modes,
      isDown: () => this.#breaker.down,
      isStored: (key) => this.#isStored(key),
      isFetched: (key) => this.#isClosed || this.#fills.has(key),
      charge: (bytes) => this.#entries.ledger.charge('queue', bytes),
    });
    const place = {
      layout,
      modes,
      durability: rest.durability,
      maxEntryBytes,
      entries: this.#entries,
      attempt: <T>(act: () => Promise<T>, bytes: number) => this.#breaker.attempt('store', act, bytes),
      failed,
      isNewer: (name: string) => this.#notices.isNewer(name),
      stored: (name: string) =>
        this.queue.clear(name).catch((error: unknown) => debug('%s stays queued: %o', name, error)),
    };
    this.#fills = new FileFills({
      ...place,
      maxBytes,
      invalid: this.#invalid,
      isClosed: () => this.#isClosed,
      open: (key) => this.open(key),
    });
    this.parts = new FileParts({
      ...place,
      declines: () => this.#declines,
      hides: (info) => this.#purges.hides(info),
      damaged: (name, why, key) => this.#notices.damaged(name, why, key),
    });
    this.#purges = new FilePurges({
      layout,
      entries: this.#entries,
      fills: this.#fills,
      parts: this.parts,
      queue: this.queue,
      breaker: () => this.#breaker,
    });
    this.#breaker = new Breaker(
      {
        directory,
        log,
        prepare: () => prepareDirectory(directory, layout, modes),
        probe: () => probe(layout, modes),
        readBack: () => readBack(layout),
        changed: () => this.#presence.changed(),
        makeUp: () => this.#purges.makeUp(),
        waiting: () => this.#purges.waiting,
        closeFiles: async () => this.#hot?.closeFiles() ?? 0,
        makeRoom: (bytes) => this.#makeRoom(bytes),
        ready: (afresh) => this.#ready(afresh),
      },
      rest.startDegraded,
    );
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#heart.unref();
  }

  /** Without a wait where the entry is hot. */
  open(key: Key): Promise<Entry | undefined> | Entry | undefined {
    if (this.#isClosed || this.#breaker.down) return undefined;
    try {
      const hot = this.#entries.openHot(key);
      if (hot !== undefined) return this.#unlessHidden(hot);
      // It is being fetched, and nothing is known of one that it replaces: whoever fetches it has looked.
      if (this.#fills.isRunning(key) && !this.#entries.has(key)) return undefined;
      return this.#openCold(key);
    } catch (error) {
      debug('%s could not be looked at: %o', key.primary, error);
      return this.#openCold(key);
    }
  }

  async #openCold(key: Key): Promise<Entry | undefined> {
    try {
      return this.#unlessHidden(await this.#breaker.attempt('read', () => this.#entries.open(key)));
    } catch (error) {
      debug('%s could not be opened: %o', key.primary, error);
      return undefined;
    }
  }

  /** What should have been purged, and could not be, is none. */
  #unlessHidden(entry: Entry | undefined): Entry | undefined {
    if (entry === undefined || !this.#purges.hides(entry.info)) return entry;
    entry.release(false);
    return undefined;
  }

  async claim(
    key: Key,
    { join = false, newerThan = Number.NEGATIVE_INFINITY }: ClaimOptions = {},
  ): Promise<Claim | undefined> {
    const follower = this.#fills.follow(key);
    if (follower !== undefined) return follower;
    const reason = this.#declines;
    if (reason !== undefined) return join ? undefined : { role: 'declined', reason };
    if (!join) return this.#fills.lead(key, newerThan);
    return this.#fills.followOthers(key).catch((error: unknown) => {
      debug('%s can not be followed: %o', key.primary, error);
      return undefined;
    });
  }

  get #declines(): DeclineReason | undefined {
    if (this.#isClosed) return 'closed';
    return this.#breaker.state === 'up' ? undefined : 'store-down';
  }

  invalidate(what: Invalidation): Promise<number> {
    return this.#purges.invalidate(what);
  }

  async info(key: Key): Promise<(EntryInfo & EntryUse) | undefined> {
    if (this.#breaker.down) return undefined;
    const record = await this.#entries.record(key);
    if (record === undefined || this.#purges.hides(infoOf(record))) return undefined;
    return this.#entries.upkeep.info(this.#layout.name(key.primary, key.variant), record);
  }

  async *list(): AsyncGenerator<EntryInfo & EntryUse> {
    if (this.#breaker.down) return;
    for await (const { name, record } of records(this.#layout)) {
      if (!this.#purges.hides(infoOf(record))) yield this.#entries.upkeep.info(name, record);
    }
  }

  async pin(key: string, on: boolean): Promise<number> {
    return this.#breaker.down ? 0 : this.#entries.upkeep.pin(key, on);
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    requireBytes('toBytes', toBytes);
    await this.#scanned;
    return this.#breaker.down ? { entries: 0, bytes: 0 } : this.#entries.upkeep.prune(toBytes);
  }

  async clean({ stalledMs = 86_400_000 }: { stalledMs?: number } = {}): Promise<Removed> {
    requireStalledMs(stalledMs);
    await this.#scanned;
    if (this.#breaker.down) return { entries: 0, bytes: 0 };
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
    const kept = { entries: this.#entries, notices: this.#notices, invalid: this.#invalid, hot: this.#hot };
    return statsOf({ ...kept, state: this.#breaker.state, fills: this.#fills.count });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const closing = this.#breaker.close();
    this.#invalid.close();
    this.queue.close();
    clearInterval(this.#heart);
    this.#fills.close();
    await closing;
    await this.parts.close();
    await this.#hot?.close();
    await this.#entries.inventory.close();
    await this.#scanned;
    await this.#entries.upkeep.close();
    await this.#entries.openFiles.closed();
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async *#verify(pace: Pace): AsyncGenerator<Verified> {
    await this.#scanned;
    if (this.#isClosed || this.#breaker.down) return;
    try {
      yield* scrub(this.#layout, this.#entries, pace);
    } catch (error) {
      // A cache that is closed has nothing.
      if (error !== this.#closing.signal.reason) throw error;
    }
  }

  /** The directory can be used, all of it or a part. */
  #ready(afresh: boolean): void {
    try {
      this.#presence.remember();
    } catch (error) {
      debug('%s has gone again: %o', this.directory, error);
    }
    if (afresh) {
      this.parts.reset();
      this.#entries.reset();
    }
    const isFirst = !this.#begun;
    this.#begun = true;
    if (isFirst) this.#entries.upkeep.start();
    this.#scanned = this.#scanned.then(() => this.#scan(isFirst));
  }

  async #scan(isFirst: boolean): Promise<void> {
    try {
      await this.#fills.removeRemains();
      await (isFirst ? this.#invalid.start() : this.#invalid.look());
      await this.parts.resting.scan(true);
      await this.#entries.inventory.scan();
      await this.queue.start();
    } catch (error) {
      debug('the scan of %s failed: %o', this.directory, error);
    }
  }

  async #makeRoom(bytes: number): Promise<boolean> {
    const { ledger } = this.#entries;
    // Nothing goes in vain.
    return ledger.removable >= bytes && (await ledger.clear(bytes)) >= bytes;
  }

  /** By whatever version of this package: what a newer one has stored need not be fetched. */
  async #isStored(key: Key): Promise<boolean> {
    const record = await this.#entries.record(key);
    return record !== undefined || this.#notices.isNewer(this.#layout.name(key.primary, key.variant));
  }

  #beat(): void {
    this.#fills.beat();
    this.parts.beat();
    void this.#breaker.look();
    this.#hot?.closeUnlinked();
  }
}
