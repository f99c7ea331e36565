import { Slices } from '../fs/slices.ts';
import { type Account, Accounts, isFixed, type Older } from './accounts.ts';
import type { Removed } from './cache.ts';
import { type Expendable, NOTHING } from './expendable.ts';
import { FreeSpace, type SpaceOnDisk } from './free-space.ts';
import type { Outlook } from './outlook.ts';
import { slackOf } from './slack.ts';

/** Why an entry goes, what it was charged with, and which body that was. */
export interface Removal {
  why: 'evict' | 'expire';
  bytes: number;
  body: string;
}

/** Removes an entry's files; called once it is out of the ledger. 'pinned': it turned out to be, and stays. */
export type Remove = (name: string, removal: Removal) => Promise<unknown>;

/** What a ledger goes by besides its limit. */
export interface LedgerOptions {
  /** Goes before any entry. */
  expendable?: Expendable;
  /** The free space of the file system that it is all on. */
  space?: SpaceOnDisk;
  /** Absent: there are no others. */
  outlook?: Outlook;
}

/** As many entries go at a time: what is removed takes turns in the thread pool with what is served. */
const MOST_AT_ONCE = 32;

/** Bytes and recency: what is charged to the budget, and who goes first when room is needed. */
export class Ledger {
  readonly maxBytes: number;
  readonly accounts: Accounts = new Accounts();
  readonly #remove: Remove;
  readonly #expendable: Expendable;
  readonly #space: FreeSpace;
  readonly #outlook: Outlook | undefined;
  /** As much more goes where room is needed, if small entries are next. */
  readonly #slack: number;
  /** For running fills. */
  #reserved = 0;
  /** Of files that are on their way out. */
  #leaving = 0;
  /** Of files that are neither entries nor fills of this process, by what they are. */
  readonly #besides = new Map<string, number>();
  readonly #removals = new Map<string, Promise<unknown>>();
  /** Of what was expendable, on its way out. */
  readonly #expenses = new Set<Promise<unknown>>();
  evictions = 0;
  expired = 0;

  constructor(
    maxBytes: number,
    remove: Remove,
    { expendable = NOTHING, space, outlook }: LedgerOptions = {},
  ) {
    this.maxBytes = maxBytes;
    this.#remove = remove;
    this.#expendable = expendable;
    this.#space = new FreeSpace(space, this);
    this.#outlook = outlook;
    this.#slack = slackOf(maxBytes);
  }

  get entries(): number {
    return this.accounts.size;
  }

  get pinned(): number {
    return this.accounts.pinned;
  }

  /** Charged in all, reservations included. */
  get bytes(): number {
    return this.#charged + this.#leaving;
  }

  /** Whether more is charged than may be. */
  get isOver(): boolean {
    return this.#charged > this.maxBytes;
  }

  /** Set aside for fills. */
  get reserved(): number {
    return this.#reserved;
  }

  /** As much as could be removed at once. */
  get removable(): number {
    return this.accounts.bytes - this.accounts.fixed + this.#expendable.bytes;
  }

  get #charged(): number {
    let charged = this.accounts.bytes + this.#expendable.bytes + this.#reserved;
    for (const bytes of this.#besides.values()) charged += bytes;
    return charged;
  }

  /** Records an entry as the most recently used; one of the same name is replaced, and its pin kept. */
  add(name: string, bytes: number, body = '', older: Pick<Older, 'usedAt' | 'pinned'> = {}): void {
    const { usedAt = Date.now(), pinned = false } = older;
    this.#space.wrote(-(this.accounts.get(name)?.bytes ?? 0));
    this.accounts.add(name, { bytes, usedAt, pinned, body });
  }

  has(name: string): boolean {
    return this.accounts.get(name) !== undefined;
  }

  /** Which body the account is of. */
  bodyOf(name: string): string | undefined {
    return this.accounts.get(name)?.body;
  }

  /** When it was last used, as far as this process knows; in milliseconds since the epoch. */
  usedAt(name: string): number | undefined {
    return this.accounts.get(name)?.usedAt;
  }

  /** Records entries, least recently used first, as less recently used than all that it knows of already, or is told meanwhile. */
  addOlder(entries: Iterable<Older>, slices: Slices = new Slices()): Promise<void> {
    return this.accounts.addOlder(entries, slices);
  }

  /** Marks an entry as just used. */
  touch(name: string, usedAt: number = Date.now()): void {
    this.accounts.touch(name, usedAt);
  }

  /** Charges bytes that belong to no entry; the last figure counts. */
  charge(what: string, bytes: number): void {
    this.#besides.set(what, bytes);
  }

  pin(name: string, on: boolean): void {
    this.accounts.pin(name, on);
  }

  isPinned(name: string): boolean {
    return this.accounts.get(name)?.pinned ?? false;
  }

  pins(): string[] {
    return this.pinned === 0 ? [] : [...this.accounts.names()].filter((name) => this.isPinned(name));
  }

  /** Whether files of this name are on their way out. */
  isLeaving(name: string): boolean {
    return this.#removals.has(name);
  }

  /** Resolves when no files of this name are on their way out. */
  async left(name: string): Promise<void> {
    await this.#removals.get(name);
  }

  /** Takes an entry out, because its files have gone. `body`: only if it is still the account of this one. */
  drop(name: string, body?: string): void {
    const account = this.accounts.get(name);
    if (account === undefined || (body !== undefined && account.body !== body)) return;
    this.accounts.delete(name);
    this.#space.wrote(-account.bytes);
  }

  /** Takes all entries out: what is there has to be found anew. */
  reset(): void {
    for (const name of [...this.accounts.names()]) this.drop(name);
  }

  /** Keeps an entry from being evicted until the returned function is called. */
  hold(name: string): () => void {
    return this.accounts.hold(name);
  }

  /** Whether so many bytes could be set aside, as far as is known. */
  mayHave(bytes: number): boolean {
    return bytes <= this.maxBytes - (this.#charged - this.removable);
  }

  /** Sets bytes aside for a fill, making room as needed. Resolves to whether they could be had. */
  async reserve(bytes: number): Promise<boolean> {
    if (this.#outlook !== undefined) await this.#outlook.look();
    if (!this.mayHave(bytes)) return false;
    this.#reserved += bytes;
    await this.makeRoom();
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

  /** Keeps the limit. Where something has to go for it, small entries make a little more room than that. */
  makeRoom(): Promise<Removed> {
    return this.evict(this.maxBytes, this.#slack);
  }

  /**
   * Removes what is expendable, then the least recently used, but none that is held or pinned, until at most `toBytes` are charged;
   * waits until they have gone.
   * @param slack where anything has to go, as many bytes more may, of entries that are next and no larger than what is left of it
   */
  async evict(toBytes: number, slack = 0): Promise<Removed> {
    const removed = { entries: 0, bytes: 0 };
    const low = this.#charged > toBytes ? toBytes - slack : toBytes;
    for (let again = true; again; ) {
      const before = this.pinned;
      removed.bytes += this.#expend(toBytes);
      const { names, more } = this.#overdue(toBytes, low);
      const gone = this.#take(names, 'evict');
      await Promise.all([...this.#removals.values(), ...this.#expenses]);
      const { entries, bytes } = await gone;
      removed.entries += entries;
      removed.bytes += bytes;
      // Or some turned out to be pinned: others have to go.
      again = more || this.pinned > before;
    }
    // What somebody else has taken meanwhile makes the room as well, once it has gone.
    await Promise.all([...this.#removals.values(), ...this.#expenses]);
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
    const names: string[] = [];
    for (const [name, { usedAt }] of this.accounts.oldestFirst()) {
      if (usedAt >= before) break;
      names.push(name);
    }
    for (const name of names) {
      if (!idle(this.accounts.get(name))) continue;
      const usedAt = (await lastUse(name)) ?? 0;
      if (!idle(this.accounts.get(name))) continue;
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
        const account = this.accounts.get(name);
        if (account === undefined) return;
        const { bytes, body, usedAt } = account;
        this.accounts.delete(name);
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

  /** Who has to go next, and whether more have to than these. */
  #overdue(toBytes: number, low: number): { names: string[]; more: boolean } {
    const names: string[] = [];
    const used: [name: string, at: number][] = [];
    let rest = this.#charged;
    let more = false;
    for (const [name, account] of this.accounts.oldestFirst()) {
      const { bytes, usedAt } = account;
      // Where enough has gone, what is larger than the slack stays, and who comes after it.
      if (rest <= low || (rest <= toBytes && rest - bytes < low)) break;
      if (isFixed(account)) continue;
      if (names.length === MOST_AT_ONCE) {
        more = true;
        break;
      }
      const since = this.#outlook?.usedSince(name, usedAt);
      if (since !== undefined) {
        used.push([name, since]);
        more = true;
        continue;
      }
      rest -= bytes;
      names.push(name);
    }
    for (const [name, at] of used) this.touch(name, at);
    return { names, more };
  }
}
