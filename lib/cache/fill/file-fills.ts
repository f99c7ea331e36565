// docs/reference/disk-format.md

import createDebug from 'debug';
import { LRUCache } from 'lru-cache';
import { IntegrityError, StoreError } from '../../errors.ts';
import { unlink } from '../../fs/files.ts';
import type { ResponseHead } from '../../http/body.ts';
import { isSameRepresentation } from '../../http/representation.ts';
import type { Claim, Declined, Entry, Fill, FillOptions, Invalidation, Key, RunningFill } from '../cache.ts';
import { type Beginning, begin, type FillPlace } from './begin.ts';
import type { ClaimFile } from './claim.ts';
import { Continuation } from './continuation.ts';
import type { FileFill } from './file-fill.ts';
import { FileRun, joining } from './file-run.ts';
import { ForeignFill } from './foreign-fill.ts';
import { leaderClaim } from './leader-claim.ts';
import { contest, doomOthers, type Known, leaderOf, OthersClaim } from './others.ts';
import { OwnClaims } from './own-claims.ts';
import { Runs } from './runs.ts';
import type { Heir } from './succession.ts';

const debug = createDebug('cache-filter:store');

/** What the fills ask of the cache that they belong to. */
export interface FillsOwner extends FillPlace {
  isClosed(): boolean;
  open(key: Key): Promise<Entry | undefined> | Entry | undefined;
  /** Whether a newer version of this package has stored what has this name. */
  isNewer(name: string): boolean;
}

/** What this process fetches into files, and what it reads along of what other processes fetch. */
export class FileFills {
  readonly #owner: FillsOwner;
  readonly #runs = new Runs<FileRun>();
  readonly #claims: OwnClaims;
  readonly #bodies = new Set<FileFill>();
  readonly #foreign = new Set<ForeignFill>();
  /** Fills of processes that died. */
  readonly #dead = new LRUCache<string, true>({ max: 1000 });

  constructor(owner: FillsOwner) {
    this.#owner = owner;
    this.#claims = new OwnClaims(owner);
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
    return this.#claims.ids;
  }

  /** Whether the key is being fetched, as far as this process knows. */
  has(key: Key): boolean {
    return this.#runs.of(key) !== undefined;
  }

  /** Whether there is a fill of the key to be joined. */
  isRunning(key: Key): boolean {
    return this.#runs.of(key)?.hasBegun === true;
  }

  /** The part of somebody who comes along; undefined where nobody whom this process knows of fetches the key. */
  follow(key: Key): Claim | undefined {
    const run = this.#runs.of(key);
    if (run === undefined) return undefined;
    if (run.isPurged) {
      this.#runs.remove(run);
      return undefined;
    }
    return joining(run);
  }

  /** The same, for what another process fetches. */
  async followOthers(key: Key): Promise<Claim | undefined> {
    const leader = await this.#leader(key);
    if (leader === undefined) return undefined;
    const known = this.follow(key);
    if (known !== undefined) {
      leader.close();
      return known;
    }
    const run = new FileRun(key);
    run.claimUnder(undefined);
    this.#runs.add(run);
    return this.#followOther(run, leader);
  }

  /** Claims a key that nobody in this process fetches: whoever of all processes came first leads. */
  async lead(key: Key, newerThan: number): Promise<Claim> {
    const { layout, isClosed, open, isNewer } = this.#owner;
    const name = layout.name(key.primary, key.variant);
    // Registered before the first wait: a second claim finds it.
    const run = new FileRun(key);
    this.#runs.add(run);
    const giveUp = async () => {
      await this.#claims.giveUp(run.claim);
      this.#end(run);
    };
    try {
      const claim = await this.#claims.create(key);
      run.claimUnder(claim);
      const other = isClosed() ? undefined : await contest(layout, claim, this.#known);
      if (other !== undefined) {
        await this.#claims.giveUp(claim);
        return this.#followOther(run, other);
      }
    } catch (error) {
      debug('no claim for %s: %o', key.primary, error);
      run.claimUnder(run.claim);
      await giveUp();
      return { role: 'declined', reason: 'store-down' };
    }
    if (isClosed()) {
      await giveUp();
      return { role: 'declined', reason: 'closed' };
    }
    const entry = await open(key);
    if (entry !== undefined && entry.info.storedAt > newerThan) {
      run.isOpen = true;
      await giveUp();
      return { role: 'entry', entry };
    }
    if (isNewer(name)) {
      entry?.release(false);
      await giveUp();
      return { role: 'declined', reason: 'unknown-format' };
    }
    const claim = run.claim as ClaimFile;
    return leaderClaim(this.#owner, {
      run,
      claim,
      previous: entry,
      isRevoked: () => this.#claims.revoked.has(claim.fill),
      start: (head, options) => this.#start(run, { claim, head, options }),
      published: () => this.#claims.published(claim),
      over: () => this.#end(run),
      giveUp,
    });
  }

  /** Cuts off from the cache what is to be invalidated, in every process. */
  async doom(what: Invalidation): Promise<void> {
    const joined = new Set(this.#runs.all().map(({ claim }) => claim));
    // What is no longer joined, because it was handed on after a purge say, is looked at like the fills of others.
    const strays = new Map(
      [...this.#claims].filter((claim) => !joined.has(claim)).map((claim) => [claim.fill, claim]),
    );
    await this.cut(what);
    const own = this.ids;
    for (const fill of strays.keys()) own.delete(fill);
    await doomOthers(this.#owner.layout, what, own, async (path, fill) => {
      const stray = strays.get(fill);
      // One of ours can't be published any more, whether its file goes now or later.
      await (stray === undefined ? unlink(path) : this.#claims.revoke(stray));
    });
  }

  /** The same in this process only, which can always be done. */
  async cut(what: Invalidation): Promise<void> {
    await Promise.all(this.#runs.cut(what).map((run) => this.#doom(run)));
  }

  /** Removes what could not be removed before. */
  async removeRemains(): Promise<void> {
    await this.#claims.removeRemains();
  }

  /** Says that the process of the running fills lives. */
  beat(): void {
    this.#claims.beat();
    for (const fill of this.#foreign) fill.beat();
  }

  /** What other processes fetch is not followed any longer. */
  close(): void {
    for (const fill of this.#foreign) fill.fail(new StoreError('the cache was closed'));
  }

  async #start(
    run: FileRun,
    beginning: Pick<Beginning, 'claim' | 'head' | 'options' | 'before'>,
  ): Promise<FileFill | Declined> {
    const { claim, options } = beginning;
    const fill = await begin(this.#owner, {
      ...beginning,
      key: run.key,
      isRevoked: () => this.#claims.revoked.has(claim.fill),
      remove: (path) => this.#claims.remove(path),
      unjoinable: () => this.#end(run),
      ended: (body) => this.#bodies.delete(body),
      over: async (published) => {
        if (published) this.#claims.published(claim);
        else await this.#claims.giveUp(claim);
      },
    });
    if ('declined' in fill) {
      this.#end(run);
      return fill;
    }
    this.#bodies.add(fill);
    if (run.begin(fill, options.tags ?? [])) {
      this.#runs.remove(run);
      await this.#doom(run);
    }
    return fill;
  }

  /** Reads along; what was to be ours alone is shared with whoever comes. */
  #followOther(run: FileRun, other: OthersClaim): Claim {
    run.path = other.path;
    const { layout, modes } = this.#owner;
    const fill = new ForeignFill(run.key, other, {
      layout,
      modes,
      next: async (since) => {
        const next = (await this.#leader(run.key)) ?? (await OthersClaim.published(layout, run.key, since));
        if (next !== undefined) run.path = next.path;
        return next;
      },
      died: (dead) => this.#dead.set(dead, true),
      vanished: () => {
        run.isOpen = true;
      },
      succeed: (orphan, heir) => this.#succeed(run, orphan, heir),
      ended: () => {
        this.#foreign.delete(fill);
        this.#end(run);
      },
    });
    this.#foreign.add(fill);
    void fill.begun.then((begun) => {
      if (!begun) this.#end(run);
      else if (run.begin(fill, fill.tags)) this.#runs.remove(run);
    });
    return joining(run);
  }

  /** A process died while it fetched: somebody in this one goes on, unless another process was first. */
  async #succeed(
    run: FileRun,
    orphan: ForeignFill,
    heir: Heir,
  ): Promise<'succeeded' | 'declined' | 'beaten'> {
    const { layout, isClosed } = this.#owner;
    if (isClosed()) return 'declined';
    const { key } = run;
    const claim = await this.#claims.create(key);
    run.claimUnder(claim);
    const other = await contest(layout, claim, this.#known).catch(() => 'declined' as const);
    if (other !== undefined) {
      await this.#claims.giveUp(claim);
      if (other === 'declined') return other;
      other.close();
      return 'beaten';
    }
    const { head, storedAt } = orphan.begunWith;
    // Another process may have gone on, and come to the end, while this one asked who else would.
    const stored = await OthersClaim.published(layout, key, storedAt).catch(async (error: unknown) => {
      await this.#claims.giveUp(claim);
      throw error;
    });
    if (stored !== undefined) {
      stored.close();
      await this.#claims.giveUp(claim);
      return 'beaten';
    }
    heir({
      role: 'leader',
      inherited: { head, bytes: orphan.growing.taken },
      start: (newHead, options = {}) => this.#goOn(run, orphan, claim, { head: newHead, options }),
      refresh: async () => {
        await this.#claims.giveUp(claim);
        orphan.again();
        return { declined: 'superseded' };
      },
      abandon: async () => {
        await this.#claims.giveUp(claim);
        orphan.again();
      },
    });
    return 'succeeded';
  }

  async #goOn(
    run: FileRun,
    orphan: ForeignFill,
    claim: ClaimFile,
    given: { head: ResponseHead; options: FillOptions },
  ): Promise<Fill | Declined> {
    const { head, size, version } = orphan.begunWith;
    const same =
      isSameRepresentation({ head, size }, { head: given.head, size: given.options.size }) &&
      version === given.options.version;
    if (!same) {
      await this.#claims.giveUp(claim);
      orphan.fail(new IntegrityError('what the application sends now is another representation'));
      return { declined: 'changed' };
    }
    const fill = await this.#start(run, { claim, head, options: given.options, before: orphan });
    if ('declined' in fill) {
      orphan.fail(new StoreError('the cache can not go on with what another process began'));
      return fill;
    }
    this.#foreign.delete(orphan);
    return new Continuation(fill);
  }

  get #known(): Known {
    return { own: this.#claims, revoked: this.#claims.revoked, dead: this.#dead };
  }

  #leader(key: Key): Promise<OthersClaim | undefined> {
    return leaderOf(this.#owner.layout, key, this.#known);
  }

  #end(run: FileRun): void {
    this.#runs.remove(run);
    run.end();
  }

  /** Cuts a running fill off from the cache: its claim is gone, so it can't be published. */
  async #doom(run: FileRun): Promise<void> {
    await run.claimed;
    if (run.claim === undefined) return;
    await this.#claims.revoke(run.claim);
  }
}
