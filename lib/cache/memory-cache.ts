import { Readable } from 'node:stream';
import { IntegrityError, OptionError, StoreError, SupersededError } from '../errors.ts';
import type { ByteRange, ResponseHead } from '../http/body.ts';
import { conflicts } from '../http/digest.ts';
import type { Cache, CacheStats, Claim, ClaimOptions, Declined, Entry, EntryInfo, Fill, FillOptions, FillReader, Invalidation, Key, Proof, Removed } from './cache.ts';
import { GrowingReader } from './fill/fill-reader.ts';
import { Growing, UNSTORED_BYTES } from './fill/growing.ts';
import { Hashing } from './fill/hashing.ts';
import { Ledger } from './ledger.ts';

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

interface Running {
  key: Key;
  tags: readonly string[];
  doomed: boolean;
  fill: Promise<MemoryFill | undefined>;
  settle(fill: MemoryFill | undefined): void;
}

/** The small reference implementation: the whole contract, in memory, for tests and for small bodies. */
export class MemoryCache implements Cache {
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
  readonly #ledger: Ledger;
  readonly #entries = new Map<string, Stored>();
  readonly #running = new Map<string, Running>();
  #fills = 0;
  #closed = false;

  /** @throws OptionError */
  constructor({ maxBytes = 64 * 2 ** 20, maxEntryBytes = Math.floor(maxBytes / 2) }: MemoryCacheOptions = {}) {
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
    const name = nameOf(key);
    const stored = this.#closed ? undefined : this.#entries.get(name);
    if (stored === undefined) return undefined;
    this.#ledger.touch(name);
    return entryOf(stored, this.#ledger.hold(name));
  }

  async claim(key: Key, { join = false, newerThan = Number.NEGATIVE_INFINITY }: ClaimOptions = {}): Promise<Claim | undefined> {
    const name = nameOf(key);
    const other = this.#running.get(name);
    if (other !== undefined) return { role: 'follower', fill: other.fill.then((fill) => fill?.reader()) };
    if (join) return undefined;
    if (this.#closed) return { role: 'declined', reason: 'closed' };
    const entry = this.open(key);
    if (entry !== undefined && entry.info.storedAt > newerThan) return { role: 'entry', entry };
    entry?.release();
    let settle!: (fill: MemoryFill | undefined) => void;
    const fill = new Promise<MemoryFill | undefined>((done) => {
      settle = done;
    });
    const running: Running = { key, tags: [], doomed: false, fill, settle };
    this.#running.set(name, running);
    this.#fills++;
    return {
      role: 'leader',
      start: (head, options = {}) => this.#start(name, running, head, options),
      abandon: async () => this.#end(name, running),
    };
  }

  async invalidate(what: Invalidation): Promise<number> {
    const matches = (key: Key, tags: readonly string[]): boolean => {
      if ('key' in what) return key.primary === what.key;
      if ('prefix' in what) return key.primary.startsWith(what.prefix);
      return 'tag' in what ? tags.includes(what.tag) : true;
    };
    for (const [name, running] of this.#running) {
      if (!matches(running.key, running.tags)) continue;
      running.doomed = true;
      this.#running.delete(name);
    }
    let count = 0;
    for (const [name, { info }] of this.#entries) {
      if (!matches(info.key, info.tags)) continue;
      this.#entries.delete(name);
      this.#ledger.drop(name);
      count++;
    }
    return count;
  }

  async info(key: Key): Promise<EntryInfo | undefined> {
    return this.#entries.get(nameOf(key))?.info;
  }

  async *list(): AsyncGenerator<EntryInfo> {
    for (const { info } of [...this.#entries.values()]) yield info;
  }

  async prune({ toBytes = this.maxBytes }: { toBytes?: number } = {}): Promise<Removed> {
    return this.#ledger.evict(toBytes);
  }

  async stats(): Promise<CacheStats> {
    const { entries, bytes, evictions } = this.#ledger;
    return { entries, bytes, maxBytes: this.maxBytes, fills: this.#fills, evictions, corrupt: 0 };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async #start(name: string, running: Running, head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
    const { size } = options;
    const tooLarge = size !== undefined && size > this.maxEntryBytes;
    if (tooLarge || !(await this.#ledger.reserve((size ?? 0) + OVERHEAD_BYTES))) {
      this.#end(name, running);
      return { declined: tooLarge ? 'too-large' : 'no-room' };
    }
    let reserved = (size ?? 0) + OVERHEAD_BYTES;
    const fill = new MemoryFill(running.key, head, options, {
      grow: async (bytes) => {
        const more = bytes + OVERHEAD_BYTES - reserved;
        if (more <= 0) return true;
        if (bytes > this.maxEntryBytes || !(await this.#ledger.reserve(more))) return false;
        reserved += more;
        return true;
      },
      publish: (stored) => {
        if (running.doomed) throw new SupersededError('the key was purged while its body was being written');
        this.#entries.set(name, stored);
        this.#ledger.unreserve(reserved);
        reserved = 0;
        this.#ledger.add(name, stored.bytes.byteLength + OVERHEAD_BYTES);
      },
      ended: () => {
        this.#ledger.unreserve(reserved);
        reserved = 0;
        this.#end(name, running);
      },
    });
    running.tags = options.tags ?? [];
    running.settle(fill);
    return fill;
  }

  #end(name: string, running: Running): void {
    if (this.#running.get(name) === running) this.#running.delete(name);
    running.settle(undefined);
    this.#fills--;
  }
}

interface FillOwner {
  grow(bytes: number): Promise<boolean>;
  publish(stored: Stored): void;
  ended(): void;
}

class MemoryFill implements Fill {
  readonly #owner: FillOwner;
  readonly #head: ResponseHead;
  readonly #info: Pick<EntryInfo, 'key' | 'storedAt' | 'tags'>;
  readonly #growing: Growing;
  readonly #hashing: Hashing;
  #chunks: Uint8Array[] = [];
  #room: Promise<boolean> = Promise.resolve(true);
  #waiting: (() => void)[] = [];

  constructor(key: Key, head: ResponseHead, options: FillOptions, owner: FillOwner) {
    this.#owner = owner;
    this.#head = head;
    this.#info = { key, storedAt: options.storedAt ?? Date.now(), tags: [...(options.tags ?? [])] };
    this.#growing = new Growing(options.size, { keepAll: true, moved: () => this.#progress() });
    this.#hashing = new Hashing(new Set(['sha256' as const, ...(options.algorithms ?? [])]));
  }

  write(chunk: Uint8Array): boolean {
    if (this.#growing.end !== undefined) return true;
    this.#chunks.push(chunk);
    this.#hashing.update(chunk);
    this.#growing.take(chunk);
    const { taken } = this.#growing;
    this.#room = this.#room.then(async (room) => room && ((await this.#owner.grow(taken)) || this.#loseStore()));
    return this.#hasRoom();
  }

  async drained(): Promise<void> {
    while (this.#growing.end === undefined && !this.#hasRoom()) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  reader(): FillReader {
    return new GrowingReader(this.#growing, nothingStored, { head: this.#head, info: this.#info, released: () => undefined });
  }

  async commit({ length, digests = [] }: Proof): Promise<EntryInfo> {
    const { taken } = this.#growing;
    const found = this.#hashing.digests();
    const wrong = conflicts(digests, found);
    try {
      if (length !== undefined && length !== taken) {
        throw new IntegrityError(`the body has ${taken} bytes where ${length} were declared`);
      }
      if (wrong !== undefined) throw new IntegrityError(`the body's ${wrong.algorithm} is not ${wrong.hex}, as was declared`);
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

  /** The budget is used up: what is read goes through memory, at the pace of the slowest reader, and is not kept. */
  #loseStore(): false {
    this.#chunks = [];
    this.#growing.loseStore();
    return false;
  }

  #hasRoom(): boolean {
    return this.#growing.unstored < UNSTORED_BYTES;
  }

  #progress(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

function entryOf({ head, info, bytes }: Stored, release: () => void): Entry {
  return {
    head,
    info,
    size: info.size,
    bytes,
    read: ({ start, end }: ByteRange = { start: 0, end: info.size }) => Readable.from([bytes.subarray(start, end)], { objectMode: false }),
    release,
  };
}

function nameOf({ primary, variant = '' }: Key): string {
  return JSON.stringify([primary, variant]);
}

async function nothingStored(): Promise<Uint8Array> {
  throw new StoreError('a body in memory is never read from a store');
}
