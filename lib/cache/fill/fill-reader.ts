import type { Readable } from 'node:stream';
import type { BodyEnd, ByteRange, ResponseHead } from '../../http/body.ts';
import type { FillInfo, FillOptions, FillReader, Key } from '../cache.ts';
import type { Follower, Growing } from './growing.ts';
import { GrowingPour } from './growing-pour.ts';
import { GrowingReadable, type ReadStored } from './reader.ts';
import type { Heir, Succession } from './succession.ts';

/** What is known of the entry that a fill is to become. */
export function fillInfo(key: Key, { storedAt = Date.now(), tags = [], version }: FillOptions): FillInfo {
  return { key, storedAt, tags: [...tags], ...(version === undefined ? {} : { version }) };
}

/** One client's view of a fill. */
export class GrowingReader implements FillReader {
  readonly head: ResponseHead;
  readonly info: FillInfo;
  readonly size?: number;
  readonly ended: Promise<BodyEnd>;
  readonly #growing: Growing;
  readonly #readStored: ReadStored;
  readonly #released: () => void;
  /** What it may yet read: all at first, then what follows its latest part. */
  readonly #pin: Follower = { position: 0, wake: () => undefined };
  readonly #unfollow: () => void;
  readonly #succession: Succession;
  readonly #pours = new Set<GrowingPour>();
  #withdraw: () => void = () => undefined;

  constructor(
    growing: Growing,
    readStored: ReadStored,
    {
      head,
      info,
      succession,
      released,
    }: { head: ResponseHead; info: FillInfo; succession: Succession; released: () => void },
  ) {
    this.head = head;
    this.info = info;
    if (growing.size !== undefined) this.size = growing.size;
    this.ended = growing.ended;
    this.#growing = growing;
    this.#readStored = readStored;
    this.#succession = succession;
    this.#released = released;
    this.#unfollow = growing.follow(this.#pin);
  }

  available(from: number): number {
    return Math.max(0, this.#growing.limit - from);
  }

  read(range?: ByteRange): Readable {
    const stream = new GrowingReadable(this.#growing, this.#readStored, range, this.#moved);
    this.#begun(range);
    return stream;
  }

  async pour(range: ByteRange | undefined, take: (piece: Uint8Array) => Promise<void>): Promise<void> {
    const pour = new GrowingPour(this.#growing, this.#readStored, range, this.#moved);
    this.#pours.add(pour);
    this.#begun(range);
    try {
      await pour.run(take);
    } finally {
      this.#pours.delete(pour);
    }
  }

  readonly #moved = (position: number): void => {
    this.#pin.position = position;
  };

  #begun(range: ByteRange | undefined): void {
    // Who reads the whole stands for itself; of several parts, the next one is asked for when this one has ended.
    if (range === undefined) this.#unfollow();
    else {
      this.#moved(range.start);
      this.#growing.moved();
    }
  }

  inherit(heir: Heir): void {
    this.#withdraw();
    this.#withdraw = this.#succession.offer(heir);
  }

  release(): void {
    this.#withdraw();
    this.#unfollow();
    for (const pour of this.#pours) pour.stop();
    this.#released();
  }
}
