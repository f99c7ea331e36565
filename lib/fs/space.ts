import * as fs from 'node:fs/promises';

/** What is asked of a file system; `fs.statfs` says it. */
export type StatFs = (path: string) => Promise<{ bsize: number; blocks: number; bavail: number }>;

/** How long a measurement is good for, in milliseconds. */
const FRESH_MS = 1_000;

/** What is left free of a file system of so many bytes, unless said otherwise. */
export function defaultFloor(totalBytes: number): number {
  return Math.max(2 ** 30, Math.ceil(0.05 * totalBytes));
}

/** The free space of the file system that a directory is on, of which some is to be left. */
export class Space {
  readonly #path: string;
  readonly #minFreeBytes: number | undefined;
  readonly #statfs: StatFs;
  #free = Number.POSITIVE_INFINITY;
  #floor = 0;
  #measuredAt = Number.NEGATIVE_INFINITY;
  #measuring: Promise<void> | undefined;

  /** @param minFreeBytes 0: no floor; undefined: the larger of 1 GiB and 5 % of the file system */
  constructor(path: string, minFreeBytes: number | undefined, statfs: StatFs = (of) => fs.statfs(of)) {
    this.#path = path;
    this.#minFreeBytes = minFreeBytes;
    this.#statfs = statfs;
  }

  /** How many bytes are wanting for so many more to be written; 0 or less: they fit. Where nothing can be learned, all fits. */
  async missing(bytes: number): Promise<number> {
    if (this.#minFreeBytes === 0) return 0;
    if (performance.now() - this.#measuredAt >= FRESH_MS) {
      this.#measuring ??= this.#measure().finally(() => {
        this.#measuring = undefined;
      });
      await this.#measuring;
    }
    return this.#floor + bytes - this.#free;
  }

  /** So many bytes were written since, or, below 0, removed. */
  wrote(bytes: number): void {
    this.#free -= bytes;
  }

  async #measure(): Promise<void> {
    try {
      const { bsize, blocks, bavail } = await this.#statfs(this.#path);
      this.#free = bavail * bsize;
      this.#floor = this.#minFreeBytes ?? defaultFloor(blocks * bsize);
    } catch {
      this.#free = Number.POSITIVE_INFINITY;
    }
    this.#measuredAt = performance.now();
  }
}
