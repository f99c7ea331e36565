import { Readable } from 'node:stream';
import type { ByteRange, ResponseHead } from '../http/body.ts';
import type { Entry, EntryInfo } from './cache.ts';

/** A body in memory. Its bytes are shared by all who read it, and never change. */
export class MemoryEntry implements Entry {
  readonly head: ResponseHead;
  readonly size: number;
  readonly info: EntryInfo;
  readonly bytes: Buffer;
  readonly path?: string;
  readonly #released: (used: boolean) => void;
  #open = true;

  /** @param released nobody holds it any more; `used`: somebody was given something of it */
  constructor(
    head: ResponseHead,
    info: EntryInfo,
    bytes: Buffer,
    released: (used: boolean) => void,
    path?: string,
  ) {
    this.head = head;
    this.size = info.size;
    this.info = info;
    this.bytes = bytes;
    this.#released = released;
    if (path !== undefined) this.path = path;
  }

  read({ start, end }: ByteRange = { start: 0, end: this.size }): Readable {
    return Readable.from([this.bytes.subarray(start, end)], { objectMode: false });
  }

  release(used = true): void {
    if (!this.#open) return;
    this.#open = false;
    this.#released(used);
  }
}
