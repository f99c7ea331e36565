import { OptionReader, requireBytes } from '../checks.ts';
import { StoreError, SupersededError } from '../errors.ts';
import { publish as tell } from '../events.ts';
import type { ResponseHead } from '../http/body.ts';
import { freshened } from '../http/freshened.ts';
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
  RefreshOptions,
  Removed,
  RunningFill,
  Verified,
  VerifyOptions,
} from './cache.ts';
import { Expiry, requireInactiveMs } from './expiry.ts';
import { type MemoryBody, MemoryFill } from './fill/memory-fill.ts';
import { following, MemoryRun } from './fill/memory-run.ts';
import { tooLarge } from './fill/proof.ts';
import { Runs } from './fill/runs.ts';
import { concerns } from './invalidation.ts';
import { idOf } from './key.ts';
import { Ledger } from './ledger.ts';
import { MemoryEntry } from './memory-entry.ts';
import { MemoryQueue } from './memory-queue.ts';
import { Pace } from './pace.ts';
import { Reservation } from './reservation.ts';
import { sha256Of } from './slow-hash.ts';

/** What a {@link MemoryCache} is made with. */
export interface MemoryCacheOptions {
  /** Hard limit for all bodies, in bytes. Default 64 MiB. */
  maxBytes?: number;
  /** Largest body that is kept, in bytes. Default half of `maxBytes`. */
  maxEntryBytes?: number;
  /** Entries that are not used for so many milliseconds are removed. Default: they are not. */
  inactiveMs?: number;
}

const KNOWN: Record<keyof MemoryCacheOptions, true> = {
  maxBytes: true,
  maxEntryBytes: true,
  inactiveMs: true,
};

/** Charged for the head of an entry, so that empty bodies don't escape the budget. */
const OVERHEAD_BYTES = 512;

interface Stored extends MemoryBody {
  hits: number;
}

/** The small reference implementation: the whole contract, in memory, for tests and for small bodies. */
export class MemoryCache implements Cache {
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
  readonly #ledger: Ledger;
  readonly #entries = new Map<string, Stored>();
  readonly #runs = new Runs<MemoryRun>();
  readonly #inactiveMs: number | undefined;
  readonly #expiry: Expiry;
  readonly queue: MemoryQueue = new MemoryQueue(
    (key) => this.#isClosed || this.#runs.of(key) !== undefined || this.#entries.has(idOf(key)),
  );
  #fills = 0;
  /** Entries that were dropped because they were not what was stored. */
  #corrupt = 0;
  readonly #running = new Set<MemoryFill>();
  readonly #closing = new AbortController();

  /** @throws OptionError */
  constructor(options: MemoryCacheOptions = {}) {
    const read = new OptionReader(options, KNOWN);
    const { inactiveMs } = options;
    const maxBytes = read.bytes('maxBytes', 64 * 2 ** 20);
    requireInactiveMs(inactiveMs);
    this.maxBytes = maxBytes;
    this.maxEntryBytes = read.bytes('maxEntryBytes', Math.floor(maxBytes / 2));
    this.#inactiveMs = inactiveMs;
    this.#expiry = new Expiry(inactiveMs, () => this.#expire());
    this.#expiry.start();
    this.#ledger = new Ledger(maxBytes, async (name, { why, bytes }) => {
      const key = this.#entries.get(name)?.info.key;
      if (this.#entries.delete(name) && key !== undefined)
        tell(`cache-filter:${why}`, () => ({ key, bytes }));
    });
  }

  open(key: Key): Entry | undefined {
    const name = idOf(key);
    const stored = this.#isClosed ? undefined : this.#entries.get(name);
    if (stored === undefined) return undefined;
    this.#ledger.touch(name);
    stored.hits++;
    const release = this.#ledger.hold(name);
    return new MemoryEntry(stored.head, stored.info, stored.bytes, (used) => {
      release();
      if (!used) stored.hits--;
    });
  }

  async claim(
    key: Key,
    { join = false, newerThan = Number.NEGATIVE_INFINITY }: ClaimOptions = {},
  ): Promise<Claim | undefined> {
    const other = this.#runs.of(key);
    if (other !== undefined) return following(other);
    if (join) return undefined;
    if (this.#isClosed) return { role: 'declined', reason: 'closed' };
    const entry = this.open(key);
    if (entry !== undefined && entry.info.storedAt > newerThan) return { role: 'entry', entry };
    const run = new MemoryRun(key);
    this.#runs.add(run);
    this.#fills++;
    const letGo = () => entry?.release(false);
    return {
      role: 'leader',
      ...(entry === undefined ? {} : { previous: entry }),
      start: (head, options = {}) => {
        letGo();
        return this.#start(run, head, options);
      },
      refresh: async (head, options = {}) => {
        const refreshed = this.#refresh(run, entry, head, options);
        letGo();
        this.#end(run);
        return refreshed;
      },
      abandon: async () => {
        letGo();
        this.#end(run);
      },
    };
  }

  async invalidate(what: Invalidation): Promise<number> {
    for (const run of this.#runs.cut(what)) run.doomed = true;
    let count = 0;
    for (const [name, { info }] of this.#entries) {
      if (!concerns(what, info.key, info.tags)) continue;
      this.#entries.delete(name);
      this.#ledger.drop(name);
      count++;
    }
    await this.queue.remove(what);
    return count;
  }

  async info(key: Key): Promise<(EntryInfo & EntryUse) | undefined> {
    const stored = this.#entries.get(idOf(key));
    return stored && this.#infoOf(stored);
  }

  async *list(): AsyncGenerator<EntryInfo & EntryUse> {
    for (const stored of [...this.#entries.values()]) yield this.#infoOf(stored);
  }

  async pin(key: string, on: boolean): Promise<number> {
    let count = 0;
    for (const [name, { info }] of this.#entries) {
      if (info.key.primary !== key) continue;
      this.#ledger.pin(name, on);
      count++;
    }
    return count;
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    requireBytes('toBytes', toBytes);
    const expired = await this.#expire();
    const evicted = await this.#ledger.evict(toBytes);
    return { entries: expired.entries + evicted.entries, bytes: expired.bytes + evicted.bytes };
  }

  /** Always nothing: what fails leaves nothing here. */
  async clean(): Promise<Removed> {
    return { entries: 0, bytes: 0 };
  }

  verify(options: VerifyOptions = {}): AsyncGenerator<Verified> {
    return this.#verify(new Pace(options).until(this.#closing.signal));
  }

  fills(): RunningFill[] {
    return [...this.#running].map(({ running }) => running);
  }

  async stats(): Promise<CacheStats> {
    const { entries, bytes, maxBytes, evictions, expired, pinned } = this.#ledger;
    const disk = { unknown: 0, invalid: { files: 0, bytes: 0 } };
    const corrupt = this.#corrupt;
    const state = 'up';
    return {
      state,
      entries,
      bytes,
      maxBytes,
      fills: this.#fills,
      evictions,
      expired,
      pinned,
      corrupt,
      ...disk,
    };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#expiry.close();
  }

  async #start(run: MemoryRun, head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
    const { size, tags = [] } = options;
    const reservation = new Reservation(this.#ledger);
    const large = size !== undefined && tooLarge(size, this.maxEntryBytes, options) !== undefined;
    if (large || !(await reservation.reach((size ?? 0) + OVERHEAD_BYTES))) {
      this.#end(run);
      return { declined: large ? 'too-large' : 'no-room' };
    }
    const name = idOf(run.key);
    const fill: MemoryFill = new MemoryFill(run.key, head, options, {
      grow: async (bytes) => {
        const limit = tooLarge(bytes, this.maxEntryBytes, options);
        if (limit !== undefined) return limit;
        if (await reservation.reach(bytes + OVERHEAD_BYTES)) return undefined;
        return new StoreError('the budget has no room for the body', { reason: 'no-room' });
      },
      publish: (body) => {
        if (run.doomed) throw new SupersededError('the key was purged while its body was being written');
        reservation.release();
        this.#entries.set(name, { ...body, hits: 0 });
        this.#ledger.add(name, body.bytes.byteLength + OVERHEAD_BYTES);
        this.queue.clear(run.key);
      },
      unjoinable: () => this.#runs.remove(run),
      ended: () => {
        this.#running.delete(fill);
        reservation.release();
        this.#end(run);
      },
    });
    this.#running.add(fill);
    if (run.begin(fill, tags)) {
      run.doomed = true;
      this.#runs.remove(run);
    }
    return fill;
  }

  #refresh(
    run: MemoryRun,
    previous: Entry | undefined,
    update: ResponseHead,
    { storedAt = Date.now(), version }: RefreshOptions,
  ): Entry | Declined {
    const name = idOf(run.key);
    const stored = this.#entries.get(name);
    if (this.#isClosed) return { declined: 'closed' };
    run.isOpen = true;
    if (stored === undefined || stored.info !== previous?.info || run.doomed)
      return { declined: 'superseded' };
    const head = freshened(stored.head, update);
    if (head === undefined) return { declined: 'changed' };
    const info = { ...stored.info, storedAt, ...(version === undefined ? {} : { version }) };
    // In its place: those who hold it count as users of the same body.
    Object.assign(stored, { head, info });
    this.queue.clear(run.key);
    return this.open(run.key) ?? { declined: 'superseded' };
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async *#verify(pace: Pace): AsyncGenerator<Verified> {
    try {
      if (!this.#isClosed) yield* this.#scrub(pace);
    } catch (error) {
      // A cache that is closed has nothing.
      if (error !== this.#closing.signal.reason) throw error;
    }
  }

  async *#scrub(pace: Pace): AsyncGenerator<Verified> {
    const all = [...this.#entries];
    const totalBytes = all.reduce((sum, [, { bytes }]) => sum + bytes.byteLength, 0);
    let bytes = 0;
    for (const [name, stored] of all) {
      const { key, size, digests } = stored.info;
      const release = this.#ledger.hold(name);
      const found = await sha256Of(stored.bytes, pace).finally(release);
      bytes += size;
      // It has gone, or was replaced.
      if (this.#entries.get(name) !== stored) continue;
      const ok = digests.some(({ algorithm, hex }) => algorithm === 'sha256' && hex === found);
      const progress = { bytes, totalBytes };
      if (ok) yield { key, size, ok, ...progress };
      else yield { key, size, ok, why: this.#drop(name, key), ...progress };
    }
  }

  /** Drops what is not what was stored: somebody has written to the memory of a body. Why, in words. */
  #drop(name: string, key: Key): string {
    const why = 'its body is not what was stored';
    this.#entries.delete(name);
    this.#ledger.drop(name);
    this.#corrupt++;
    tell('cache-filter:corrupt', () => ({ key, why }));
    return why;
  }

  #infoOf({ info, hits }: Stored): EntryInfo & EntryUse {
    const name = idOf(info.key);
    return {
      ...info,
      hits,
      usedAt: this.#ledger.usedAt(name) ?? info.storedAt,
      pinned: this.#ledger.isPinned(name),
    };
  }

  async #expire(): Promise<Removed> {
    if (this.#inactiveMs === undefined) return { entries: 0, bytes: 0 };
    return this.#ledger.expire(Date.now() - this.#inactiveMs, async () => undefined);
  }

  #end(run: MemoryRun): void {
    this.#runs.remove(run);
    run.end();
    this.#fills--;
  }
}
