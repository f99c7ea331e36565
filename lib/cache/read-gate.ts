/** How many file operations libuv runs at a time for the whole process. https://docs.libuv.org/en/v1.x/threadpool.html */
export function threadPoolSize(setting: string | undefined = process.env['UV_THREADPOOL_SIZE']): number {
  if (setting === undefined) return 4;
  return Math.min(1024, Math.max(1, Number.parseInt(setting, 10) || 1));
}

/**
 * Lets so many in at a time, in the order they came. Reads of bodies pass through one for all readers that leaves a thread of the
 * pool free: on a slow disk they would otherwise hold up everything that needs one, the look-ups of other entries, name resolution
 * and the files of the application included. With bodies in the page cache it made no difference that could be told from noise
 * (8 readers of 256 MiB, 3 of 4 threads: 0.91 to 1.19 of the speed without).
 */
export class ReadGate {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#free = places;
  }

  /** Calls `start` when there is a place for it, now or later; whoever was let in calls `leave` once. */
  enter(start: () => void): void {
    if (this.#free === 0) {
      this.#waiting.add(start);
      return;
    }
    this.#free--;
    start();
  }

  /** Runs `read` when there is a place for it. */
  async through<T>(read: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => this.enter(resolve));
    try {
      return await read();
    } finally {
      this.leave();
    }
  }

  /** Gives up waiting; whether it was still waiting. */
  cancel(start: () => void): boolean {
    return this.#waiting.delete(start);
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

/** The gate of this process. */
export const bodyReads: ReadGate = new ReadGate(Math.max(1, threadPoolSize() - 1));
