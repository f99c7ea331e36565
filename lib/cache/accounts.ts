import { LRUCache } from 'lru-cache';
import { shardName } from '../fs/layout.ts';
import type { Slices } from '../fs/slices.ts';

/** An entry as the budget sees it. */
export interface Account {
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

/** The accounts of all entries, in the order of their use. */
export class Accounts {
  // lru-cache wants a bound of its own; ours is the ledger's, which can spare what is held and wait for the disk.
  readonly #lru = new LRUCache<string, Account>({
    maxSize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: ({ bytes }) => bytes + 1,
  });
  readonly #shards = new Map<string, Set<string>>();
  /** Added or used while older ones are added, least recently used first. */
  #recent: Set<string> | undefined;
  /** Charged for all of them. */
  bytes = 0;
  /** Of that, for those that are being read, or are pinned. */
  fixed = 0;
  pinned = 0;

  get size(): number {
    return this.#lru.size;
  }

  /** Without it counting as a use. */
  get(name: string): Account | undefined {
    return this.#lru.peek(name);
  }

  /** As the most recently used; one of the same name is replaced, and its pin kept. */
  add(name: string, account: Pick<Account, 'bytes' | 'usedAt' | 'pinned' | 'body'>): void {
    const pinned = account.pinned || (this.get(name)?.pinned ?? false);
    this.delete(name);
    const added = { ...account, pinned, held: 0 };
    this.#lru.set(name, added);
    this.#renew(name);
    const shard = shardName(name);
    const names = this.#shards.get(shard);
    if (names === undefined) this.#shards.set(shard, new Set([name]));
    else names.add(name);
    this.bytes += added.bytes;
    if (isFixed(added)) this.fixed += added.bytes;
    if (added.pinned) this.pinned++;
  }

  /**
   * Adds entries, least recently used first, as less recently used than all that is known already or comes meanwhile. Done in slices:
   * 100,000 take 80 ms.
   */
  async addOlder(entries: Iterable<Older>, slices: Slices): Promise<void> {
    this.#recent = new Set(this.#lru.rkeys());
    const recent = this.#recent;
    for (const { name, bytes, body = '', usedAt = Date.now(), pinned = false } of entries) {
      if (this.get(name) === undefined) {
        this.add(name, { bytes, body, usedAt, pinned });
        recent.delete(name);
      }
      if (slices.over) await slices.next();
    }
    this.#recent = undefined;
    for (const name of recent) this.#lru.get(name);
  }

  delete(name: string): void {
    const account = this.get(name);
    if (account === undefined) return;
    this.#lru.delete(name);
    this.#recent?.delete(name);
    const shard = shardName(name);
    const names = this.#shards.get(shard);
    names?.delete(name);
    if (names?.size === 0) this.#shards.delete(shard);
    this.bytes -= account.bytes;
    if (isFixed(account)) this.fixed -= account.bytes;
    if (account.pinned) this.pinned--;
  }

  /** It has become larger by so many bytes. */
  grow(name: string, bytes: number): void {
    const account = this.get(name);
    if (account === undefined) return;
    account.bytes += bytes;
    this.bytes += bytes;
    if (isFixed(account)) this.fixed += bytes;
  }

  /** Marks an entry as just used. */
  touch(name: string, usedAt: number): void {
    const account = this.#lru.get(name);
    if (account === undefined) return;
    account.usedAt = usedAt;
    this.#renew(name);
  }

  pin(name: string, on: boolean): void {
    const account = this.get(name);
    if (account === undefined || account.pinned === on) return;
    const before = isFixed(account);
    account.pinned = on;
    this.pinned += on ? 1 : -1;
    this.#refix(account, before);
  }

  /** Keeps an entry from being removed until the returned function is called. */
  hold(name: string): () => void {
    const account = this.get(name);
    if (account === undefined) return () => undefined;
    const before = isFixed(account);
    account.held++;
    this.#refix(account, before);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      account.held--;
      if (this.get(name) === account) this.#refix(account, true);
    };
  }

  names(): Iterable<string> {
    return this.#lru.keys();
  }

  /** Least recently used first. Nothing may be used while this runs. */
  *oldestFirst(): Generator<[name: string, account: Account]> {
    for (const name of this.#lru.rkeys()) {
      const account = this.get(name);
      if (account !== undefined) yield [name, account];
    }
  }

  /** Those that lie in one directory. */
  inShard(shard: string): Iterable<string> {
    return this.#shards.get(shard) ?? [];
  }

  #renew(name: string): void {
    if (this.#recent === undefined) return;
    this.#recent.delete(name);
    this.#recent.add(name);
  }

  #refix(account: Account, before: boolean): void {
    this.fixed += (Number(isFixed(account)) - Number(before)) * account.bytes;
  }
}

/** Whether it can't go for now. */
export function isFixed({ held, pinned }: Pick<Account, 'held' | 'pinned'>): boolean {
  return held > 0 || pinned;
}
