import { closeSync, existsSync, fstatSync, open as openFile, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { isMissing, list, readIfThere, unlink } from '../../fs/files.ts';
import { type Layout, parseFileName, primaryName } from '../../fs/layout.ts';
import { isRunning, type ProcessId } from '../../fs/living.ts';
import type { Invalidation, Key } from '../cache.ts';
import { concerns } from '../invalidation.ts';
import { idOf } from '../key.ts';
import { DEAD_MS } from '../leftovers.ts';
import { decodeRecord, type EntryRecord } from '../record.ts';
import type { ClaimFile } from './claim.ts';
import { type ClaimEnd, type ClaimText, decodeClaim, endOfNote } from './claim-text.ts';

const openFd = promisify(openFile);

/** A claim that has not said for so long that its owner lives is suspect, in milliseconds. It says so three times in that time. */
export const ORPHAN_MS = 1_500;

/** Where it can be asked whether the process runs, it is after so long. */
const SILENT_MS = 750;

/** Who suspects it looks on so many times, so far apart at least in milliseconds: on a busy machine it has not had its turn either. */
const SUSPENSE_LOOKS = 12;
const LOOK_MS = 40;

/** From one look at a contender to the next, in milliseconds. */
const CONTEST_MS = 2;

/** What can be seen of another's claim. */
export interface ClaimState {
  /** Undefined at a moment at which it is being written. */
  text: ClaimText | undefined;
  /** It is to become this one: all of the body has come, and is verified. */
  record: EntryRecord | undefined;
  /** The rename that makes it an entry is still to come: its owner may die before that. */
  pending: boolean;
  /** Nothing more comes, and it does not become an entry. */
  ended: ClaimEnd | undefined;
  alive: boolean;
  /** Nobody has taken its name away. One of another key that shares its name has none for who looks for this key, and says nothing else. */
  named: boolean;
}

/** Where a claim is, or the record that it has become, and what it is to be for. */
interface ClaimPlace {
  key: Key;
  fill: string;
  path: string;
  isPublished: boolean;
  /** Those of this process: it need not say that it lives. */
  own: FillIds;
}

/** The claim of another process, or of somebody else in this one, kept open. */
export class OthersClaim {
  readonly name: string;
  readonly fill: string;
  readonly path: string;
  readonly #id: string;
  readonly #fd: number;
  readonly #isPublished: boolean;
  readonly #own: FillIds;
  /** As it said last: a record does not. */
  #owner: ProcessId | undefined;
  /** The last sign of life that was seen, how often there was no other since, and when that was looked for, by our own clock. */
  #beat = { at: 0, looks: 0, lookedAt: 0 };
  #open = true;

  private constructor(layout: Layout, { key, fill, path, isPublished, own }: ClaimPlace, fd: number) {
    this.name = nameOf(layout, key);
    this.fill = fill;
    this.path = path;
    this.#id = idOf(key);
    this.#fd = fd;
    this.#isPublished = isPublished;
    this.#own = own;
  }

  /** Undefined where it has gone. */
  static open(layout: Layout, key: Key, fill: string, own: FillIds): Promise<OthersClaim | undefined> {
    const path = layout.claim(nameOf(layout, key), fill);
    return OthersClaim.#at(layout, { key, fill, path, isPublished: false, own });
  }

  /** One that has become the record of this key since that time, in milliseconds since the epoch; undefined where there is none. */
  static async published(layout: Layout, key: Key, since: number): Promise<OthersClaim | undefined> {
    const path = layout.record(nameOf(layout, key));
    const record = decodeRecord((await readIfThere(path)) ?? Buffer.alloc(0));
    if (record === undefined || idOf(record.key) !== idOf(key) || record.storedAt < since) return undefined;
    return OthersClaim.#at(layout, { key, fill: record.fill, path, isPublished: true, own: NONE });
  }

  static async #at(layout: Layout, place: ClaimPlace): Promise<OthersClaim | undefined> {
    try {
      return new OthersClaim(layout, place, await openFd(place.path, 'r'));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /**
   * Without a wait: a few microseconds.
   * @param once nobody looks again: the owner may have slept as long as we have
   */
  look(once = false): ClaimState {
    const { mtimeMs, nlink, size } = fstatSync(this.#fd);
    const bytes = Buffer.alloc(size);
    const count = readSync(this.#fd, bytes, 0, size, 0);
    const content = bytes.subarray(0, count);
    const text = decodeClaim(content);
    const record = text === undefined ? decodeRecord(content) : undefined;
    this.#owner = text?.owner ?? this.#owner;
    const alive = this.#own.has(this.fill) || this.#isAlive(mtimeMs, once);
    const key = text?.key ?? record?.key;
    if (key !== undefined && idOf(key) !== this.#id)
      return { text: undefined, record: undefined, pending: false, ended: undefined, alive, named: false };
    return {
      text,
      record,
      pending: record !== undefined && nlink > 0 && !this.#isPublished && existsSync(this.path),
      ended: text === undefined && record === undefined ? endOfNote(content) : text?.ended,
      alive,
      named: nlink > 0,
    };
  }

  #isAlive(beatAt: number, once: boolean): boolean {
    const owner = this.#owner;
    const now = performance.now();
    const age = Date.now() - beatAt;
    const running = age < SILENT_MS || owner === undefined ? undefined : isRunning(owner);
    if (running === false) return false;
    if (beatAt !== this.#beat.at || age < ORPHAN_MS) this.#beat = { at: beatAt, looks: 0, lookedAt: now };
    if (age < ORPHAN_MS) return true;
    if (now - this.#beat.lookedAt >= LOOK_MS) {
      this.#beat.looks++;
      this.#beat.lookedAt = now;
    }
    const isSuspect = this.#beat.looks >= SUSPENSE_LOOKS;
    // Stopped, or starved on a busy machine: it has longer.
    if (running === true) return age < DEAD_MS || !(once || isSuspect);
    return !isSuspect && !(once && age >= DEAD_MS);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}

/** Fill ids. */
interface FillIds {
  has(fill: string): boolean;
}

const NONE: FillIds = { has: () => false };

/** What this process knows of fills that it finds claimed. */
export interface Known {
  /** Its own: it may read along of one fill of a key, whose writer was lost, and be about to begin another. */
  own: FillIds;
  /** Those of its own that were purged, though the store has not let go of their claims. */
  revoked: FillIds;
  /** Those whose owner is dead. */
  dead: FillIds;
}

/** The fill that somebody leads under this key, or is about to; undefined where there is none. */
export async function leaderOf(layout: Layout, key: Key, known: Known): Promise<OthersClaim | undefined> {
  for await (const other of othersOf(layout, key, known)) {
    const { record, alive, ended, named } = other.look(true);
    const isOver = !alive || known.dead.has(other.fill) || record !== undefined || ended !== undefined;
    if (!isOver && named) return other;
    other.close();
  }
  return undefined;
}

/**
 * Decides who leads where several have claimed a key: resolves to the claim that is to be followed, or to undefined where
 * our own leads. A claim that sees one that leads, or one with a lower id, gives way; one with the lowest id waits until those that
 * may have come before it, and have not seen it, have made up their minds. Without a lock: whoever errs fetches once too often.
 */
export async function contest(
  layout: Layout,
  claim: ClaimFile,
  known: Known,
): Promise<OthersClaim | undefined> {
  for (;;) {
    let undecided = false;
    for await (const other of othersOf(layout, claim.key, known, claim.fill)) {
      const { text, record, alive, ended, named } = other.look(true);
      if (!alive || known.dead.has(other.fill)) {
        await removeDead(layout, other);
      } else if (record !== undefined) {
        // About to be an entry.
        undecided = true;
      } else if (ended === undefined && named) {
        if (text?.leads === true || other.fill < claim.fill) return other;
        undecided = true;
      }
      other.close();
    }
    if (!undecided) {
      await claim.say({ leads: true });
      return undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, CONTEST_MS));
  }
}

/**
 * Cuts off the fills of others that may be for what is to be invalidated.
 * @param own fill ids that are none of theirs
 * @param cut takes the claim away
 */
export async function doomOthers(
  layout: Layout,
  what: Invalidation,
  own: ReadonlySet<string>,
  cut: (path: string, fill: string) => Promise<void>,
): Promise<void> {
  const base = 'key' in what ? layout.name(what.key, undefined) : undefined;
  for (const file of await list(layout.incomplete)) {
    const { name, fill, kind } = parseFileName(file) ?? {};
    if (name === undefined || fill === undefined || kind !== 'claim' || own.has(fill)) continue;
    const path = layout.claim(name, fill);
    const claim = base === undefined ? await readIfThere(path) : undefined;
    if (base === undefined ? claim !== undefined && mayConcern(what, claim) : primaryName(name) === base) {
      await cut(path, fill);
    }
  }
}

/** Whether the claim of another process may be for what is to be invalidated. In doubt it is: that costs a fill, not a wrong answer. */
function mayConcern(what: Invalidation, claim: Uint8Array): boolean {
  const text = decodeClaim(claim);
  const { key, tags } = decodeRecord(claim) ?? { key: text?.key, tags: text?.begun?.tags };
  // Being written at this moment.
  if (key === undefined) return true;
  return concerns(what, key, tags ?? ('tag' in what ? [what.tag] : []));
}

function nameOf(layout: Layout, { primary, variant }: Key): string {
  return layout.name(primary, variant);
}

async function* othersOf(
  layout: Layout,
  key: Key,
  { own, revoked }: Known,
  except?: string,
): AsyncGenerator<OthersClaim> {
  const name = nameOf(layout, key);
  for (const file of await list(layout.incomplete)) {
    const parsed = parseFileName(file);
    if (parsed?.kind !== 'claim' || parsed.name !== name) continue;
    const { fill = '' } = parsed;
    if (fill === except || revoked.has(fill)) continue;
    const other = await OthersClaim.open(layout, key, fill, own);
    if (other !== undefined) yield other;
  }
}

/** Its owner may be asleep rather than dead: then it finds its claim gone, and does not publish. */
async function removeDead(layout: Layout, { name, fill, path }: OthersClaim): Promise<void> {
  for (const file of [path, layout.incompleteBody(name, fill)]) await unlink(file).catch(() => undefined);
}
