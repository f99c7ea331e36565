import * as fs from 'node:fs/promises';
import { StoreError } from '../errors.ts';
import { readIfThere } from '../fs/files.ts';
import type { Layout } from '../fs/layout.ts';
import type { WorkLock } from '../fs/lock.ts';
import type { EntryInfo, EntryUse, Removed } from './cache.ts';
import { Expiry } from './expiry.ts';
import type { Doing } from './fault.ts';
import { namesOf } from './janitor.ts';
import type { Ledger } from './ledger.ts';
import { decodeRecord, type EntryRecord, infoOf } from './record.ts';
import { addHits, readState, writePin } from './state.ts';
import { Usage } from './usage.ts';

/** An entry's recency on disk is brought up to date at most this often, in milliseconds. */
const TOUCH_MS = 60_000;

/** An entry that is replaced again and again while it is pinned is not met in the end. */
const PIN_ATTEMPTS = 10;

/** What of the cache's options it goes by. */
export interface UpkeepOptions {
  fileMode: number;
  /** In milliseconds; undefined: entries don't expire. */
  inactiveMs: number | undefined;
  /** Held by who lets entries expire. */
  lock: WorkLock;
  /** Hears of what fails. Never throws. */
  failed(error: unknown, doing: Doing): void;
}

/** What becomes of entries on disk once they are there: how often and when they are used, who is kept, and who has to go. */
export class Upkeep {
  /** Hits that are not on disk yet. */
  readonly usage: Usage = new Usage((name, hits) => this.#addHits(name, hits));
  /** How often a use has to be written down, in milliseconds. */
  readonly #touchMs: number;
  /** When it was, in milliseconds since the epoch. */
  readonly #touched = new Map<string, number>();
  readonly #layout: Layout;
  readonly #ledger: Ledger;
  readonly #options: UpkeepOptions;
  readonly #expiry: Expiry;

  constructor(layout: Layout, ledger: Ledger, options: UpkeepOptions) {
    const { inactiveMs, lock } = options;
    this.#layout = layout;
    this.#ledger = ledger;
    this.#options = options;
    this.#touchMs = Math.min(TOUCH_MS, Math.floor((inactiveMs ?? Number.POSITIVE_INFINITY) / 4));
    this.#expiry = new Expiry(inactiveMs, () => lock.run(() => this.expire()));
  }

  /** Somebody is given the entry. */
  touch(name: string): void {
    if (!this.#ledger.has(name)) return;
    this.#ledger.touch(name);
    this.usage.count(name);
    const now = Date.now();
    if (now - (this.#touched.get(name) ?? 0) < this.#touchMs) return;
    this.#touched.set(name, now);
    const time = new Date(now);
    // Losing it is harmless: recency is a little older after a restart.
    fs.utimes(this.#layout.record(name), time, time).catch((error: unknown) =>
      this.#options.failed(error, 'change'),
    );
  }

  /** It has gone, or another one has taken its place. */
  forget(name: string): void {
    this.#touched.delete(name);
    this.usage.forget(name);
  }

  /** What is known of an entry. */
  async info(name: string, record: EntryRecord): Promise<EntryInfo & EntryUse> {
    const { hits, pinned } = await readState(this.#layout, name, record.fill);
    const usedAt = Math.max((await this.#usedOnDisk(name)) ?? 0, this.#ledger.usedAt(name) ?? 0);
    return {
      ...infoOf(record),
      hits: Math.max(0, hits + this.usage.of(name)),
      usedAt: Math.floor(usedAt),
      pinned,
    };
  }

  /**
   * Pins what is stored of a primary key, or takes the pins away; how many entries there are. When this resolves, it is on disk.
   * @throws StoreError
   */
  async pin(primary: string, on: boolean): Promise<number> {
    let count = 0;
    try {
      for (const name of await namesOf(this.#layout, primary)) {
        // Nor evicted meanwhile.
        const release = this.#ledger.hold(name);
        await this.#ledger.left(name);
        if (await this.#pin(name, primary, on).finally(release)) count++;
      }
    } catch (error) {
      this.#options.failed(error, 'change');
      throw new StoreError('a pin could not be written down', { cause: error });
    }
    return count;
  }

  /** Looks whether another process has taken pins away which this one still believes in; whether it has. */
  async recheckPins(): Promise<boolean> {
    const before = this.#ledger.pinned;
    for (const name of this.#ledger.pins()) {
      const body = this.#ledger.bodyOf(name) ?? '';
      if (!(await this.isPinned(name, body)) && this.#ledger.bodyOf(name) === body) {
        this.#ledger.pin(name, false);
      }
    }
    return this.#ledger.pinned < before;
  }

  async isPinned(name: string, fill: string): Promise<boolean> {
    return (await readState(this.#layout, name, fill)).pinned;
  }

  /** Removes what no process has used for `inactiveMs`. */
  async expire(): Promise<Removed> {
    const { inactiveMs } = this.#options;
    if (inactiveMs === undefined) return { entries: 0, bytes: 0 };
    return this.#ledger.expire(Date.now() - inactiveMs, async (name) => {
      const time = await this.#usedOnDisk(name);
      // Another process may have used it since, without having written that down.
      return time === undefined ? undefined : time + this.#touchMs;
    });
  }

  async prune(toBytes: number): Promise<Removed> {
    await this.recheckPins();
    const expired = await this.expire();
    const evicted = await this.#ledger.evict(toBytes);
    return { entries: expired.entries + evicted.entries, bytes: expired.bytes + evicted.bytes };
  }

  /** From now on entries expire by themselves. */
  start(): void {
    this.#expiry.start();
  }

  async close(): Promise<void> {
    await this.#expiry.close();
    await this.usage.flush();
  }

  async #pin(name: string, primary: string, on: boolean): Promise<boolean> {
    for (let attempt = 0; attempt < PIN_ATTEMPTS; attempt++) {
      const record = await this.#record(name);
      if (record === undefined || record.key.primary !== primary) return false;
      const { fill } = record;
      await writePin({ layout: this.#layout, name, fill, mode: this.#options.fileMode }, on);
      // Replaced meanwhile: the new one may have taken over what was said before.
      if ((await this.#record(name))?.fill !== fill) continue;
      this.#ledger.pin(name, on);
      return true;
    }
    return false;
  }

  async #record(name: string): Promise<EntryRecord | undefined> {
    return decodeRecord((await readIfThere(this.#layout.record(name))) ?? Buffer.alloc(0));
  }

  async #addHits(name: string, hits: number): Promise<void> {
    const fill = this.#ledger.bodyOf(name);
    if (fill === undefined) return;
    const place = { layout: this.#layout, name, fill, mode: this.#options.fileMode };
    await addHits(place, hits).catch((error: unknown) => this.#options.failed(error, 'change'));
  }

  /** When its record says that it was last used, in milliseconds since the epoch. */
  async #usedOnDisk(name: string): Promise<number | undefined> {
    return fs.stat(this.#layout.record(name)).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    );
  }
}
