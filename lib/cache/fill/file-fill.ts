import { read as readFile, writev } from 'node:fs';
import { promisify } from 'node:util';
import {
  CacheFilterError,
  IncompleteError,
  IntegrityError,
  StoreError,
  SupersededError,
} from '../../errors.ts';
import type { ResponseHead } from '../../http/body.ts';
import type { Digest } from '../../http/digest.ts';
import type { EntryInfo, FillInfo, FillOptions, FillReader, Proof, RunningFill } from '../cache.ts';
import type { Wreck } from '../invalid.ts';
import { inheritedClaim, type Orphan } from './continuation.ts';
import type { FillOwner } from './fill-owner.ts';
import { fillInfo, GrowingReader } from './fill-reader.ts';
import { Growing } from './growing.ts';
import { belated, checkDigests, checkLength, tooSmall } from './proof.ts';
import { Readers } from './readers.ts';
import { Succession } from './succession.ts';
import { Unwritten } from './unwritten.ts';
import { Verifier } from './verify.ts';

const pread = promisify(readFile);

/** A body on its way to disk. */
export class FileFill implements Orphan {
  readonly #owner: FillOwner;
  readonly #growing: Growing;
  readonly #verifier: Verifier;
  readonly #info: FillInfo;
  readonly #succession: Succession;
  readonly #readers: Readers;
  readonly #unwritten = new Unwritten();
  #storing: Promise<void> | undefined;
  #storeError: StoreError | undefined;
  /** Digests of the whole body, once they are known. */
  #found: Digest[] = [];
  #waiting: (() => void)[] = [];
  /** The writer, and each reader. */
  #users = 1;
  #over = false;

  /** @param before what is in the file already, with those who read it and those who would go on with it */
  constructor(owner: FillOwner, before?: { growing: Growing; succession: Succession }) {
    const { key, options } = owner;
    this.#owner = owner;
    this.#growing = before?.growing ?? new Growing(options.size);
    this.#growing.onMoved = () => this.#progress();
    this.#succession = before?.succession ?? new Succession();
    this.#verifier = new Verifier(owner.file.fd, options.algorithms ?? []);
    this.#verifier.advance(this.#growing.stored);
    this.#info = fillInfo(key, options);
    this.#readers = new Readers(owner.elsewhere);
  }

  get head(): ResponseHead {
    return this.#owner.head;
  }

  get options(): FillOptions {
    return this.#owner.options;
  }

  get bytes(): number {
    return this.#growing.taken;
  }

  get over(): boolean {
    return this.#over;
  }

  /** As it is told to others. */
  get running(): RunningFill {
    const { size, taken } = this.#growing;
    return { ...this.#info, ...(size === undefined ? {} : { size }), bytes: taken };
  }

  write(chunk: Uint8Array): boolean {
    if (this.#over || chunk.byteLength === 0) return this.#over || this.#hasRoom();
    this.#growing.take(chunk);
    if (this.#storeError !== undefined) this.#verifier.feed(chunk);
    else {
      this.#unwritten.push(chunk);
      this.#storing ??= this.#store();
    }
    return this.#hasRoom();
  }

  async drained(): Promise<void> {
    while (!this.#over && !this.#hasRoom()) await this.#progressed();
  }

  /** A reader for somebody who comes along; undefined where it is over, and its file perhaps closed. */
  join(): FillReader | undefined {
    return this.#over ? undefined : this.reader();
  }

  reader(): FillReader {
    this.#users++;
    const leave = this.#readers.enter();
    let released = false;
    return new GrowingReader(this.#growing, (...args) => this.read(...args), {
      head: this.#owner.head,
      info: this.#info,
      succession: this.#succession,
      released: () => {
        if (released) return;
        released = true;
        void this.#leave();
        leave();
      },
    });
  }

  get readers(): number {
    return this.#readers.count;
  }

  onDeserted(deserted: () => void): void {
    this.#readers.onDeserted(deserted);
  }

  get refused(): StoreError | undefined {
    return this.#storeError;
  }

  async commit(proof: Proof): Promise<EntryInfo> {
    try {
      const { info, blocks } = await this.#verify(proof);
      if (this.#storeError !== undefined) {
        // Verified all the same, so its readers may have it to the end.
        if (this.#growing.stored === info.size) await this.#owner.vouch(info);
        this.#finish('complete');
        throw this.#storeError;
      }
      try {
        await this.#owner.publish(info, blocks);
      } catch (error) {
        this.#finish(error instanceof SupersededError ? 'superseded' : 'complete');
        throw error;
      }
      this.#finish('complete');
      return info;
    } catch (error) {
      this.#finish('failed', error as Error);
      await this.#owner.discard(
        error as Error,
        error instanceof IntegrityError ? this.#wreck(error, proof) : undefined,
      );
      throw error instanceof CacheFilterError
        ? error
        : new StoreError('the body could not be published', { cause: error });
    } finally {
      await this.#leave();
    }
  }

  async abort(reason: Error): Promise<void> {
    if (this.#over) return;
    this.#finish('failed', reason);
    // What is being written at this moment is part of it.
    if (reason instanceof IncompleteError) await this.#storing;
    await this.#owner.discard(
      reason,
      reason instanceof IncompleteError ? this.#wreck(reason, {}) : undefined,
    );
    await this.#leave();
  }

  async orphan(reason: Error): Promise<void> {
    if (this.#over) return;
    const heir = this.#storeError === undefined ? this.#succession.next() : undefined;
    if (heir === undefined) await this.abort(reason);
    else heir(inheritedClaim(this, reason));
  }

  async matches(position: number, bytes: Uint8Array): Promise<boolean> {
    const end = position + bytes.byteLength;
    while (this.#growing.stored < end) {
      this.#unwritten.hurry();
      if (this.#over || this.#storeError !== undefined) return false;
      await this.#progressed();
    }
    for (let at = position; at < end; ) {
      const piece = await this.read(at, end - at);
      const known = bytes.subarray(at - position, at - position + piece.byteLength);
      if (Buffer.compare(known, piece) !== 0) return false;
      at += piece.byteLength;
    }
    return true;
  }

  async #verify(proof: Proof): Promise<{ info: EntryInfo; blocks: Uint32Array }> {
    const { taken } = this.#growing;
    this.#unwritten.hurry();
    while (this.#storeError === undefined && this.#growing.stored < taken) await this.#progressed();
    checkLength(proof, this.#growing.size, taken);
    const { digests: found, blocks } = await this.#verifier.digest();
    const more = belated(proof, found);
    if (more.length > 0 && this.#storeError === undefined) found.push(...(await this.#verifier.again(more)));
    this.#found = found;
    checkDigests(proof, found);
    this.#storeError ??= tooSmall(taken, this.#owner.options);
    return { info: { ...this.#info, size: taken, digests: found }, blocks };
  }

  /** Undefined where it is not all on disk: then it is the disk that failed, and needs the room. */
  #wreck(why: Error, { length = this.#growing.size, digests = [] }: Proof): Wreck | undefined {
    if (this.#storeError !== undefined) return undefined;
    const expected = { ...(length === undefined ? {} : { length }), digests };
    return { why, size: this.#growing.stored, expected, digests: this.#found };
  }

  /** Writes what is pending, in as few and as large writes as there is. */
  async #store(): Promise<void> {
    try {
      while (!this.#unwritten.isEmpty && this.#storeError === undefined && !this.#over) {
        const batch = await this.#unwritten.next();
        if (this.#over) break;
        const bytes = batch.reduce((sum, { byteLength }) => sum + byteLength, 0);
        await this.#owner.grow(this.#growing.stored + bytes);
        const rest = Math.max(bytes, (this.#growing.size ?? 0) - this.#growing.stored);
        await this.#owner.attempt(() => this.#writeAll(batch), rest);
        this.#unwritten.written(batch);
        this.#growing.advanceStored(this.#growing.stored + bytes);
        this.#verifier.advance(this.#growing.stored);
        this.#progress();
      }
    } catch (error) {
      this.#loseStore(error as Error);
    } finally {
      this.#storing = undefined;
    }
  }

  async #writeAll(batch: readonly Uint8Array[]): Promise<void> {
    let position = this.#growing.stored;
    let rest = [...batch];
    while (rest.length > 0) {
      let written = await new Promise<number>((resolve, reject) => {
        writev(this.#owner.file.fd, rest, position, (error, count) =>
          error === null ? resolve(count) : reject(error),
        );
      });
      if (written === 0) throw new StoreError('the file takes no more bytes');
      position += written;
      // A disk that fills up takes a part first.
      while (written > 0) {
        const [first] = rest as [Uint8Array];
        if (first.byteLength > written) {
          rest[0] = first.subarray(written);
          written = 0;
        } else {
          written -= first.byteLength;
          rest = rest.slice(1);
        }
      }
    }
  }

  /** The disk gave out: what is in the file is read out, the rest goes from memory at the pace of the slowest reader. */
  #loseStore(error: Error): void {
    this.#storeError =
      error instanceof StoreError
        ? error
        : new StoreError('the cache directory could not be written', { cause: error });
    for (const chunk of this.#unwritten.drop()) this.#verifier.feed(chunk);
    this.#growing.loseStore();
    this.#owner.unjoinable();
    this.#owner.storeLost();
    this.#readers.look();
    this.#progress();
  }

  async read(
    position: number,
    length: number,
    into: Buffer = Buffer.allocUnsafeSlow(length),
  ): Promise<Uint8Array> {
    // A descriptor in use must not be closed: its number would soon be somebody else's.
    this.#users++;
    try {
      const { bytesRead, buffer } = await pread(this.#owner.file.fd, into, 0, length, position);
      if (bytesRead === 0) throw new StoreError(`the file of a fill ends at ${position} bytes`);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      this.#owner.unreadable(error);
      throw error;
    } finally {
      void this.#leave();
    }
  }

  #hasRoom(): boolean {
    return this.#growing.hasRoom;
  }

  #progress(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #progressed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #finish(end: 'complete' | 'failed' | 'superseded', error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#growing.finish(end, error);
    this.#verifier.close();
    this.#unwritten.drop();
    this.#readers.close();
    this.#owner.unjoinable();
    this.#owner.ended();
    this.#progress();
  }

  /** One more user of its file, until the returned function is called. */
  hold(): () => void {
    this.#users++;
    return () => void this.#leave();
  }

  async #leave(): Promise<void> {
    if (--this.#users > 0) return;
    await this.#storing;
    await this.#owner.closed();
  }
}
