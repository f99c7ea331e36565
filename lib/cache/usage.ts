/** How long hits are counted in memory before they are written down, in milliseconds. */
const FLUSH_MS = 5_000;

/** Hits that are not written down yet. A process that is killed loses them: statistics are not worth a wait. */
export class Usage {
  readonly #write: (name: string, hits: number) => Promise<void>;
  readonly #hits = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();

  /** @param write adds to the hits of an entry; what it can't write is lost */
  constructor(write: (name: string, hits: number) => Promise<void>) {
    this.#write = write;
  }

  count(name: string): void {
    this.#hits.set(name, (this.#hits.get(name) ?? 0) + 1);
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  /** It was none after all. */
  uncount(name: string): void {
    this.#hits.set(name, this.of(name) - 1);
  }

  /** What is counted, and not written down; below 0 where more has been. */
  of(name: string): number {
    return this.#hits.get(name) ?? 0;
  }

  /** The entry has gone, or another body has taken its place. */
  forget(name: string): void {
    this.#hits.delete(name);
  }

  /** Writes down what was counted so far. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flushing = this.#flushing.then(async () => {
      for (const name of [...this.#hits.keys()]) {
        const hits = this.of(name);
        if (hits === 0) continue;
        await this.#write(name, hits).catch(() => undefined);
        const more = this.of(name) - hits;
        // Forgotten meanwhile, and perhaps counted anew.
        if (more !== 0 && this.#hits.has(name)) this.#hits.set(name, more);
        else this.#hits.delete(name);
      }
    });
    await this.#flushing;
  }
}
