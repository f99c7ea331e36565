/** What must hold of each path, as far as those who asked can know. */

/** A request that is under way. */
export interface Asking {
  path: string;
  /** When it began, in events of the book. */
  since: number;
  /** How often the path was purged, or could have been, by then; and whether somebody was just at it. */
  purges: number;
  purging: boolean;
}

class Page {
  /** An entry is there: it was answered from it, or its commit was acknowledged, and nobody has taken it away since. */
  stored = false;
  pinned = false;
  /** Begun and ended purges. */
  purges = 0;
  purging = 0;
  /** Versions whose head somebody has seen. */
  readonly seen = new Set<number>();
  /** Versions that nobody may get who begins after this event. */
  readonly banned = new Map<number, number>();
}

/** What was promised to clients. */
export class Book {
  /** Whether entries may go for want of room: then only what is pinned has to stay. */
  tight = false;
  readonly faults: string[] = [];
  readonly #pages = new Map<string, Page>();
  #now = 0;

  begin(path: string): Asking {
    const { purges, purging } = this.#page(path);
    return { path, since: ++this.#now, purges, purging: purging > 0 };
  }

  /** A head with this version has come. */
  saw({ path, since }: Asking, version: number): void {
    const page = this.#page(path);
    page.seen.add(version);
    const banned = page.banned.get(version);
    if (banned !== undefined && banned < since) {
      this.fault(
        `${path}: version ${version} was given to a request that began after its purge had been acknowledged`,
      );
    }
  }

  /** It was answered to its end from an entry, or from a fill that has become one by then. */
  found({ path, purges, purging }: Asking): void {
    const page = this.#page(path);
    if (!this.tight && !purging && page.purges === purges && path.startsWith('/keep/')) page.stored = true;
  }

  /** Before it is asked for: from now on nobody knows. */
  purge(path: string): { acknowledged(): void; over(): void } {
    const page = this.#page(path);
    const seen = [...page.seen];
    page.stored = false;
    page.pinned = false;
    page.purges++;
    page.purging++;
    return {
      acknowledged: () => {
        const now = ++this.#now;
        for (const version of seen) page.banned.set(version, page.banned.get(version) ?? now);
      },
      over: () => {
        page.purges++;
        page.purging--;
      },
    };
  }

  /** @param count of how many entries the cache said that they are pinned now */
  pinned({ path, purges, purging }: Asking, count: number): void {
    const page = this.#page(path);
    if (count === 0 || purging || page.purges !== purges || !path.startsWith('/keep/')) return;
    page.stored = true;
    page.pinned = true;
  }

  unpinned(path: string): void {
    const page = this.#page(path);
    page.pinned = false;
    if (this.tight) page.stored = false;
  }

  /** What is not pinned may have gone. */
  squeezed(): void {
    for (const page of this.#pages.values()) if (!page.pinned) page.stored = false;
  }

  /** Another directory: nothing has been promised yet. */
  turn(): void {
    this.#pages.clear();
  }

  /** Paths that have to be there. */
  get stored(): string[] {
    return [...this.#pages].filter(([, { stored }]) => stored).map(([path]) => path);
  }

  get pins(): string[] {
    return [...this.#pages].filter(([, { pinned }]) => pinned).map(([path]) => path);
  }

  fault(what: string): void {
    this.faults.push(what);
  }

  #page(path: string): Page {
    const page = this.#pages.get(path) ?? new Page();
    this.#pages.set(path, page);
    return page;
  }
}
