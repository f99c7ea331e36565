// docs/reference/disk-format.md

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import createDebug from 'debug';
import { createNew, isMissing, makeDirectory, onDisk, unlink, writeAt } from '../../fs/files.ts';
import { type Layout, shardName } from '../../fs/layout.ts';
import type { DeclineReason, FillInfo, Invalidation, Key } from '../cache.ts';
import type { Doing } from '../fault.ts';
import type { FileEntries } from '../file-entries.ts';
import { ClaimFile } from '../fill/claim.ts';
import type { Begun } from '../fill/claim-text.ts';
import { tooLarge, tooSmall } from '../fill/proof.ts';
import { concerns } from '../invalidation.ts';
import { idOf } from '../key.ts';
import { remove } from '../leftovers.ts';
import { BlockMap } from './block-map.ts';
import { OwnParts } from './own-parts.ts';
import type { FindOut, PartialBody, PartsBeginning, PartsDeclined, PartsStore } from './parts.ts';
import {
  chargeOfNone,
  type FoundParts,
  findParts,
  infoOf,
  listParts,
  readMap,
  removeParts,
} from './parts-files.ts';
import { RestingParts } from './resting-parts.ts';
import { encodeSumsHeader } from './sums-file.ts';

const debug = createDebug('cache-filter:store');

/** Parts that go away again and again while they are opened are none in the end. */
const ATTEMPTS = 5;

/** What the parts ask of the cache that they belong to. */
export interface PartsPlace {
  layout: Layout;
  modes: { file: number; directory: number };
  durability: 'none' | 'commit';
  maxEntryBytes: number;
  entries: FileEntries;
  /** Why nothing can be taken now. */
  declines(): DeclineReason | undefined;
  /** What should have been purged, and could not be. */
  hides(info: FillInfo): boolean;
  attempt<T>(act: () => Promise<T>, bytes: number): Promise<T>;
  failed(error: unknown, doing: Doing): void;
  isNewer(name: string): boolean;
  /** What has this name has been stored. Never rejects. */
  stored(name: string): Promise<void>;
  damaged(name: string, why: string, key: Key): void;
}

/** What is being opened, and whether it was purged meanwhile. */
interface Opening {
  key: Key;
  doomed: boolean;
}

/**
 * Bodies of which only parts are there, on disk. One process has them at a time: the one whose claim lies beside them. Nobody has those
 * that are at rest, whatever became of whoever had them: the next one to ask takes them over, under a claim of its own.
 */
export class FileParts implements PartsStore {
  readonly #place: PartsPlace;
  readonly #own = new Map<string, OwnParts>();
  readonly #ids = new Set<string>();
  readonly #openings = new Set<Opening>();
  /** What is being done to a name; one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** What nobody has. */
  readonly resting: RestingParts;

  constructor(place: PartsPlace) {
    this.#place = place;
    const { layout } = place;
    this.resting = new RestingParts({ layout, ledger: () => place.entries.ledger, own: this.#ids });
  }

  /** Fill ids of those that this process has. */
  get ids(): ReadonlySet<string> {
    return this.#ids;
  }

  async open(key: Key, begin?: PartsBeginning | FindOut): Promise<PartialBody | PartsDeclined | undefined> {
    const name = this.#place.layout.name(key.primary, key.variant);
    // What has just been verified is an entry in a moment.
    if (this.#own.get(name)?.body.isWhole === true) await this.#own.get(name)?.body.committing;
    const own = this.#current(name, key);
    if (own !== undefined) return own;
    const opening = { key, doomed: false };
    this.#openings.add(opening);
    try {
      return await this.#inTurn(
        name,
        async () => this.#current(name, key) ?? this.#open(name, opening, begin),
      );
    } catch (error) {
      debug('no parts of %s: %o', key.primary, error);
      this.#place.failed(error, 'store');
      return { declined: 'store-down' };
    } finally {
      this.#openings.delete(opening);
    }
  }

  /** Cuts off what is to be invalidated, in every process. @param since what was stored later is not meant */
  async doom(what: Invalidation, since: number = Number.POSITIVE_INFINITY): Promise<void> {
    this.cut(what, since);
    await this.resting.doom(what, since);
  }

  /** The same in this process only, which can always be done. */
  cut(what: Invalidation, since: number = Number.POSITIVE_INFINITY): void {
    for (const opening of this.#openings) {
      if ('tag' in what || concerns(what, opening.key, [])) opening.doomed = true;
    }
    for (const own of [...this.#own.values()]) {
      const { key, tags, storedAt } = own.body.info;
      if (storedAt <= since && concerns(what, key, tags)) this.#doom(own);
    }
  }

  beat(): void {
    for (const own of this.#own.values()) own.claim.beat().catch(() => undefined);
  }

  /** The directory is another one: what was there is not. */
  reset(): void {
    for (const own of [...this.#own.values()]) this.#doom(own);
    this.resting.clear();
  }

  /** What is still read or written is put to rest, all the same, when that is over. */
  async close(): Promise<void> {
    await Promise.all(this.#turns.values());
  }

  #current(name: string, key: Key): PartialBody | undefined {
    const own = this.#own.get(name);
    if (own === undefined || idOf(own.body.info.key) !== idOf(key)) return undefined;
    const { isOver, info, committing } = own.body;
    // To take its claim away would be to purge it.
    if (isOver && committing !== undefined) return undefined;
    // Another process has purged it.
    const isGone = isOver || !existsSync(own.claim.path) || this.#place.hides(info);
    if (isGone) this.#doom(own);
    else this.#place.entries.ledger.touch(own.account);
    return isGone ? undefined : own.body.enter();
  }

  async #open(
    name: string,
    opening: Opening,
    begin: PartsBeginning | FindOut | undefined,
  ): Promise<PartialBody | PartsDeclined | undefined> {
    const reason = this.#place.declines();
    if (reason !== undefined) return { declined: reason };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const found = await this.#find(name, opening.key);
      if (found === 'busy') return { declined: 'busy' };
      if (found === undefined) return begin && this.#begin(name, opening, begin);
      const own = await this.#takeOver(found, opening);
      if (own !== undefined) return own;
    }
    return { declined: 'busy' };
  }

  /** What is at rest under a name; what is of another key, or should have been purged, goes. */
  async #find(name: string, key: Key): Promise<FoundParts | 'busy' | undefined> {
    const { layout, hides } = this.#place;
    let resting: FoundParts | undefined;
    for (const files of await listParts(layout, name)) {
      if (files.name !== name || this.#ids.has(files.fill)) continue;
      const found = await findParts(layout, files);
      if (found.state === 'living') return 'busy';
      const { text } = found;
      const isOurs = text?.begun !== undefined && idOf(text.key) === idOf(key);
      if (found.state === 'resting' && isOurs && !hides(infoOf(key, text.begun as Begun)) && !resting)
        resting = found;
      else if (found.state === 'resting' && (await unlink(layout.part(name, files.fill, 'claim'))))
        await this.resting.forget(files);
    }
    return resting;
  }

  async #takeOver(found: FoundParts, opening: Opening): Promise<PartialBody | undefined> {
    const { layout, entries } = this.#place;
    const { name } = found;
    const begun = found.text?.begun as Begun & { size: number };
    const claim = await this.#claim(name, opening.key);
    const files: fs.FileHandle[] = [];
    try {
      await claim.say({ begun });
      // Ours is there already: whoever purges the key meanwhile finds one of the two.
      if (!(await unlink(layout.part(name, found.fill, 'claim')))) return await this.#giveUp(claim);
      for (const kind of ['body', 'sums'] as const)
        await fs.rename(layout.part(name, found.fill, kind), layout.part(name, claim.fill, kind));
      const map = await readMap(layout, claim, begun.size);
      if (map === undefined) return await this.#giveUp(claim);
      for (const kind of ['body', 'sums'] as const)
        files.push(await fs.open(layout.part(name, claim.fill, kind), 'r+'));
      const [file, sums] = files as [fs.FileHandle, fs.FileHandle];
      this.resting.drop(found);
      const own = this.#make(claim, { key: opening.key, begun, map, file, sums, algorithms: [] });
      entries.ledger.add(own.account, chargeOfNone(opening.key, begun) + onDisk(map.bytes), claim.fill);
      return this.#admit(own, opening);
    } catch (error) {
      for (const file of files) await file.close().catch(() => undefined);
      await this.#giveUp(claim);
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #begin(
    name: string,
    opening: Opening,
    given: PartsBeginning | FindOut,
  ): Promise<PartialBody | PartsDeclined | undefined> {
    if (this.#place.isNewer(name)) return { declined: 'unknown-format' };
    // Before it is asked what there is: whoever purges the key finds it.
    const claim = await this.#claim(name, opening.key);
    const files: fs.FileHandle[] = [];
    try {
      const begin = typeof given === 'function' ? await given().catch(() => undefined) : given;
      const made = begin && (await this.#create(claim, files, opening, begin));
      if (made === undefined || 'declined' in made) await this.#giveUp(claim);
      return made;
    } catch (error) {
      for (const file of files) await file.close().catch(() => undefined);
      await this.#giveUp(claim);
      throw error;
    }
  }

  /** @param files where it puts what it opens */
  async #create(
    claim: ClaimFile,
    files: fs.FileHandle[],
    opening: Opening,
    { head, size, options = {} }: PartsBeginning,
  ): Promise<PartialBody | PartsDeclined> {
    const { layout, modes, entries, maxEntryBytes, attempt } = this.#place;
    if (tooLarge(size, maxEntryBytes, options)) return { declined: 'too-large' };
    if (size === 0 || tooSmall(size, options)) return { declined: 'too-small' };
    const { storedAt = Date.now(), tags = [], version, algorithms = [] } = options;
    const begun = { head, size, storedAt, tags: [...tags], ...(version === undefined ? {} : { version }) };
    const { key } = opening;
    const bytes = chargeOfNone(key, begun);
    await claim.say({ reserved: bytes });
    if (!(await entries.ledger.reserve(bytes))) return { declined: 'no-room' };
    // The account takes its place, or there will be none.
    entries.ledger.unreserve(bytes);
    await attempt(async () => {
      for (const kind of ['body', 'sums'] as const)
        files.push(await createNew(layout.part(claim.name, claim.fill, kind), modes.file));
    }, bytes);
    const [file, sums] = files as [fs.FileHandle, fs.FileHandle];
    await attempt(() => writeAt(sums, encodeSumsHeader(size), 0), bytes);
    await claim.say({ begun });
    if (!existsSync(claim.path)) opening.doomed = true;
    const own = this.#make(claim, { key, begun, map: new BlockMap(size), file, sums, algorithms });
    entries.ledger.add(own.account, bytes, claim.fill);
    return this.#admit(own, opening);
  }

  #make(claim: ClaimFile, of: ConstructorParameters<typeof OwnParts>[1]['of']): OwnParts {
    return new OwnParts(this.#place, {
      claim,
      of,
      rest: (own, work) => {
        if (this.#own.get(claim.name) === own) this.#own.delete(claim.name);
        return this.#inTurn(claim.name, async () => {
          const isAtRest = await work();
          this.#ids.delete(claim.fill);
          if (!isAtRest) return;
          // Purged meanwhile: whoever purged took them for ours, and left the rest of it to us.
          if (existsSync(claim.path)) this.resting.add(claim);
          else await this.resting.forget(claim);
        });
      },
    });
  }

  /** It is there for whoever asks for it, unless it was purged meanwhile. */
  #admit(own: OwnParts, { doomed }: Opening): PartialBody {
    own.hold();
    if (doomed) own.doom();
    else this.#own.set(own.claim.name, own);
    return own.body.enter();
  }

  #doom(own: OwnParts): void {
    if (this.#own.get(own.claim.name) === own) this.#own.delete(own.claim.name);
    own.doom();
  }

  async #claim(name: string, key: Key): Promise<ClaimFile> {
    const { layout, modes, attempt } = this.#place;
    const fill = randomBytes(8).toString('hex');
    const path = layout.part(name, fill, 'claim');
    this.#ids.add(fill);
    try {
      await makeDirectory(join(layout.parts, shardName(name)), modes.directory);
      return await attempt(() => ClaimFile.create(layout, { name, fill, path }, key, modes.file), 4096);
    } catch (error) {
      this.#ids.delete(fill);
      throw error;
    }
  }

  async #giveUp(claim: ClaimFile): Promise<undefined> {
    await claim.close().catch(() => undefined);
    await remove(claim.path);
    await removeParts(this.#place.layout, claim);
    this.#ids.delete(claim.fill);
  }

  async #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(name);
    const turn = (before ?? Promise.resolve()).then(work, work);
    const settled = turn.catch(() => undefined);
    this.#turns.set(name, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(name) === settled) this.#turns.delete(name);
    }
  }
}
