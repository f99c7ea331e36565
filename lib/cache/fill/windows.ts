/** For what all running fills of this process hold in memory, in bytes: half of it for readers that keep up, half for the store. */
const ALL_BYTES = 64 * 1024 * 1024;

/** Of one fill, for each of the two: at most, however few there are, and at least, however many. */
const MOST_BYTES = 1024 * 1024;
const LEAST_BYTES = 64 * 1024;

/** Whoever holds bytes in memory, and can do with less. */
export interface Window {
  trim(): void;
}

/** One bound for the memory of all fills: the more there are, the less each has. */
export class Windows {
  readonly #allBytes: number;
  readonly #windows = new Set<Window>();

  constructor(allBytes: number = ALL_BYTES) {
    this.#allBytes = allBytes;
  }

  /** What one fill may keep for readers that keep up, and as much again that waits for the store. */
  get share(): number {
    const share = Math.floor(this.#allBytes / 2 / Math.max(1, this.#windows.size));
    return Math.max(LEAST_BYTES, Math.min(MOST_BYTES, share));
  }

  add(window: Window): void {
    const before = this.share;
    this.#windows.add(window);
    if (this.share < before) for (const each of this.#windows) each.trim();
  }

  remove(window: Window): void {
    this.#windows.delete(window);
  }
}

/** Those of this process. */
export const windows: Windows = new Windows();

/** What is kept of a body that has ended, for those who have yet to read its end. */
export const REST_BYTES: number = LEAST_BYTES;
