import type { Readable } from 'node:stream';
import type { BodyEnd, ByteRange, ResponseHead } from '../../http/body.ts';
import type { EntryInfo, FillReader } from '../cache.ts';
import type { Growing } from './growing.ts';
import { GrowingReadable, type ReadStored } from './reader.ts';

/** One client's view of a fill. */
export class GrowingReader implements FillReader {
  readonly head: ResponseHead;
  readonly info: Pick<EntryInfo, 'key' | 'storedAt' | 'tags'>;
  readonly size?: number;
  readonly ended: Promise<BodyEnd>;
  readonly #growing: Growing;
  readonly #readStored: ReadStored;
  readonly #released: () => void;
  /** Until it reads, the beginning is kept for it. */
  readonly #unfollow: () => void;

  constructor(
    growing: Growing,
    readStored: ReadStored,
    { head, info, released }: { head: ResponseHead; info: FillReader['info']; released: () => void },
  ) {
    this.head = head;
    this.info = info;
    if (growing.size !== undefined) this.size = growing.size;
    this.ended = growing.ended;
    this.#growing = growing;
    this.#readStored = readStored;
    this.#released = released;
    this.#unfollow = growing.follow({ position: 0, wake: () => undefined });
  }

  available(from: number): number {
    return Math.max(0, this.#growing.limit - from);
  }

  read(range?: ByteRange): Readable {
    const stream = new GrowingReadable(this.#growing, this.#readStored, range);
    // A single stream stands for itself; several parts are read one after the other.
    if (range === undefined) this.#unfollow();
    return stream;
  }

  release(): void {
    this.#unfollow();
    this.#released();
  }
}
