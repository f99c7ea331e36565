import { StoreError, SupersededError } from '../../errors.ts';
import type { ResponseHead } from '../../http/body.ts';
import type { Digest, DigestAlgorithm } from '../../http/digest.ts';
import type { EntryInfo, FillInfo, FillOptions, FillReader, Key, Proof, RunningFill } from '../cache.ts';
import { inheritedClaim, type Orphan } from './continuation.ts';
import { fillInfo, GrowingReader } from './fill-reader.ts';
import { Growing } from './growing.ts';
import { Hashing } from './hashing.ts';
import { belated, checkDigests, checkLength, tooSmall } from './proof.ts';
import { Readers } from './readers.ts';
import { Succession } from './succession.ts';

/** A body in memory. */
export interface MemoryBody {
  head: ResponseHead;
  info: EntryInfo;
  bytes: Buffer;
}

/** What a fill needs of the cache it belongs to. */
export interface MemoryFillOwner {
  /** Asks for this many bytes in all; what they are refused with. */
  grow(bytes: number): Promise<StoreError | undefined>;
  /** @throws SupersededError */
  publish(body: MemoryBody): void;
  /** Nobody may join any more. */
  unjoinable(): void;
  ended(): void;
}

/** A body on its way into memory. */
export class MemoryFill implements Orphan {
  readonly #owner: MemoryFillOwner;
  readonly head: ResponseHead;
  readonly options: FillOptions;
  readonly #info: FillInfo;
  readonly #growing: Growing;
  readonly #hashing: Hashing;
  readonly #succession = new Succession();
  readonly #readers = new Readers();
  #chunks: Uint8Array[] = [];
  /** What more bytes were refused with. */
  #refused: Promise<StoreError | undefined> = Promise.resolve(undefined);
  #lost: StoreError | undefined;
  #waiting: (() => void)[] = [];

  constructor(key: Key, head: ResponseHead, options: FillOptions, owner: MemoryFillOwner) {
    this.#owner = owner;
    this.head = head;
    this.options = options;
    this.#info = fillInfo(key, options);
    this.#growing = new Growing(options.size, { keepAll: true, moved: () => this.#progress() });
    this.#hashing = new Hashing(new Set(['sha256' as const, ...(options.algorithms ?? [])]));
  }

  get bytes(): number {
    return this.#growing.taken;
  }

  get over(): boolean {
    return this.#growing.end !== undefined;
  }

  /** As it is told to others. */
  get running(): RunningFill {
    const { size, taken } = this.#growing;
    return { ...this.#info, ...(size === undefined ? {} : { size }), bytes: taken };
  }

  write(chunk: Uint8Array): boolean {
    if (this.#growing.end !== undefined) return true;
    if (this.#lost === undefined) this.#chunks.push(chunk);
    this.#hashing.update(chunk);
    this.#growing.take(chunk);
    const { taken } = this.#growing;
    this.#refused = this.#refused.then(async (before) => {
      const refused = before ?? (await this.#owner.grow(taken));
      if (refused !== undefined) this.#loseStore(refused);
      return refused;
    });
    return this.#hasRoom();
  }

  async drained(): Promise<void> {
    while (this.#growing.end === undefined && !this.#hasRoom()) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  reader(): FillReader {
    return new GrowingReader(this.#growing, nothingStored, {
      head: this.head,
      info: this.#info,
      succession: this.#succession,
      released: this.#readers.enter(),
    });
  }

  get readers(): number {
    return this.#readers.count;
  }

  onDeserted(deserted: () => void): void {
    this.#readers.onDeserted(deserted);
  }

  get refused(): StoreError | undefined {
    return this.#lost;
  }

  async commit(proof: Proof): Promise<EntryInfo> {
    const { taken, size } = this.#growing;
    const found = this.#hashing.digests();
    try {
      checkLength(proof, size, taken);
      if (this.#lost === undefined) found.push(...this.#hash(belated(proof, found)));
      checkDigests(proof, found);
    } catch (error) {
      await this.abort(error as Error);
      throw error;
    }
    try {
      const refused = (await this.#refused) ?? tooSmall(taken, this.options);
      if (refused !== undefined) throw refused;
      const info: EntryInfo = { ...this.#info, size: taken, digests: found };
      this.#owner.publish({ head: this.head, info, bytes: Buffer.concat(this.#chunks) });
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
    // What was just being asked for is given back.
    await this.#refused;
  }

  async orphan(reason: Error): Promise<void> {
    if (this.over) return;
    const heir = this.#lost === undefined ? this.#succession.next() : undefined;
    if (heir === undefined) await this.abort(reason);
    else heir(inheritedClaim(this, reason));
  }

  async matches(position: number, bytes: Uint8Array): Promise<boolean> {
    let start = 0;
    for (const chunk of this.#chunks) {
      const from = Math.max(0, position - start);
      const known = chunk.subarray(from, Math.max(from, position + bytes.byteLength - start));
      const at = start + from - position;
      if (known.byteLength > 0 && Buffer.compare(known, bytes.subarray(at, at + known.byteLength)) !== 0)
        return false;
      start += chunk.byteLength;
    }
    return true;
  }

  #hash(algorithms: readonly DigestAlgorithm[]): Digest[] {
    const hashing = new Hashing(algorithms);
    for (const chunk of this.#chunks) hashing.update(chunk);
    return hashing.digests();
  }

  /** The budget is used up: what is read goes through memory, at the pace of the slowest reader, and is not kept. */
  #loseStore(refused: StoreError): void {
    if (this.#lost !== undefined) return;
    this.#lost = refused;
    this.#chunks = [];
    this.#growing.loseStore();
    this.#owner.unjoinable();
    this.#readers.look();
  }

  #hasRoom(): boolean {
    return this.#growing.hasRoom;
  }

  #progress(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function nothingStored(): Promise<Uint8Array> {
  throw new StoreError('a body in memory is never read from a store');
}
