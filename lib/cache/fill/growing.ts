import type { BodyEnd } from '../../http/body.ts';
import { REST_BYTES, type Window, type Windows, windows } from './windows.ts';

interface Piece {
  start: number;
  bytes: Uint8Array;
}

/** Somebody who reads along. */
export interface Follower {
  /** Where it is. */
  position: number;
  /** There are new bytes, or the end. */
  wake(): void;
}

/**
 * A body while it arrives: its latest bytes in memory, all that came before in the store. Readers at the head are served from the
 * window; those behind read the store, at its speed.
 */
export class Growing implements Window {
  /** Bytes taken from the source. */
  taken = 0;
  /** Bytes that the store has. */
  stored = 0;
  /** Declared length. */
  readonly size: number | undefined;
  readonly ended: Promise<BodyEnd>;
  end: BodyEnd | undefined;
  error: Error | undefined;
  readonly #followers = new Set<Follower>();
  readonly #keepAll: boolean;
  /** Called when a reader has moved on, or left, that a body without a store waits for. */
  onMoved: () => void;
  readonly #windows: Windows;
  /** The store takes no more: what a reader has yet to see is only here. */
  #storeless = false;
  #window: Piece[] = [];
  #holds = false;
  #settle!: (end: BodyEnd) => void;

  /**
   * @param keepAll the window is the store
   * @param moved see `onMoved`
   * @param shared bounds the memory of all fills
   */
  constructor(
    size: number | undefined,
    {
      keepAll = false,
      moved = () => {},
      shared = windows,
    }: { keepAll?: boolean; moved?: () => void; shared?: Windows } = {},
  ) {
    this.size = size;
    this.#keepAll = keepAll;
    this.onMoved = moved;
    this.#windows = shared;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /**
   * How far readers may read. Until the body is verified that is never all of it: with a length the last byte is held back,
   * without one the end.
   */
  get limit(): number {
    if (this.end === 'complete' || this.end === 'superseded') return this.taken;
    return this.size === undefined ? this.taken : Math.min(this.taken, this.size - 1);
  }

  get failed(): boolean {
    return this.end === 'failed' || this.end === 'orphaned';
  }

  /** Bytes that memory holds because nothing else does. */
  get unstored(): number {
    if (this.#storeless) return this.taken - Math.max(this.stored, this.#slowest());
    return this.#keepAll ? 0 : this.taken - this.stored;
  }

  /** Whether the source may go on, rather than wait for the store, or where there is none for the readers. */
  get hasRoom(): boolean {
    return this.unstored < this.#windows.share;
  }

  follow(follower: Follower): () => void {
    this.#followers.add(follower);
    return () => {
      this.#followers.delete(follower);
      // It may have been the one that the others' memory was kept for.
      this.moved();
    };
  }

  take(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    // Where another process writes it, nothing is held here.
    if (!this.#holds) this.#hold();
    this.#window.push({ start: this.taken, bytes });
    this.taken += bytes.byteLength;
    this.#wake();
  }

  advanceStored(to: number): void {
    this.stored = to;
    this.trim();
    this.#wake();
  }

  /** It has become longer in the store, where somebody else writes it. */
  grow(to: number): void {
    if (to <= this.taken) return;
    this.taken = to;
    this.stored = to;
    this.#wake();
  }

  /** A follower has moved on. */
  moved(): void {
    if (!this.#storeless) return;
    this.trim();
    this.onMoved();
  }

  /** From now on nothing more gets into the store. */
  loseStore(): void {
    this.#storeless = true;
    this.trim();
  }

  finish(end: BodyEnd, error?: Error): void {
    if (this.end !== undefined) return;
    this.end = end;
    this.error = error;
    this.#windows.remove(this);
    if (this.failed) this.#window = [];
    this.trim();
    this.#settle(end);
    this.#wake();
  }

  /** Bytes at `position` that are in memory, as far as they may be read; undefined where the store has to be asked. */
  peek(position: number): Uint8Array | undefined {
    const window = this.#window;
    const first = window[0];
    if (first === undefined || position < first.start) return undefined;
    // The last piece that starts at or before the position.
    let low = 0;
    let high = window.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((window[middle] as Piece).start <= position) low = middle;
      else high = middle - 1;
    }
    const { start, bytes } = window[low] as Piece;
    const piece = bytes.subarray(position - start, Math.max(position - start, this.limit - start));
    return piece.byteLength > 0 ? piece : undefined;
  }

  /** Lets go of what need not be in memory. */
  trim(): void {
    if (this.#keepAll && !this.#storeless) return;
    const window = this.#window;
    const disposable = this.#storeless ? Math.max(this.stored, this.#slowest()) : this.stored;
    const wanted = this.#storeless ? this.taken : this.taken - this.#kept;
    let count = 0;
    while (count < window.length) {
      const { start, bytes } = window[count] as Piece;
      if (start + bytes.byteLength > Math.min(disposable, wanted)) break;
      count++;
    }
    if (count > 0) window.splice(0, count);
  }

  #hold(): void {
    this.#holds = true;
    if (!this.#keepAll) this.#windows.add(this);
  }

  /** Bytes behind the head that are kept for readers that keep up. */
  get #kept(): number {
    return this.end === undefined ? this.#windows.share : REST_BYTES;
  }

  #slowest(): number {
    let slowest = this.taken;
    for (const { position } of this.#followers) slowest = Math.min(slowest, position);
    return slowest;
  }

  #wake(): void {
    for (const follower of this.#followers) follower.wake();
  }
}
