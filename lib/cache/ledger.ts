import { LRUCache } from 'lru-cache';
import type { Removed } from './cache.ts';
import { type Expendable, NOTHING } from './expendable.ts';
import { FreeSpace, type SpaceOnDisk } from './free-space.ts';

/** An entry as the budget sees it. */
interface Account {
  /** Charged for it, in bytes on disk. */
  bytes: number;
  /** How many readers hold it; it can't be evicted meanwhile. */
  held: number;
  /** It is neither evicted nor expires. */
  pinned: boolean;
  /** Milliseconds since the epoch. */
  usedAt: number;
  /** Which of the bodies that ever had this name. */
  body: string;
}

/** What is known of an entry that was stored before. */
export interface Older {
  name: string;
  bytes: number;
  body?: string;
  usedAt?: number;
  pinned?: boolean;
}

/** Why an entry goes, what it was charged with, and which body that was. */
export interface Removal {
  why: 'evict' | 'expire';
  bytes: number;
  body: string;
}

/** Removes an entry's files; called once it is out of the ledger. 'pinned': it turned out to be, and stays. */
export type Remove = (name: string, removal: Removal) => Promise<unknown>;

/** Bytes and recency: what is charged to the budget, and who goes first when room is needed. */
export class Ledger {
  readonly maxBytes: number;
  readonly #remove: Remove;
  readonly #expendable: Expendable;
  readonly #space: FreeSpace;
  // lru-cache wants a bound of its own; ours is kept here, where it can spare what is held and wait for the disk.
  readonly #accounts = new LRUCache<string, Account>({
    maxSize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: ({ bytes }) => bytes + 1,
  });
  #bytes = 0;
  #reserved = 0;
  /** Of entries that are being read, or are pinned. */
  #fixed = 0;
  /** Of files that are on their way out. */
  #leaving = 0;
  /** Of files that are neither entries nor fills, by what they are. */
  readonly #besides = new Map<string, number>();
  readonly #removals = new Map<string, Promise<unknown>>();
  /** Of what was expendable, on its way out. */
  readonly #expenses = new Set<Promise<unknown>>();
  evictions = 0;
  expired = 0;
  pinned = 0;

  /**
   * @param expendable goes before any entry
   * @param space the free space of the file system that it is all on
   */
  constructor(
    maxBytes: number,
    remove: Remove,
    { expendable = NOTHING, space }: { expendable?: Expendable; space?: SpaceOnDisk } = {},
  ) {
    this.maxBytes = maxBytes;
    this.#remove = remove;
    this.#expendable = expendable;
    this.#space = new FreeSpace(space, this);
  }

  get entries(): number {
    return this.#accounts.size;
  }

  /** Charged in all, reservations included. */
  get bytes(): number {
    return this.#charged + this.#leaving;
  }

  /** Set aside for fills. */
  get reserved(): number {
    return this.#reserved;
  }

  /** As much as could be removed at once. */
  get removable(): number {
    return this.#bytes - this.#fixed + this.#expendable.bytes;
  }

  get #charged(): number {
    let charged = this.#bytes + this.#expendable.bytes + this.#reserved;
    for (const bytes of this.#besides.values()) charged += bytes;
    return charged;
  }

  /** Records an entry as the most recently used; one of the same name is replaced, and its pin kept. */
  add(name: string, bytes: number, body = '', older: Pick<Older, 'usedAt' | 'pinned'> = {}): void {
    const { usedAt = Date.now(), pinned = false } = older;
    const before = this.isPinned(name);
    this.drop(name);
    this.#bytes += bytes;
    this.#accounts.set(name, { bytes, held: 0, pinned: false, usedAt, body });
    this.pin(name, pinned || before);
  }

  has(name: string): boolean {
    return this.#accounts.has(name);
  }

  /** Which body the account is of. */
  bodyOf(name: string): string | undefined {
    return this.#accounts.peek(name)?.body;
  }

  /** When it was last used, as far as this process knows; in milliseconds since the epoch. */
  usedAt(name: string): number | undefined {
    return this.#accounts.peek(name)?.usedAt;
  }

  /** Records entries, least recently used first, as less recently used than all that it knows of already. */
  addOlder(entries: Iterable<Older>): void {
    const newer = [...this.#accounts.rkeys()];
    for (const { name, bytes, body, ...rest } of entries) {
      if (!this.has(name)) this.add(name, bytes, body, rest);
    }
    for (const name of newer) this.#accounts.get(name);
  }

  /** Marks an entry as just used. */
  touch(name: string, usedAt: number = Date.now()): void {
    const account = this.#accounts.get(name);
    if (account !== undefined) account.usedAt = usedAt;
  }

  /** Charges bytes that belong to no entry; the last figure counts. */
  charge(what: string, bytes: number): void {
    this.#besides.set(what, bytes);
  }

  pin(name: string, on: boolean): void {
    const account = this.#accounts.peek(name);
    if (account === undefined || account.pinned === on) return;
    const before = isFixed(account);
    account.pinned = on;
    this.pinned += on ? 1 : -1;
    this.#refix(account, before);
  }

  isPinned(name: string): boolean {
    return this.#accounts.peek(name)?.pinned ?? false;
  }

  pins(): string[] {
    return [...this.#accounts.keys()].filter((name) => this.isPinned(name));
  }

  /** Resolves when no files of this name are on their way out. */
  async left(name: string): Promise<void> {
    await this.#removals.get(name);
  }

  /** Takes an entry out, because its files have gone. `body`: only if it is still the account of this one. */
  drop(name: string, body?: string): void {
    const account = this.#accounts.peek(name);
    if (account === undefined || (body !== undefined && account.body !== body)) return;
    this.#delete(name, account);
    this.#space.wrote(-account.bytes);
  }

  /** Takes all entries out: what is there has to be found anew. */
  reset(): void {
    for (const name of [...this.#accounts.keys()]) this.drop(name);
  }

  /** Keeps an entry from being evicted until the returned function is called. */
  hold(name: string): () => void {
    const account = this.#accounts.peek(name);
    if (account === undefined) return () => undefined;
    const before = isFixed(account);
    account.held++;
    this.#refix(account, before);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      account.held--;
      if (this.#accounts.peek(name) === account) this.#refix(account, true);
    };
  }

  /** Sets bytes aside for a fill, making room as needed. Resolves to whether they could be had. */
  async reserve(bytes: number): Promise<boolean> {
    if (bytes > this.maxBytes - (this.#charged - this.removable)) return false;
    this.#reserved += bytes;
    await this.evict(this.maxBytes);
    if (this.#charged <= this.maxBytes && (await this.hasSpace())) return true;
    this.#reserved -= bytes;
    return false;
  }

  unreserve(bytes: number): void {
    this.#reserved -= bytes;
  }

  /**
   * So much of what is reserved need not be found on the disk any more; below 0, it has gone out of the reservations.
   * @param written of that, how much has just been written
   */
  settle(bytes: number, written = 0): void {
    this.#space.settle(bytes);
    this.#space.wrote(written);
  }

  /** Whether the file system has room for all that is promised to fills, making some as needed. */
  hasSpace(): Promise<boolean> {
    return this.#space.suffices();
  }

  /** Removes so many bytes more than have to go; resolves to how many went. */
  async clear(bytes: number): Promise<number> {
    return (await this.evict(this.#charged - bytes)).bytes;
  }

  /**
   * Removes what is expendable, then the least recently used, but none that is held or pinned, until at most `toBytes` are charged;
   * waits until they have gone.
   */
  async evict(toBytes: number): Promise<Removed> {
    const removed = { entries: 0, bytes: 0 };
    for (let again = true; again; ) {
      const before = this.pinned;
      removed.bytes += this.#expend(toBytes);
      const gone = this.#take([...this.#overdue(toBytes)], 'evict');
      await Promise.all([...this.#removals.values(), ...this.#expenses]);
      const { entries, bytes } = await gone;
      removed.entries += entries;
      removed.bytes += bytes;
      // Some turned out to be pinned: others have to go.
      again = this.pinned > before;
    }
    return removed;
  }

  /**
   * Removes what was last used before this time, least recently used first, up to the first that was used since.
   * @param lastUse when somebody else has used it, in milliseconds since the epoch; undefined: never
   */
  async expire(before: number, lastUse: (name: string) => Promise<number | undefined>): Promise<Removed> {
    const idle = (account: Account | undefined): account is Account =>
      account !== undefined && !isFixed(account) && account.usedAt < before;
    const removed = { entries: 0, bytes: 0 };
    for (const name of [...this.#accounts.rkeys()]) {
      const account = this.#accounts.peek(name);
      if (account !== undefined && account.usedAt >= before) break;
      if (!idle(account)) continue;
      const usedAt = (await lastUse(name)) ?? 0;
      if (!idle(this.#accounts.peek(name))) continue;
      if (usedAt >= before) {
        this.touch(name, usedAt);
        continue;
      }
      const { entries, bytes } = await this.#take([name], 'expire');
      removed.entries += entries;
      removed.bytes += bytes;
    }
    return removed;
  }

  async #take(names: readonly string[], why: Removal['why']): Promise<Removed> {
    const removed = { entries: 0, bytes: 0 };
    await Promise.all(
      names.map(async (name) => {
        const account = this.#accounts.peek(name);
        if (account === undefined) return;
        const { bytes, body, usedAt } = account;
        this.#delete(name, account);
        this.#leaving += bytes;
        const removal: Promise<unknown> = this.#remove(name, { why, bytes, body })
          .catch(() => undefined)
          .finally(() => {
            this.#leaving -= bytes;
            if (this.#removals.get(name) === removal) this.#removals.delete(name);
          });
        this.#removals.set(name, removal);
        if ((await removal) === 'pinned') {
          if (!this.has(name)) this.add(name, bytes, body, { usedAt });
          this.pin(name, true);
          return;
        }
        this.#space.wrote(-bytes);
        if (why === 'evict') this.evictions++;
        else this.expired++;
        removed.entries++;
        removed.bytes += bytes;
      }),
    );
    return removed;
  }

  /** Bytes that are freed, without an entry having to go. */
  #expend(toBytes: number): number {
    const excess = this.#charged - toBytes;
    if (excess <= 0 || this.#expendable.bytes === 0) return 0;
    const { bytes, gone } = this.#expendable.free(excess);
    this.#leaving += bytes;
    const removal: Promise<unknown> = gone.finally(() => {
      this.#leaving -= bytes;
      this.#space.wrote(-bytes);
      this.#expenses.delete(removal);
    });
    this.#expenses.add(removal);
    return bytes;
  }

  *#overdue(toBytes: number): Generator<string> {
    let excess = this.#charged - toBytes;
    for (const name of this.#accounts.rkeys()) {
      if (excess <= 0) return;
      const account = this.#accounts.peek(name);
      if (account === undefined || isFixed(account)) continue;
      excess -= account.bytes;
      yield name;
    }
  }

  #delete(name: string, account: Account): void {
    this.#accounts.delete(name);
    this.#bytes -= account.bytes;
    if (isFixed(account)) this.#fixed -= account.bytes;
    if (account.pinned) this.pinned--;
  }

  #refix(account: Account, before: boolean): void {
    this.#fixed += (Number(isFixed(account)) - Number(before)) * account.bytes;
  }
}

/** Whether it can't go for now. */
function isFixed({ held, pinned }: Account): boolean {
  return held > 0 || pinned;
}
