import { OptionError, StoreError, SupersededError } from '../errors.ts';
import type { ResponseHead } from '../http/body.ts';
import type { Digest, DigestAlgorithm } from '../http/digest.ts';
import type {
  Cache,
  CacheStats,
  Claim,
  ClaimOptions,
  Declined,
  Entry,
  EntryInfo,
  Fill,
  FillInfo,
  FillOptions,
  FillReader,
  Invalidation,
  Key,
  Proof,
  Removed,
} from './cache.ts';
import { fillInfo, GrowingReader } from './fill/fill-reader.ts';
import { Growing, UNSTORED_BYTES } from './fill/growing.ts';
import { Hashing } from './fill/hashing.ts';
import { belated, checkDigests, checkLength } from './fill/proof.ts';
import { identity, Run, Runs } from './fill/runs.ts';
import { concerns } from './invalidation.ts';
import { Ledger } from './ledger.ts';
import { MemoryEntry } from './memory-entry.ts';
import { Reservation } from './reservation.ts';

export interface MemoryCacheOptions {
  /** Hard limit for all bodies, in bytes. Default 64 MiB. */
  maxBytes?: number;
  /** Largest body that is kept, in bytes. Default half of `maxBytes`. */
  maxEntryBytes?: number;
}

/** Charged for the head of an entry, so that empty bodies don't escape the budget. */
const OVERHEAD_BYTES = 512;

interface Stored {
  head: ResponseHead;
  info: EntryInfo;
  bytes: Buffer;
}

/** One key being fetched. */
class MemoryRun extends Run<MemoryFill> {
  /** Purged while it ran. */
  doomed = false;
}

/** The small reference implementation: the whole contract, in memory, for tests and for small bodies. */
export class MemoryCache implements Cache {
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
  readonly #ledger: Ledger;
  readonly #entries = new Map<string, Stored>();
  readonly #runs = new Runs<MemoryRun>();
  #fills = 0;
  #closed = false;

  /** @throws OptionError */
  constructor({
    maxBytes = 64 * 2 ** 20,
    maxEntryBytes = Math.floor(maxBytes / 2),
  }: MemoryCacheOptions = {}) {
    for (const [name, value] of Object.entries({ maxBytes, maxEntryBytes })) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new OptionError(name, `${name} must be a whole number of bytes, got ${String(value)}`);
      }
    }
    this.maxBytes = maxBytes;
    this.maxEntryBytes = maxEntryBytes;
    this.#ledger = new Ledger(maxBytes, async (name) => this.#entries.delete(name));
  }

  open(key: Key): Entry | undefined {
    const name = identity(key);
    const stored = this.#closed ? undefined : this.#entries.get(name);
    if (stored === undefined) return undefined;
    this.#ledger.touch(name);
    return new MemoryEntry(stored.head, stored.info, stored.bytes, this.#ledger.hold(name));
  }

  async claim(
    key: Key,
    { join = false, newerThan = Number.NEGATIVE_INFINITY }: ClaimOptions = {},
  ): Promise<Claim | undefined> {
    const other = this.#runs.of(key);
    if (other !== undefined) return { role: 'follower', fill: other.fill.then((fill) => fill?.reader()) };
    if (join) return undefined;
    if (this.#closed) return { role: 'declined', reason: 'closed' };
    const entry = this.open(key);
    if (entry !== undefined && entry.info.storedAt > newerThan) return { role: 'entry', entry };
    entry?.release();
    const run = new MemoryRun(key);
    this.#runs.add(run);
    this.#fills++;
    return {
      role: 'leader',
      start: (head, options = {}) => this.#start(run, head, options),
      abandon: async () => this.#end(run),
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
    return count;
  }

  async info(key: Key): Promise<EntryInfo | undefined> {
    return this.#entries.get(identity(key))?.info;
  }

  async *list(): AsyncGenerator<EntryInfo> {
    for (const { info } of [...this.#entries.values()]) yield info;
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    return this.#ledger.evict(toBytes);
  }

  /** What fails leaves nothing here. */
  async clean(): Promise<Removed> {
    return { entries: 0, bytes: 0 };
  }

  async stats(): Promise<CacheStats> {
    const { entries, bytes, evictions } = this.#ledger;
    const disk = { corrupt: 0, unknown: 0, invalid: { files: 0, bytes: 0 } };
    return { entries, bytes, maxBytes: this.maxBytes, fills: this.#fills, evictions, ...disk };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async #start(run: MemoryRun, head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
    const { size, tags = [] } = options;
    const reservation = new Reservation(this.#ledger);
    const tooLarge = size !== undefined && size > this.maxEntryBytes;
    if (tooLarge || !(await reservation.reach((size ?? 0) + OVERHEAD_BYTES))) {
      this.#end(run);
      return { declined: tooLarge ? 'too-large' : 'no-room' };
    }
    const name = identity(run.key);
    const fill = new MemoryFill(run.key, head, options, {
      grow: async (bytes) => bytes <= this.maxEntryBytes && reservation.reach(bytes + OVERHEAD_BYTES),
      publish: (stored) => {
        if (run.doomed) throw new SupersededError('the key was purged while its body was being written');
        reservation.release();
        this.#entries.set(name, stored);
        this.#ledger.add(name, stored.bytes.byteLength + OVERHEAD_BYTES);
      },
      unjoinable: () => this.#runs.remove(run),
      ended: () => {
        reservation.release();
        this.#end(run);
      },
    });
    if (run.begin(fill, tags)) {
      run.doomed = true;
      this.#runs.remove(run);
    }
    return fill;
  }

  #end(run: MemoryRun): void {
    this.#runs.remove(run);
    run.end();
    this.#fills--;
  }
}

interface FillOwner {
  grow(bytes: number): Promise<boolean>;
  /** @throws SupersededError */
  publish(stored: Stored): void;
  /** Nobody may join any more. */
  unjoinable(): void;
  ended(): void;
}

class MemoryFill implements Fill {
  readonly #owner: FillOwner;
  readonly #head: ResponseHead;
  readonly #info: FillInfo;
  readonly #growing: Growing;
  readonly #hashing: Hashing;
  #chunks: Uint8Array[] = [];
  #room: Promise<boolean> = Promise.resolve(true);
  #lost = false;
  #waiting: (() => void)[] = [];

  constructor(key: Key, head: ResponseHead, options: FillOptions, owner: FillOwner) {
    this.#owner = owner;
    this.#head = head;
    this.#info = fillInfo(key, options);
    this.#growing = new Growing(options.size, { keepAll: true, moved: () => this.#progress() });
    this.#hashing = new Hashing(new Set(['sha256' as const, ...(options.algorithms ?? [])]));
  }

  write(chunk: Uint8Array): boolean {
    if (this.#growing.end !== undefined) return true;
    if (!this.#lost) this.#chunks.push(chunk);
    this.#hashing.update(chunk);
    this.#growing.take(chunk);
    const { taken } = this.#growing;
    this.#room = this.#room.then(
      async (room) => room && ((await this.#owner.grow(taken)) || this.#loseStore()),
    );
    return this.#hasRoom();
  }

  async drained(): Promise<void> {
    while (this.#growing.end === undefined && !this.#hasRoom()) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  reader(): FillReader {
    return new GrowingReader(this.#growing, nothingStored, {
      head: this.#head,
      info: this.#info,
      released: () => undefined,
    });
  }

  async commit(proof: Proof): Promise<EntryInfo> {
    const { taken, size } = this.#growing;
    const found = this.#hashing.digests();
    try {
      checkLength(proof, size, taken);
      if (!this.#lost) found.push(...this.#hash(belated(proof, found)));
      checkDigests(proof, found);
    } catch (error) {
      await this.abort(error as Error);
      throw error;
    }
    try {
      if (!(await this.#room)) throw new StoreError('the budget has no room for the body');
      const info: EntryInfo = { ...this.#info, size: taken, digests: found };
      this.#owner.publish({ head: this.#head, info, bytes: Buffer.concat(this.#chunks) });
      this.#growing.finish('complete');
      return info;
    } catch (error) {
      this.#growing.finish(error instanceof SupersededError ? 'superseded' : 'complete');
      throw error;
    } finally {
      this.#owner.ended();
    }
  }

  async abort(reason: Error): Promise<void> {
    if (this.#growing.end !== undefined) return;
    this.#growing.finish('failed', reason);
    this.#progress();
    this.#owner.ended();
  }

  #hash(algorithms: readonly DigestAlgorithm[]): Digest[] {
    const hashing = new Hashing(algorithms);
    for (const chunk of this.#chunks) hashing.update(chunk);
    return hashing.digests();
  }

  /** The budget is used up: what is read goes through memory, at the pace of the slowest reader, and is not kept. */
  #loseStore(): false {
    this.#lost = true;
    this.#chunks = [];
    this.#growing.loseStore();
    this.#owner.unjoinable();
    return false;
  }

  #hasRoom(): boolean {
    return this.#growing.unstored < UNSTORED_BYTES;
  }

  #progress(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function nothingStored(): Promise<Uint8Array> {
  throw new StoreError('a body in memory is never read from a store');
}
