import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { CacheFilterError, IncompleteError, StoreError, SupersededError } from '../../errors.ts';
import { writeAt } from '../../fs/files.ts';
import type { ByteRange, ResponseHead } from '../../http/body.ts';
import type { DigestAlgorithm } from '../../http/digest.ts';
import { BLOCK_BYTES, isBlock } from '../blocks.ts';
import type { EntryInfo, FillInfo, Proof } from '../cache.ts';
import { checkDigests, checkLength } from '../fill/proof.ts';
import { READ_BYTES } from '../fill/reader.ts';
import { Verifier } from '../fill/verify.ts';
import { bodyReads } from '../read-gate.ts';
import { type BlockMap, blockOf } from './block-map.ts';
import { FileWriter, type WriterOwner } from './file-writer.ts';
import type { PartialBody, PartWriter } from './parts.ts';
import { type Ahead, PartsReadable, type PartsSource } from './parts-reader.ts';

/** What the parts of a key ask of the store that they are in. */
export interface PartialOwner {
  head: ResponseHead;
  info: FillInfo;
  algorithms: readonly DigestAlgorithm[];
  file: FileHandle;
  map: BlockMap;
  /** Whether there is room for so many more bytes. */
  admit(bytes: number): Promise<boolean>;
  /** Does something with the store that needs so many bytes. @throws */
  attempt<T>(act: () => Promise<T>, bytes: number): Promise<T>;
  /** Writes down that a block is there, or, without a sum, that it is not. @throws */
  note(block: number, sum: number | undefined): Promise<void>;
  /** Hears of what can't be read, or is damaged. Never throws. */
  unreadable(why: string, error: unknown): void;
  /** Makes it the entry of its key. @throws SupersededError, or what the store fails with */
  publish(info: EntryInfo, blocks: Uint32Array): Promise<void>;
  /** It is to be found no more, and its files go. Never rejects. */
  discard(): Promise<void>;
  /** Nobody uses it, and nothing is being done with it. */
  idle(): void;
}

/** A file of which only some blocks are there. */
export class FilePartialBody implements PartialBody, PartsSource, WriterOwner {
  readonly blockBytes: number = BLOCK_BYTES;
  dropped: Error | undefined;
  /** Nobody else is given it any more. */
  isOver = false;
  readonly #owner: PartialOwner;
  readonly #map: BlockMap;
  readonly #writers = new Set<FileWriter>();
  readonly #followers = new Set<() => void>();
  /** What the latest failed writer was to write, and why it did not. */
  #failure: { from: number; to: number; error: Error } | undefined;
  /** All of it is what it should be. */
  #verified = false;
  /** Why that could not be found out. */
  #unproven: Error | undefined;
  #committing: Promise<EntryInfo> | undefined;
  /** Those who opened it, writers, readers, and whatever else uses its file. */
  #users = 0;
  #isIdle = false;

  constructor(owner: PartialOwner) {
    this.#owner = owner;
    this.#map = owner.map;
  }

  get head(): ResponseHead {
    return this.#owner.head;
  }

  get info(): FillInfo {
    return this.#owner.info;
  }

  get size(): number {
    return this.#map.size;
  }

  get isWhole(): boolean {
    return this.#map.isWhole;
  }

  /** Settles when it has become an entry, or has not; undefined while nobody has asked for that. Never rejects. */
  get committing(): Promise<unknown> | undefined {
    return this.#committing?.catch(() => undefined);
  }

  /** Nothing of it is there. */
  get isEmpty(): boolean {
    return this.#map.count === 0;
  }

  /** One more who is given it. */
  enter(): this {
    this.#users++;
    return this;
  }

  release(): void {
    this.#leave();
  }

  missing(range: ByteRange = { start: 0, end: this.size }): ByteRange[] {
    return this.dropped === undefined ? this.#map.missing(range) : [];
  }

  begin(range: ByteRange): PartWriter {
    this.#map.promise(range);
    this.#users++;
    const writer = new FileWriter(this, range);
    this.#writers.add(writer);
    if (this.dropped !== undefined) writer.fail(this.dropped);
    return writer;
  }

  read(range: ByteRange = { start: 0, end: this.size }): Readable {
    return new PartsReadable(this, range);
  }

  commit(proof: Proof): Promise<EntryInfo> {
    this.#users++;
    this.#unproven = undefined;
    this.#committing ??= this.#commit(proof).catch((error: Error) => {
      this.#committing = undefined;
      // What was found to be damaged can be fetched, and all of it be verified once more.
      if (!this.#verified && this.isWhole) this.#unproven = error;
      this.moved();
      throw error;
    });
    return this.#committing.finally(() => this.#leave());
  }

  async drop(reason: Error): Promise<void> {
    if (this.dropped !== undefined || this.#verified) return;
    this.dropped = reason;
    this.isOver = true;
    for (const writer of this.#writers) writer.fail(reason);
    this.moved();
    await this.#owner.discard();
  }

  retire(): void {
    this.isOver = true;
  }

  ahead(position: number, range: ByteRange): Ahead {
    const { size } = this;
    const last = size - 1;
    if (this.dropped !== undefined) return this.dropped;
    const isHeld = range.start === 0 && range.end === size && !this.#verified;
    if (isHeld && position >= last) return this.#unproven ?? this.#absent(blockOf(position)) ?? 'wait';
    const end = Math.min(range.end, isHeld ? last : size);
    const block = blockOf(position);
    if (this.#map.isThere(block)) return { to: Math.min(end, this.#map.rangeOf(block).end), block };
    if (this.#map.isMissing(block)) return this.#absent(block) ?? 'wait';
    const blockEnd = this.#map.rangeOf(block).end;
    for (const writer of this.#writers) {
      if (writer.range.start > position || writer.position <= position) continue;
      return { to: Math.min(end, writer.position, blockEnd), block: undefined };
    }
    return 'wait';
  }

  async take(position: number, to: number, block: number | undefined): Promise<Uint8Array | undefined> {
    try {
      if (block === undefined)
        return await bodyReads.through(() => this.#pread(position, Math.min(to - position, READ_BYTES)));
      const { start, end } = this.#map.rangeOf(block);
      const sum = this.#map.sumOf(block);
      const bytes = await bodyReads.through(() => this.#pread(start, end - start));
      if (isBlock(bytes, sum)) return bytes.subarray(position - start, to - start);
      this.#owner.unreadable('a block of it is not what was stored', undefined);
    } catch (error) {
      this.#owner.unreadable('it can not be read', error);
      if (block === undefined)
        throw new StoreError('what has come of a body could not be read back', { cause: error });
    }
    await this.#lose(block);
    return undefined;
  }

  follow(wake: () => void): () => void {
    this.#users++;
    this.#followers.add(wake);
    return () => {
      if (this.#followers.delete(wake)) this.#leave();
    };
  }

  admit(block: number): Promise<boolean> {
    const { start, end } = this.#map.rangeOf(block);
    return this.#owner.admit(end - start);
  }

  put(bytes: Uint8Array, position: number): Promise<void> {
    return this.#owner.attempt(() => writeAt(this.#owner.file, bytes, position), bytes.byteLength);
  }

  async keep(block: number, sum: number): Promise<void> {
    await this.#owner.note(block, sum);
    if (this.dropped === undefined) this.#map.keep(block, sum);
  }

  moved(): void {
    for (const wake of [...this.#followers]) wake();
  }

  ended(writer: FileWriter, from: number, error: Error): void {
    this.#writers.delete(writer);
    const to = Math.ceil(writer.range.end / BLOCK_BYTES);
    for (let block = from; block < to; block++) if (!this.#map.isThere(block)) this.#map.lose(block);
    if (from < to) this.#failure = { from, to, error };
    this.moved();
    this.#leave();
  }

  /** Why a missing block can't be waited for. */
  #absent(block: number): Error | undefined {
    if (!this.#map.isMissing(block)) return undefined;
    const { from = 0, to = 0, error } = this.#failure ?? {};
    const known = block >= from && block < to ? error : undefined;
    return known ?? new IncompleteError(`the bytes from ${block * BLOCK_BYTES} on are not there`);
  }

  async #lose(block: number): Promise<void> {
    if (!this.#map.isThere(block)) return;
    this.#map.lose(block);
    await this.#owner.note(block, undefined).catch(() => undefined);
  }

  async #pread(position: number, length: number): Promise<Buffer> {
    this.#users++;
    try {
      const bytes = Buffer.allocUnsafeSlow(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await this.#owner.file.read(bytes, at, length - at, position + at);
        if (bytesRead === 0) throw new Error(`the file ends at ${position + at} bytes`);
        at += bytesRead;
      }
      return bytes;
    } finally {
      this.#leave();
    }
  }

  async #commit(proof: Proof): Promise<EntryInfo> {
    try {
      const { info, blocks } = await this.#verify(proof);
      this.#verified = true;
      if (this.isOver) throw new SupersededError('the key was purged while its body was being fetched');
      this.isOver = true;
      await this.#owner.publish(info, blocks).catch(async (error: unknown) => {
        await this.#owner.discard();
        throw error;
      });
      this.moved();
      return info;
    } catch (error) {
      if (!this.#verified && (error as CacheFilterError).code === 'ERR_CACHE_FILTER_INTEGRITY')
        await this.drop(error as Error);
      throw error instanceof CacheFilterError
        ? error
        : new StoreError('the body could not be published', { cause: error });
    }
  }

  async #verify(proof: Proof): Promise<{ info: EntryInfo; blocks: Uint32Array }> {
    if (this.dropped !== undefined) throw this.dropped;
    if (!this.isWhole) throw new IncompleteError('a part of the body is not there yet');
    const declared = proof.digests ?? [];
    const wanted = [...this.#owner.algorithms, ...declared.map(({ algorithm }) => algorithm)];
    const verifier = new Verifier(this.#owner.file.fd, wanted);
    try {
      verifier.advance(this.size);
      const { digests, blocks } = await verifier.digest();
      await this.#compare(blocks);
      checkLength(proof, this.size, this.size);
      checkDigests(proof, digests);
      return { info: { ...this.info, size: this.size, digests }, blocks };
    } finally {
      verifier.close();
    }
  }

  /** @throws StoreError where what is in the file is not what was written to it */
  async #compare(found: Uint32Array): Promise<void> {
    let damaged = 0;
    for (const [block, sum] of found.entries()) {
      if (this.#map.sumOf(block) === sum) continue;
      damaged++;
      await this.#lose(block);
    }
    if (damaged === 0) return;
    this.#owner.unreadable(`${damaged} of its blocks are not what was stored`, undefined);
    throw new StoreError('a part of the body is not what was stored');
  }

  #leave(): void {
    if (--this.#users > 0 || this.#isIdle) return;
    this.#isIdle = true;
    this.#owner.idle();
  }
}
