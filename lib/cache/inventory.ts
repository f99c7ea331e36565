// docs/reference/disk-format.md

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import createDebug from 'debug';
import { isPast } from '../fs/identity.ts';
import { type Layout, shardName } from '../fs/layout.ts';
import type { WorkLock } from '../fs/lock.ts';
import { Slices, sortInSlices } from '../fs/slices.ts';
import type { Older } from './accounts.ts';
import { charge } from './charge.ts';
import { type SweepReport, sweepEntry } from './janitor.ts';
import type { Ledger } from './ledger.ts';
import { removeLeftovers } from './leftovers.ts';
import { OtherFills } from './other-fills.ts';
import type { Outlook } from './outlook.ts';
import { hasBody, isOf, type Listed, listShard, listShards, modifiedAt, readRecord } from './shard.ts';
import { isPinnedNow } from './state.ts';

const debug = createDebug('cache-filter:store');

/** How often it is looked what others have done, in milliseconds. */
const INTERVAL_MS = 1_000;

/** Who is about to store something looks again after this. */
const FRESH_MS = 100;

/** Who has seen nothing of others for so long takes what changes for its own doing, */
const ALONE_MS = 60_000;
/** and makes sure of that after so long. */
const OWN_MS = 10_000;

/** What a killed process was writing is removed after so long; until then another may go on with it. */
const LOST_MS = 60_000;

/** The times of a use in memory and on disk are not taken at once. */
const USED_LATER_MS = 1_000;

/** What the inventory asks of the cache that it belongs to. */
export interface InventoryOwner {
  layout: Layout;
  ledger: Ledger;
  lock: WorkLock;
  report: SweepReport;
  /** Ids of the fills that this process runs. */
  ownFills(): ReadonlySet<string>;
  /** Resolves when the start-up scan is over. Never rejects. */
  scanned(): Promise<unknown>;
  /** Bodies that are removed from now on, until `unwatch`. */
  watch(): Set<string>;
  unwatch(removed: Set<string>): void;
  /** Whether somebody waits for an entry that is read from disk. */
  isOpening(): boolean;
  /** Another process has removed or replaced what has this name. */
  changed(name: string): void;
}

/** A directory of entries, as it was when it was read. */
interface Seen {
  /** Its time of modification; -1: it may have changed again without that telling. */
  modifiedAt: number;
  /** In milliseconds. */
  readAt: number;
}

/** Keeps the ledger in line with what is on disk: at the start, and with what other processes do. */
export class Inventory implements Outlook {
  readonly #owner: InventoryOwner;
  readonly #others: OtherFills;
  readonly #seen = new Map<string, Seen>();
  /** Directories that this process has changed since they were read. */
  readonly #own = new Set<string>();
  #othersSeenAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** Another process had begun to clear up when this one started. */
  #isUnswept = false;
  #wasOver = false;
  #timer: NodeJS.Timeout | undefined;
  #ticking: Promise<void> | undefined;
  #closed = false;

  constructor(owner: InventoryOwner) {
    this.#owner = owner;
    this.#others = new OtherFills(owner.layout);
  }

  /** Takes over the account of all that is there, and clears up after processes that were killed. */
  async scan(): Promise<void> {
    const { lock, ledger } = this.#owner;
    const release = await lock.take();
    this.#isUnswept = release === undefined;
    try {
      await this.#readAll(release !== undefined);
    } finally {
      await release?.();
    }
    this.#timer ??= setInterval(() => this.#tick(), INTERVAL_MS).unref();
    if (this.#closed) clearInterval(this.#timer);
    await ledger.makeRoom();
  }

  /** This process has changed the files of this name. */
  touched(name: string): void {
    this.#own.add(shardName(name));
  }

  async look(): Promise<void> {
    await this.#owner.scanned();
    if (performance.now() - this.#lookedAt >= FRESH_MS) await this.#look();
    // What has been announced is to be seen in any case.
    else await this.#lookAtFills();
  }

  usedSince(name: string, usedAt: number): number | undefined {
    const at = modifiedAt(this.#owner.layout.record(name));
    return at !== undefined && at > usedAt + USED_LATER_MS ? at : undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#ticking;
  }

  /** All that is there. It is read before it is accounted for, so that it is in the order of its use. */
  async #readAll(sweeping: boolean): Promise<void> {
    const { layout, ledger, ownFills, watch, unwatch } = this.#owner;
    const alive = sweeping ? (await removeLeftovers(layout, ownFills())).alive : undefined;
    const slices = new Slices(() => this.#owner.isOpening());
    const removed = watch();
    const found: Required<Older>[] = [];
    try {
      for (const shard of listShards(layout)) {
        for (const [name, files] of this.#list(shard)) {
          const older = await this.#inspect(name, files, alive);
          if (older !== undefined) found.push(older);
          if (slices.over) await slices.next();
          if (this.#closed) return;
        }
      }
      const inOrder = await sortInSlices(found, byUse, slices);
      await ledger.addOlder(still(inOrder, removed), slices);
    } finally {
      unwatch(removed);
    }
  }

  /** What is known of an entry without opening it; whatever is wrong with it is cleared up where `alive` says who lives. */
  async #inspect(
    name: string,
    files: Listed,
    alive: ReadonlySet<string> | undefined,
  ): Promise<Required<Older> | undefined> {
    const { layout, report } = this.#owner;
    const found = files.hasRecord ? readRecord(layout, name) : undefined;
    if (found === 'newer') {
      report.newer(name);
      return undefined;
    }
    const fill = typeof found === 'object' ? found.record.fill : undefined;
    const isWhole = fill !== undefined && hasBody(layout, name, fill, files);
    const isTidy = isWhole && files.files.every((each) => each.fill === fill);
    if (!isTidy && alive !== undefined) await sweepEntry(layout, name, files, alive, report);
    return isWhole && typeof found === 'object' ? this.#older(name, found, files) : undefined;
  }

  #older(
    name: string,
    { record, bytes, usedAt }: Exclude<ReturnType<typeof readRecord>, string | undefined>,
    { files }: Listed,
  ): Required<Older> {
    const { fill, size } = record;
    const pinned = files.some(isOf(fill, 'state')) && isPinnedNow(this.#owner.layout, name, fill);
    return { name, bytes: charge(size, bytes), body: fill, usedAt, pinned };
  }

  #list(shard: string): Map<string, Listed> {
    const { layout } = this.#owner;
    const readAt = Date.now();
    const at = modifiedAt(join(layout.entries, shard)) ?? -1;
    this.#own.delete(shard);
    this.#seen.set(shard, { modifiedAt: isPast(at, readAt) ? at : -1, readAt });
    return listShard(layout, shard);
  }

  /** What others are writing, and what has become of what they were. */
  async #lookAtFills(slices: Slices = new Slices()): Promise<void> {
    const { layout, ledger, ownFills } = this.#owner;
    const over = this.#others.look(ownFills(), LOST_MS);
    if (over.length > 0 || this.#others.some) this.#othersSeenAt = performance.now();
    for (const name of over) {
      const found = this.#compare(name, listShard(layout, shardName(name)).get(name) ?? NOTHING);
      if (found !== undefined) this.#adopt(found);
      this.#others.settled(name);
      if (slices.over) await slices.next();
    }
    ledger.charge('others', this.#others.bytes);
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookAtAll().finally(() => {
      this.#looking = undefined;
      this.#lookedAt = performance.now();
    });
    return this.#looking;
  }

  async #lookAtAll(): Promise<void> {
    const { layout } = this.#owner;
    const slices = new Slices();
    await this.#lookAtFills(slices);
    const found: Required<Older>[] = [];
    for (const shard of new Set([...listShards(layout), ...this.#seen.keys()])) {
      if (this.#closed) return;
      if (this.#hasChanged(shard)) found.push(...(await this.#readShard(shard, slices)));
      if (slices.over) await slices.next();
    }
    for (const older of await sortInSlices(found, byUse, slices)) {
      this.#adopt(older);
      if (slices.over) await slices.next();
    }
  }

  #hasChanged(shard: string): boolean {
    const seen = this.#seen.get(shard);
    if (seen === undefined) return true;
    if (modifiedAt(join(this.#owner.layout.entries, shard)) === seen.modifiedAt) return false;
    const isAlone = performance.now() - this.#othersSeenAt >= ALONE_MS;
    return !(isAlone && this.#own.has(shard) && Date.now() - seen.readAt < OWN_MS);
  }

  /** What is there that is not accounted for; the accounts of what has gone are closed. */
  async #readShard(shard: string, slices: Slices): Promise<Required<Older>[]> {
    const { layout, ledger, report, ownFills } = this.#owner;
    const listed = this.#list(shard);
    const found: Required<Older>[] = [];
    for (const [name, files] of listed) {
      const older = this.#compare(name, files);
      if (older !== undefined) found.push(older);
      // Of two that replace an entry at once, neither removes the body of the other.
      if (isUntidy(files)) await sweepEntry(layout, name, { ...files, hasRecord: false }, ownFills(), report);
      if (slices.over) await slices.next();
    }
    for (const name of [...ledger.accounts.inShard(shard)]) {
      if (listed.get(name)?.hasRecord !== true) this.#compare(name, NOTHING);
      if (slices.over) await slices.next();
    }
    return found;
  }

  /** An entry that is not accounted for as it is; the account of one that has gone is closed. */
  #compare(name: string, files: Listed): Required<Older> | undefined {
    const { layout, ledger, report, changed } = this.#owner;
    const known = ledger.bodyOf(name);
    if (!files.hasRecord) {
      // It may have come since the directory was read.
      if (known === undefined || existsSync(layout.record(name))) return undefined;
      ledger.drop(name, known);
      changed(name);
      this.#othersSeenAt = performance.now();
      return undefined;
    }
    // One body of a name is that of its record.
    const bodies = files.files.filter(({ kind }) => kind === 'body');
    if (known !== undefined && bodies.length === 1 && bodies[0]?.fill === known) return undefined;
    const found = readRecord(layout, name);
    if (found === 'newer') report.newer(name);
    return typeof found === 'object' && found.record.fill !== known
      ? this.#older(name, found, files)
      : undefined;
  }

  /** Accounts for it, without a wait: what has become of it is asked last. */
  #adopt({ name, bytes, body, ...rest }: Required<Older>): void {
    const { layout, ledger, ownFills, changed } = this.#owner;
    // This process may be about to account for it, or to remove it, itself.
    if (ownFills().has(body) || ledger.isLeaving(name) || ledger.bodyOf(name) === body) return;
    if (!existsSync(layout.body(name, body))) return;
    changed(name);
    ledger.add(name, bytes, body, rest);
    this.#othersSeenAt = performance.now();
  }

  #tick(): void {
    this.#ticking ??= this.#keepUp()
      .catch((error: unknown) => debug('it can not be told what others do: %o', error))
      .finally(() => {
        this.#ticking = undefined;
      });
  }

  async #keepUp(): Promise<void> {
    const { layout, ledger, lock, ownFills } = this.#owner;
    await this.#look();
    if (this.#isUnswept) await this.#sweepAgain();
    if (this.#others.lost) await lock.run(() => removeLeftovers(layout, ownFills(), LOST_MS));
    // Whoever has announced something makes room for it; what is over for longer is nobody's doing.
    const { isOver } = ledger;
    if (isOver && this.#wasOver) await lock.run(() => ledger.makeRoom());
    this.#wasOver = isOver;
  }

  /** Whoever was clearing up when this process started has done so by now, or was killed. */
  async #sweepAgain(): Promise<void> {
    const { lock } = this.#owner;
    if (!lock.isTaken) this.#isUnswept = false;
    else if (await lock.run(() => this.#readAll(true))) this.#isUnswept = false;
  }
}

const NOTHING: Listed = { hasRecord: false, files: [] };

/** Whether there is more of one name than one body, or a body of nothing. */
function isUntidy({ hasRecord, files }: Listed): boolean {
  return files.some(({ fill }) => !hasRecord || fill !== files[0]?.fill);
}

function byUse(one: Required<Older>, other: Required<Older>): number {
  return one.usedAt - other.usedAt;
}

/** What has not been removed since. */
function* still(found: readonly Required<Older>[], removed: ReadonlySet<string>): Generator<Older> {
  for (const older of found) if (!removed.has(older.body)) yield older;
}
