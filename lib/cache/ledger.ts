import { LRUCache } from 'lru-cache';

/** An entry as the budget sees it. */
interface Account {
  /** Charged for it, in bytes on disk. */
  bytes: number;
  /** How many readers hold it; it can't be evicted meanwhile. */
  held: number;
  /** Which of the bodies that ever had this name. */
  body: string;
}

/** Removes an entry's files; called once it is out of the ledger. */
export type Remove = (name: string) => Promise<unknown>;

/** What takes room without being an entry, and goes before any of them. */
export interface Expendable {
  /** Charged to the budget. */
  readonly bytes: number;
  /** Takes so many bytes, or all, off its account; `gone` resolves when they have left the disk. Neither throws nor rejects. */
  free(bytes: number): { bytes: number; gone: Promise<unknown> };
}

const NOTHING: Expendable = { bytes: 0, free: () => ({ bytes: 0, gone: Promise.resolve() }) };

/** Bytes and recency: what is charged to the budget, and who goes first when room is needed. */
export class Ledger {
  readonly maxBytes: number;
  readonly #remove: Remove;
  readonly #expendable: Expendable;
  // lru-cache wants a bound of its own; ours is kept here, where it can spare what is held and wait for the disk.
  readonly #accounts = new LRUCache<string, Account>({
    maxSize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: ({ bytes }) => bytes + 1,
  });
  #bytes = 0;
  /** For running fills. */
  #reserved = 0;
  /** Of entries that are being read. */
  #held = 0;
  /** Of entries whose files are on their way out. */
  #leaving = 0;
  readonly #removals = new Map<string, Promise<unknown>>();
  /** Of what was expendable, on its way out. */
  readonly #expenses = new Set<Promise<unknown>>();
  evictions = 0;

  constructor(maxBytes: number, remove: Remove, expendable: Expendable = NOTHING) {
    this.maxBytes = maxBytes;
    this.#remove = remove;
    this.#expendable = expendable;
  }

  get entries(): number {
    return this.#accounts.size;
  }

  /** Charged in all, reservations included. */
  get bytes(): number {
    return this.#bytes + this.#reserved + this.#expendable.bytes + this.#leaving;
  }

  /** Records an entry as the most recently used; one of the same name is replaced. */
  add(name: string, bytes: number, body = ''): void {
    this.drop(name);
    this.#bytes += bytes;
    this.#accounts.set(name, { bytes, held: 0, body });
  }

  has(name: string): boolean {
    return this.#accounts.has(name);
  }

  /** Which body the account is of. */
  bodyOf(name: string): string | undefined {
    return this.#accounts.peek(name)?.body;
  }

  /** Records entries, least recently used first, as less recently used than all that it knows of already. */
  addOlder(entries: Iterable<{ name: string; bytes: number; body?: string }>): void {
    const newer = [...this.#accounts.rkeys()];
    for (const { name, bytes, body } of entries) if (!this.has(name)) this.add(name, bytes, body);
    for (const name of newer) this.touch(name);
  }

  /** Marks an entry as just used. */
  touch(name: string): void {
    this.#accounts.get(name);
  }

  /** Resolves when no files of this name are on their way out. */
  async left(name: string): Promise<void> {
    await this.#removals.get(name);
  }

  /** Takes an entry out, because its files have gone. `body`: only if it is still the account of this one. */
  drop(name: string, body?: string): void {
    const account = this.#accounts.peek(name);
    if (account === undefined || (body !== undefined && account.body !== body)) return;
    this.#accounts.delete(name);
    this.#bytes -= account.bytes;
    if (account.held > 0) this.#held -= account.bytes;
  }

  /** Keeps an entry from being evicted until the returned function is called. */
  hold(name: string): () => void {
    const account = this.#accounts.peek(name);
    if (account === undefined) return () => undefined;
    if (account.held++ === 0) this.#held += account.bytes;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      if (--account.held === 0 && this.#accounts.peek(name) === account) this.#held -= account.bytes;
    };
  }

  /** Sets bytes aside for a fill, making room as needed. Resolves to whether they could be had. */
  async reserve(bytes: number): Promise<boolean> {
    if (bytes > this.maxBytes - this.#reserved - this.#held) return false;
    this.#reserved += bytes;
    await this.evict(this.maxBytes);
    if (this.#bytes + this.#reserved + this.#expendable.bytes <= this.maxBytes) return true;
    this.#reserved -= bytes;
    return false;
  }

  unreserve(bytes: number): void {
    this.#reserved -= bytes;
  }

  /**
   * Removes what is expendable, then the least recently used, but none that is held, until at most `toBytes` are charged; waits until
   * they have gone.
   */
  async evict(toBytes: number): Promise<{ entries: number; bytes: number }> {
    const removed = { entries: 0, bytes: this.#expend(toBytes) };
    for (const name of [...this.#overdue(toBytes)]) {
      const bytes = this.#accounts.peek(name)?.bytes ?? 0;
      this.drop(name);
      removed.entries++;
      removed.bytes += bytes;
      this.#leaving += bytes;
      const removal: Promise<unknown> = this.#remove(name)
        .catch(() => undefined)
        .finally(() => {
          this.#leaving -= bytes;
          if (this.#removals.get(name) === removal) this.#removals.delete(name);
        });
      this.#removals.set(name, removal);
    }
    this.evictions += removed.entries;
    await Promise.all([...this.#removals.values(), ...this.#expenses]);
    return removed;
  }

  /** Bytes that are freed, without an entry having to go. */
  #expend(toBytes: number): number {
    const excess = this.#bytes + this.#reserved + this.#expendable.bytes - toBytes;
    if (excess <= 0 || this.#expendable.bytes === 0) return 0;
    const { bytes, gone } = this.#expendable.free(excess);
    this.#leaving += bytes;
    const removal: Promise<unknown> = gone.finally(() => {
      this.#leaving -= bytes;
      this.#expenses.delete(removal);
    });
    this.#expenses.add(removal);
    return bytes;
  }

  *#overdue(toBytes: number): Generator<string> {
    let excess = this.#bytes + this.#reserved + this.#expendable.bytes - toBytes;
    for (const name of this.#accounts.rkeys()) {
      if (excess <= 0) return;
      const account = this.#accounts.peek(name);
      if (account === undefined || account.held > 0) continue;
      excess -= account.bytes;
      yield name;
    }
  }
}
