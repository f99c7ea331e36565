import { read } from 'node:fs';
import { StoreError } from '../errors.ts';
import type { ByteRange } from '../http/body.ts';
import { type BodyCheck, NOT_WHAT_WAS_STORED, whyOf } from './body-check.ts';
import { READ_BYTES } from './fill/reader.ts';
import { bodyReads } from './read-gate.ts';

const NOTHING = Buffer.alloc(0);

/**
 * The open file of a stored body. Its readers get what was stored, or they fail: a block that is not known to be good is read whole, and
 * checked, before any byte of it is handed out. A body that can't be read, or is not what was stored, is given up.
 */
export class StoredBody {
  readonly #fd: number;
  readonly #check: BodyCheck | undefined;
  readonly #giveUp: (why: string, error: unknown) => Promise<void>;
  /** A block that was read and checked before anybody asked for its bytes. */
  #ahead: { start: number; bytes: Buffer } | undefined;

  /**
   * @param check undefined: its bytes are taken as they are
   * @param giveUp takes the entry away. Never rejects; it may be called more than once
   */
  constructor(
    fd: number,
    check: BodyCheck | undefined,
    giveUp: (why: string, error: unknown) => Promise<void>,
  ) {
    this.#fd = fd;
    this.#check = check;
    this.#giveUp = giveUp;
  }

  /** Checks what comes first of a range; undefined where there is nothing to wait for. @throws StoreError */
  prepare(range: ByteRange): Promise<void> | undefined {
    const check = this.#check;
    if (check === undefined || range.start >= range.end || check.isGood(range)) return undefined;
    return this.#prepare(check, range.start);
  }

  /** What has to be waited for before blocks of it can be read; undefined: nothing. @throws StoreError */
  ready(): Promise<void> | undefined {
    const ready = this.#check?.ready();
    return ready?.catch((error: unknown) => this.lost(error));
  }

  /** How much memory `read` makes use of at a position. */
  wants(position: number, end: number): number {
    const length = Math.min(READ_BYTES, end - position);
    const check = this.#check;
    if (check === undefined || check.wasGood({ start: position, end: position + length })) return length;
    const block = check.blockAt(position);
    return block.end - block.start;
  }

  /**
   * Bytes from a position on, at least one, at most up to `end`; in `piece` where that is large enough. To be called within the gate for
   * reads, and after `ready`. @throws StoreError; whoever gets it tells `lost`
   */
  async read(position: number, end: number, piece: Buffer): Promise<Uint8Array> {
    const { start, bytes } = this.#ahead ?? {};
    if (start !== undefined && bytes !== undefined && position >= start && position < start + bytes.length) {
      this.#ahead = undefined;
      return bytes.subarray(position - start, end - start);
    }
    const length = Math.min(READ_BYTES, piece.byteLength, end - position);
    const range = { start: position, end: position + length };
    const check = this.#check;
    if (check === undefined || check.wasGood(range)) {
      const count = await this.#pread(piece, 0, length, position);
      // Looked at afterwards: nobody has written to it before it was read.
      if (check === undefined || check.isGood(range)) return piece.subarray(0, count);
    }
    const block = check.blockAt(position);
    return (await this.#readBlock(check, block, piece)).subarray(position - block.start, end - block.start);
  }

  /** Gives it up because of an error, and throws that. */
  async lost(error: unknown): Promise<never> {
    await this.#giveUp(whyOf(error as Error), error);
    throw error;
  }

  async #prepare(check: BodyCheck, position: number): Promise<void> {
    await this.ready();
    const block = check.blockAt(position);
    // All of it may have been verified just now.
    if (check.isGood(block)) return;
    const reading = () => this.#readBlock(check, block, NOTHING);
    const bytes = await bodyReads.through(reading).catch((error: unknown) => this.lost(error));
    this.#ahead = { start: block.start, bytes };
  }

  /** All of a block. @throws StoreError where it is not what was stored */
  async #readBlock(check: BodyCheck, { start, end }: ByteRange, piece: Buffer): Promise<Buffer> {
    const length = end - start;
    const bytes = piece.byteLength < length ? Buffer.allocUnsafeSlow(length) : piece.subarray(0, length);
    const isGood = check.checking(start);
    for (let at = 0; at < length; ) at += await this.#pread(bytes, at, length - at, start + at);
    if (!isGood(bytes)) throw new StoreError(NOT_WHAT_WAS_STORED);
    return bytes;
  }

  #pread(piece: Buffer, offset: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#fd, piece, offset, length, position, (error, count) => {
        if (error !== null) reject(new StoreError('a stored body could not be read', { cause: error }));
        else if (count === 0) reject(new StoreError(`a stored body ends at ${position} bytes`));
        else resolve(count);
      });
    });
  }
}
