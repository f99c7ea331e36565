import { read } from 'node:fs';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { StoreError } from '../errors.ts';
import type { ByteRange, ResponseHead } from '../http/body.ts';
import type { Entry, EntryInfo } from './cache.ts';
import { READ_BYTES } from './fill/reader.ts';
import { pour } from './pour.ts';
import { bodyReads } from './read-gate.ts';

const pread = promisify(read);

/** What a stored body needs of the cache it is in. */
export interface BodyOwner {
  /** The operating system could not read it. */
  failed(error: Error): void;
  /** Nothing reads it any more; it may be called more than once. */
  released(used: boolean): void;
}

/** A stored body, opened. The file stays readable even when it is unlinked meanwhile. */
export class FileEntry implements Entry {
  readonly head: ResponseHead;
  readonly size: number;
  readonly info: EntryInfo;
  readonly path: string;
  readonly #fd: number;
  readonly #owner: BodyOwner;
  #streams = 0;
  #open = true;
  #used = true;

  constructor(head: ResponseHead, info: EntryInfo, path: string, fd: number, owner: BodyOwner) {
    this.head = head;
    this.size = info.size;
    this.info = info;
    this.path = path;
    this.#fd = fd;
    this.#owner = owner;
  }

  read(range: ByteRange = { start: 0, end: this.size }): Readable {
    this.#streams++;
    return new FileRange(this.#fd, range, {
      failed: (error) => this.#owner.failed(error),
      closed: () => {
        this.#streams--;
        this.#releaseIfUnused();
      },
    });
  }

  async pour(range: ByteRange | undefined, take: (piece: Uint8Array) => Promise<void>): Promise<void> {
    this.#streams++;
    try {
      await pour(this.#fd, range ?? { start: 0, end: this.size }, take, (error) => this.#owner.failed(error));
    } finally {
      this.#streams--;
      this.#releaseIfUnused();
    }
  }

  release(used = true): void {
    if (!this.#open) return;
    this.#open = false;
    this.#used = used;
    this.#releaseIfUnused();
  }

  #releaseIfUnused(): void {
    if (this.#open || this.#streams > 0) return;
    this.#owner.released(this.#used);
  }
}

interface RangeOwner {
  failed(error: Error): void;
  closed(): void;
}

/**
 * A range of a file, in large pieces: the next one is read while the one before is written, as the stream asks for it when it hands
 * one out. A whole file of 256 MiB to a client on the same machine took 99 ms of processor time with pieces of 512 KiB, 97 with 1 MiB,
 * 113 with 256 KiB, 162 with 64 KiB; a bare loop of read and write took 119. Two pieces ahead took 118: where others want the
 * processors too it is done 6 to 18 % sooner, but a busy server is one that has no processor time to spare.
 */
class FileRange extends Readable {
  readonly #fd: number;
  readonly #owner: RangeOwner;
  #position: number;
  readonly #end: number;
  #reading = false;
  #afterRead: (() => void) | undefined;

  constructor(fd: number, { start, end }: ByteRange, owner: RangeOwner) {
    super({ highWaterMark: READ_BYTES });
    this.#fd = fd;
    this.#position = start;
    this.#end = end;
    this.#owner = owner;
  }

  override _read(): void {
    if (this.#position >= this.#end) this.push(null);
    else bodyReads.enter(this.#fetch);
  }

  readonly #fetch = (): void => {
    const length = Math.min(READ_BYTES, this.#end - this.#position);
    this.#reading = true;
    read(this.#fd, Buffer.allocUnsafeSlow(length), 0, length, this.#position, (error, count, buffer) => {
      this.#reading = false;
      bodyReads.leave();
      if (error !== null) this.#owner.failed(error);
      if (this.#afterRead !== undefined) return this.#afterRead();
      if (error !== null)
        return this.destroy(new StoreError('a stored body could not be read', { cause: error }));
      if (count === 0)
        return this.destroy(new StoreError(`a stored body ends at ${this.#position} of ${this.#end} bytes`));
      this.#position += count;
      this.push(buffer.subarray(0, count));
    });
  };

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const done = () => {
      this.#owner.closed();
      callback(error);
    };
    bodyReads.cancel(this.#fetch);
    // A descriptor in use must not be closed: its number would soon be somebody else's.
    if (this.#reading) this.#afterRead = done;
    else done();
  }
}

/** All of a file that has this many bytes. @throws StoreError where it has fewer */
export async function readWhole(fd: number, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await pread(fd, bytes, at, size - at, at);
    if (bytesRead === 0) throw new StoreError(`a stored body ends at ${at} of ${size} bytes`);
    at += bytesRead;
  }
  return bytes;
}
