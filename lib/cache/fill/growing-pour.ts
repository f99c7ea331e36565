import { StoreError } from '../../errors.ts';
import { fit, giveBack } from '../../fs/lent.ts';
import type { ByteRange } from '../../http/body.ts';
import { bodyReads } from '../read-gate.ts';
import type { Follower, Growing } from './growing.ts';
import { FIRST_BYTES, READ_BYTES, type ReadStored } from './reader.ts';

/** Hands over a piece; resolves when its memory may be used again. */
type Take = (piece: Uint8Array) => Promise<void>;

/**
 * The bytes of a range as they arrive, piece by piece: those of the window as they are, those of the store in memory that is used over
 * and over, the next piece being read while one is taken.
 */
export class GrowingPour implements Follower {
  position: number;
  readonly #growing: Growing;
  readonly #readStored: ReadStored;
  readonly #end: number;
  readonly #moved: (position: number) => void;
  readonly #unfollow: () => void;
  #wake: () => void = () => undefined;
  #stopped = false;

  /** @param moved told how far it has got */
  constructor(
    growing: Growing,
    readStored: ReadStored,
    range: ByteRange | undefined,
    moved: (position: number) => void,
  ) {
    this.#growing = growing;
    this.#readStored = readStored;
    this.position = range?.start ?? 0;
    this.#end = range?.end ?? Number.POSITIVE_INFINITY;
    this.#moved = moved;
    this.#unfollow = growing.follow(this);
  }

  wake(): void {
    this.#wake();
  }

  /** Nobody wants the rest. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  /** @throws what the fill failed with, or `take`; StoreError where the bytes can't be had, or where it was stopped */
  async run(take: Take): Promise<void> {
    const growing = this.#growing;
    const pieces: Buffer[] = [];
    let turn = 0;
    let bytes = FIRST_BYTES;
    let taken: Promise<unknown> = Promise.resolve();
    try {
      while (this.position < this.#end) {
        this.#check();
        if (this.position >= growing.limit) {
          if (growing.end !== undefined) break;
          await taken;
          await this.#more();
        } else if (growing.peek(this.position) !== undefined) {
          await taken;
          taken = this.#takeWindow(take);
        } else if (this.position < growing.stored) {
          turn = 1 - turn;
          const memory = fit(pieces[turn], bytes);
          bytes = READ_BYTES;
          pieces[turn] = memory;
          const piece = await this.#read(memory).finally(() => taken);
          this.#check();
          this.#advance(piece.byteLength);
          taken = take(piece);
        } else {
          // Only where the store was lost, and nobody was known to want these bytes.
          throw new StoreError(`the bytes at ${this.position} were not kept: the store takes no more`);
        }
        // Waited for in the next turn; that it is rejected until then is nobody's surprise.
        taken.catch(() => undefined);
      }
      await taken;
      for (const piece of pieces) giveBack(piece);
    } finally {
      this.#unfollow();
    }
  }

  /** Until there may be more to read than there was. */
  #more(): Promise<void> {
    if (this.#stopped || this.position < this.#growing.limit || this.#growing.end !== undefined)
      return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Several small pieces at a time: they go out in one write. */
  #takeWindow(take: Take): Promise<unknown> {
    const batchEnd = Math.min(this.#end, this.position + READ_BYTES);
    const taken: Promise<void>[] = [];
    while (this.position < batchEnd) {
      const piece = this.#growing.peek(this.position)?.subarray(0, this.#end - this.position);
      if (piece === undefined) break;
      this.#advance(piece.byteLength);
      taken.push(take(piece));
    }
    return Promise.all(taken);
  }

  #read(into: Buffer): Promise<Uint8Array> {
    const { stored, limit } = this.#growing;
    const length = Math.min(into.byteLength, Math.min(stored, limit, this.#end) - this.position);
    return new Promise((resolve, reject) => {
      bodyReads.enter(() => {
        this.#readStored(this.position, length, into)
          .finally(() => bodyReads.leave())
          .then(resolve, reject);
      });
    });
  }

  #advance(bytes: number): void {
    this.position += bytes;
    this.#moved(this.position);
    this.#growing.moved();
  }

  #check(): void {
    if (this.#stopped) throw new StoreError('the body was released while it was read');
    if (this.#growing.failed) throw this.#growing.error ?? new StoreError('the fill failed');
  }
}
