// docs/reference/disk-format.md

import { existsSync } from 'node:fs';
import type * as fs from 'node:fs/promises';
import createDebug from 'debug';
import { StoreError, SupersededError } from '../../errors.ts';
import { createNew, unlink } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import type { ResponseHead } from '../../http/body.ts';
import type { Claim, Declined, Entry, Fill, FillOptions, Invalidation, Key, RunningFill } from '../cache.ts';
import type { Doing } from '../fault.ts';
import { charge, type FileEntries } from '../file-entries.ts';
import type { InvalidBodies } from '../invalid.ts';
import { mostRecordBytes } from '../record.ts';
import { Reservation } from '../reservation.ts';
import { ClaimFile, doomOthers } from './claim.ts';
import { FileFill } from './file-fill.ts';
import { tooLarge } from './proof.ts';
import { publish } from './publish.ts';
import { Run, Runs } from './runs.ts';

const debug = createDebug('cache-filter:store');

/** A running fill's budget grows by at least this, where its length is not known; less where the budget is small. */
const GROW_BYTES = 4 * 1024 * 1024;

/** What a claim takes on disk, in bytes. */
const CLAIM_BYTES = 4096;

/** What the fills ask of the cache that they belong to. */
export interface FillsOwner {
  layout: Layout;
  modes: { file: number; directory: number };
  durability: 'none' | 'commit';
  maxBytes: number;
  maxEntryBytes: number;
  entries: FileEntries;
  invalid: InvalidBodies;
  isClosed(): boolean;
  /** Stores something new; where room is wanting, makes so many bytes of it, and tries once more. */
  attempt<T>(act: () => Promise<T>, bytes: number): Promise<T>;
  /** Hears of what fails otherwise. Never throws. */
  failed(error: unknown, doing: Doing): void;
  open(key: Key): Promise<Entry | undefined> | Entry | undefined;
  /** Whether a newer version of this package has stored what has this name. */
  isNewer(name: string): boolean;
  /** What has this name has been stored. Never rejects. */
  stored(name: string): Promise<void>;
}

/** One key being fetched by this process. */
class FileRun extends Run<FileFill> {
  readonly file: Promise<ClaimFile | undefined>;
  /** The same, once it is there. */
  claim: ClaimFile | undefined;

  constructor(key: Key, file: Promise<ClaimFile | undefined>) {
    super(key);
    this.file = file;
  }
}

/** What this process fetches into files. */
export class FileFills {
  readonly #owner: FillsOwner;
  readonly #runs = new Runs<FileRun>();
  /** Of the running fills, the purged ones included. */
  readonly #claims = new Set<ClaimFile>();
  readonly #bodies = new Set<FileFill>();
  /** Purged, though the store would not let go of them: they are not to be published when it does. */
  readonly #revoked = new WeakSet<ClaimFile>();
  /** Paths of what could not be removed. */
  readonly #remains = new Set<string>();

  constructor(owner: FillsOwner) {
    this.#owner = owner;
  }

  /** How many run. */
  get count(): number {
    return this.#claims.size;
  }

  get running(): RunningFill[] {
    return [...this.#bodies].map(({ running }) => running);
  }

  /** The fill ids of those that run. */
  get ids(): Set<string> {
    return new Set([...this.#claims].map(({ fill }) => fill));
  }

  /** Whether this process fetches the key. */
  has(key: Key): boolean {
    return this.#runs.of(key) !== undefined;
  }

  /** The part of somebody who comes along; undefined where this process does not fetch the key. */
  follow(key: Key): Claim | undefined {
    const run = this.#runs.of(key);
    if (run === undefined) return undefined;
    // Purged by another process: who comes now is not to get it.
    if (run.claim !== undefined && !existsSync(run.claim.path)) {
      this.#runs.remove(run);
      return undefined;
    }
    return { role: 'follower', fill: run.shared().then((fill) => fill?.join()) };
  }

  async lead(key: Key, newerThan: number): Promise<Claim> {
    const { layout, modes, isClosed, open, isNewer, attempt } = this.#owner;
    const name = layout.name(key.primary, key.variant);
    // Registered before the first wait: a second claim finds it.
    const creating = attempt(() => ClaimFile.create(layout, name, key, modes.file), CLAIM_BYTES);
    const file = creating.catch((error: unknown) => {
      debug('no claim for %s: %o', key.primary, error);
      return undefined;
    });
    const run = new FileRun(key, file);
    this.#runs.add(run);
    const claim = await file;
    if (claim === undefined || isClosed()) {
      await claim?.remove();
      this.#end(run);
      return { role: 'declined', reason: claim === undefined ? 'store-down' : 'closed' };
    }
    run.claim = claim;
    this.#claims.add(claim);
    const giveUp = async () => {
      await this.#giveUp(claim);
      this.#end(run);
    };
    const entry = await open(key);
    if (entry !== undefined && entry.info.storedAt > newerThan) {
      await giveUp();
      return { role: 'entry', entry };
    }
    entry?.release(false);
    if (isNewer(name)) {
      await giveUp();
      return { role: 'declined', reason: 'unknown-format' };
    }
    return {
      role: 'leader',
      start: (head, options = {}) => this.#start(claim, run, head, options),
      abandon: giveUp,
    };
  }

  /** Cuts off from the cache what is to be invalidated, in every process. */
  async doom(what: Invalidation): Promise<void> {
    await this.cut(what);
    await doomOthers(this.#owner.layout, what, this.ids);
  }

  /** The same in this process only, which can always be done. */
  async cut(what: Invalidation): Promise<void> {
    await Promise.all(this.#runs.cut(what).map((run) => this.#doom(run)));
  }

  /** Removes what could not be removed before. */
  async removeRemains(): Promise<void> {
    for (const path of [...this.#remains]) {
      this.#remains.delete(path);
      await this.#unlink(path);
    }
  }

  /** Says that the process of the running fills lives. */
  beat(): void {
    for (const claim of this.#claims) claim.beat().catch(() => undefined);
  }

  async #start(
    claim: ClaimFile,
    run: FileRun,
    head: ResponseHead,
    options: FillOptions,
  ): Promise<Fill | Declined> {
    const { layout, modes, durability, maxBytes, maxEntryBytes, entries, invalid, stored, attempt, failed } =
      this.#owner;
    const publishing = { modes, durable: durability === 'commit' };
    const { name } = claim;
    const { key } = run;
    const { size, tags = [] } = options;
    const reservation = new Reservation(entries.ledger);
    const decline = async (declined: Declined['declined']): Promise<Declined> => {
      reservation.release();
      await this.#giveUp(claim);
      this.#end(run);
      return { declined };
    };
    if (size !== undefined && tooLarge(size, maxEntryBytes, options)) return decline('too-large');
    const record = mostRecordBytes(key, head, options);
    const spare = size === undefined ? Math.min(GROW_BYTES, Math.floor(maxBytes / 16)) : 0;
    const room = () => reservation.reach(charge(size ?? 0, record), spare);
    const hasRoom = (await room()) || ((await entries.upkeep.recheckPins()) && (await room()));
    if (!hasRoom) return decline('no-room');
    const path = layout.incompleteBody(name, claim.fill);
    let file: fs.FileHandle;
    try {
      file = await attempt(() => createNew(path, modes.file), size ?? spare);
    } catch (error) {
      debug('no body file for %s: %o', key.primary, error);
      return decline('store-down');
    }
    // A claim that says nothing of its tags is taken for one with any.
    await claim.tag(tags).catch((error: unknown) => failed(error, 'store'));
    const fill: FileFill = new FileFill({
      key,
      head,
      options,
      file,
      grow: async (bytes) => {
        const limit = tooLarge(bytes, maxEntryBytes, options);
        if (limit !== undefined) throw limit;
        const room =
          (await reservation.reach(charge(bytes, record), spare)) && (await reservation.write(bytes));
        if (!room) throw new StoreError('the budget has no room for more', { reason: 'no-room' });
      },
      attempt,
      unreadable: (error) => failed(error, 'read'),
      publish: async (info) => {
        const { fill } = claim;
        if (this.#revoked.has(claim))
          throw new SupersededError('the key was purged while its body was being written');
        await entries.replace(
          { name, fill, size: info.size },
          () =>
            publish(layout, claim, { ...info, head, fill }, publishing).catch((error: Error) => {
              failed(error, 'store');
              throw error;
            }),
          () => {
            this.#claims.delete(claim);
            reservation.release(charge(info.size, record));
          },
        );
        await stored(name);
      },
      unjoinable: () => this.#end(run),
      discard: async (wreck) => {
        const kept =
          wreck !== undefined &&
          (await invalid.keep(claim, { key, head, wreck }, () => reservation.release()));
        if (!kept) await this.#unlink(path);
        await this.#giveUp(claim);
        reservation.release();
        // The note may be longer than the record would have been.
        if (kept) await entries.ledger.evict(maxBytes);
      },
      ended: () => this.#bodies.delete(fill),
      closed: () => file.close().catch(() => undefined),
    });
    this.#bodies.add(fill);
    if (run.begin(fill, tags)) {
      this.#runs.remove(run);
      await this.#doom(run);
    }
    return fill;
  }

  async #giveUp(claim: ClaimFile): Promise<void> {
    this.#claims.delete(claim);
    await claim.close().catch(() => undefined);
    await this.#unlink(claim.path);
  }

  #end(run: FileRun): void {
    this.#runs.remove(run);
    run.end();
  }

  /** Cuts a running fill off from the cache: its claim is gone, so it can't be published. */
  async #doom(run: FileRun): Promise<void> {
    const claim = await run.file;
    if (claim === undefined) return;
    this.#revoked.add(claim);
    await this.#unlink(claim.path);
  }

  async #unlink(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      debug('%s stays behind: %o', path, error);
      this.#remains.add(path);
      this.#owner.failed(error, 'change');
    }
  }
}
