// docs/reference/disk-format.md

import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import createDebug from 'debug';
import { exists, list, makeDirectory, onDisk, unlink } from '../fs/files.ts';
import { type Layout, parseInvalidName } from '../fs/layout.ts';
import type { ResponseHead } from '../http/body.ts';
import type { Digest } from '../http/digest.ts';
import type { Key, Proof, Removed } from './cache.ts';
import type { Expendable } from './expendable.ts';
import type { ClaimFile } from './fill/claim.ts';
import { DEAD_MS, remove } from './leftovers.ts';
import { seal } from './seal.ts';

const debug = createDebug('cache-filter:store');

const FORMAT = 1;

/** Nothing is kept for longer, in milliseconds. */
const LONGEST_MS = 86_400_000;

/** How often it is looked for what is too old, in milliseconds. */
const LOOK_MS = 600_000;

/** Of an error's message, in letters: it may quote what the application sent. */
const MESSAGE_LENGTH = 500;

/** A body that came out wrong. */
export interface Wreck {
  why: Error;
  /** Bytes that its file has. */
  size: number;
  /** What it should have been. */
  expected: Proof;
  /** What it is, as far as that was found out. */
  digests: readonly Digest[];
}

/** Files of one fill in `invalid/`, as the budget sees them. */
interface Kept {
  name: string;
  fill: string;
  /** On disk. */
  bytes: number;
  /** In milliseconds. */
  since: number;
}

/** What of it is on disk. */
interface Found extends Kept {
  body: boolean;
  note: boolean;
}

/** Bodies that came out wrong, kept for a while so that somebody can find out why; each with a note of what was wrong. */
export class InvalidBodies implements Expendable {
  readonly maxBytes: number;
  readonly #layout: Layout;
  readonly #directoryMode: number;
  /** Oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  /** Taken off the account since it was begun to look at what is on disk. */
  #forgotten: Set<string> | undefined;
  /** On their way in, and on their way out. */
  readonly #coming = new Set<string>();
  readonly #leaving = new Set<string>();
  /** One look at a time. */
  #look: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(layout: Layout, { maxBytes, directoryMode }: { maxBytes: number; directoryMode: number }) {
    this.maxBytes = maxBytes;
    this.#layout = layout;
    this.#directoryMode = directoryMode;
  }

  /** Takes over what is there, and looks after it from now on. */
  async start(): Promise<void> {
    if (this.#closed) return;
    this.#timer = setInterval(() => {
      this.look().catch((error: unknown) => debug('invalid/ could not be read: %o', error));
    }, LOOK_MS);
    this.#timer.unref();
    await this.look();
  }

  get files(): number {
    return this.#kept.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Moves the body of a fill here, and makes a note of its claim. Resolves to whether it did; where not, the body is where it was, or gone.
   * A claim that has been taken away says that the key was purged: then it does not.
   * @param settle called at the moment from which on the files are accounted for here
   */
  async keep(
    claim: ClaimFile,
    { key, head, wreck }: { key: Key; head: ResponseHead; wreck: Wreck },
    settle: () => void,
  ): Promise<boolean> {
    const { name, fill } = claim;
    const note = noteOf(key, head, wreck);
    const bytes = onDisk(wreck.size) + onDisk(note.byteLength);
    if (wreck.size === 0 || bytes > this.maxBytes) return false;
    const id = `${name}.${fill}`;
    const body = this.#layout.invalidBody(name, fill);
    this.#coming.add(id);
    try {
      await makeDirectory(this.#layout.invalid, this.#directoryMode);
      await claim.become(note);
      await claim.close();
      await fs.rename(this.#layout.incompleteBody(name, fill), body);
      await fs.rename(claim.path, this.#layout.invalidNote(name, fill));
    } catch (error) {
      debug('the invalid body of %s is not kept: %o', key.primary, error);
      await unlink(body).catch(() => undefined);
      return false;
    } finally {
      this.#coming.delete(id);
    }
    settle();
    this.#add({ name, fill, bytes, since: Date.now() });
    await this.free(this.#bytes - this.maxBytes).gone;
    return true;
  }

  /** Oldest first. */
  free(bytes: number): { bytes: number; gone: Promise<unknown> } {
    let freed = 0;
    const gone: Promise<unknown>[] = [];
    for (const kept of [...this.#kept.values()]) {
      if (freed >= bytes) break;
      freed += kept.bytes;
      gone.push(this.#remove(kept));
    }
    return { bytes: freed, gone: Promise.all(gone) };
  }

  /** Brings the account up to date with what is there, of other processes too, and removes what is too old or too much. */
  look(): Promise<void> {
    this.#look = this.#look.catch(() => undefined).then(() => this.#lookOnce());
    return this.#look;
  }

  /** Removes all; what was removed here, in bodies and bytes on disk. */
  async clean(): Promise<Removed> {
    await this.look();
    const removed = { entries: 0, bytes: 0 };
    for (const kept of [...this.#kept.values()]) {
      const { entries, bytes } = await this.#remove(kept);
      removed.entries += entries;
      removed.bytes += bytes;
    }
    return removed;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #lookOnce(): Promise<void> {
    const forgotten = new Set<string>(this.#leaving);
    this.#forgotten = forgotten;
    const before = new Set(this.#kept.keys());
    const found = await this.#find().finally(() => {
      this.#forgotten = undefined;
    });
    // What comes meanwhile was perhaps seen by half, and what went is perhaps seen still.
    const account = new Map([...this.#kept].filter(([id]) => !before.has(id)));
    for (const [id, kept] of found) if (!forgotten.has(id) && !this.#coming.has(id)) account.set(id, kept);
    this.#kept.clear();
    this.#bytes = 0;
    for (const kept of [...account.values()].sort((a, b) => a.since - b.since)) this.#add(kept);
    const halves = [...found.values()].filter((kept) => !(kept.body && kept.note));
    for (const half of halves) if (await this.#isLost(half)) await this.#remove(half);
    const tooOld = [...this.#kept.values()].filter((kept) => Date.now() - kept.since > LONGEST_MS);
    await Promise.all(tooOld.map((kept) => this.#remove(kept)));
    await this.free(this.#bytes - this.maxBytes).gone;
  }

  /** Whether whoever was moving it in, or out, was killed meanwhile. The body comes first, and its claim becomes the note. */
  async #isLost({ name, fill, body }: Found): Promise<boolean> {
    if (!body) return true;
    if (this.#coming.has(`${name}.${fill}`)) return false;
    const claim = await fs.stat(this.#layout.claim(name, fill)).catch(() => undefined);
    if (claim !== undefined) return Date.now() - claim.mtimeMs >= DEAD_MS;
    return !(await exists(this.#layout.invalidNote(name, fill)));
  }

  async #find(): Promise<Map<string, Found>> {
    const found = new Map<string, Found>();
    for (const file of await list(this.#layout.invalid)) {
      const { name, fill, kind } = parseInvalidName(file) ?? {};
      if (name === undefined || fill === undefined) continue;
      const stat = await fs.stat(join(this.#layout.invalid, file)).catch(() => undefined);
      if (stat === undefined) continue;
      const id = `${name}.${fill}`;
      const { bytes, since, body, note } = found.get(id) ?? { bytes: 0, since: 0, body: false, note: false };
      found.set(id, {
        name,
        fill,
        bytes: bytes + onDisk(stat.size),
        since: Math.max(since, stat.mtimeMs),
        body: body || kind === 'body',
        note: note || kind === 'json',
      });
    }
    return found;
  }

  #add(kept: Kept): void {
    const id = `${kept.name}.${kept.fill}`;
    this.#forget(id);
    this.#kept.set(id, kept);
    this.#bytes += kept.bytes;
  }

  #forget(id: string): void {
    this.#forgotten?.add(id);
    this.#bytes -= this.#kept.get(id)?.bytes ?? 0;
    this.#kept.delete(id);
  }

  /** Never rejects. Whoever unlinks a file counts it: others may be cleaning as well. */
  async #remove({ name, fill }: Kept): Promise<Removed> {
    const id = `${name}.${fill}`;
    this.#forget(id);
    this.#leaving.add(id);
    const bodyBytes = await removeFile(this.#layout.invalidBody(name, fill));
    const noteBytes = await removeFile(this.#layout.invalidNote(name, fill));
    this.#leaving.delete(id);
    return { entries: bodyBytes === undefined ? 0 : 1, bytes: (bodyBytes ?? 0) + (noteBytes ?? 0) };
  }
}

/** What a file took on disk, where it was us who removed it. */
async function removeFile(path: string): Promise<number | undefined> {
  const stat = await fs.stat(path).catch(() => undefined);
  return stat !== undefined && (await remove(path)) ? onDisk(stat.size) : undefined;
}

function noteOf(key: Key, head: ResponseHead, { why, size, expected, digests }: Wreck): Buffer {
  const { code } = why as { code?: unknown };
  return seal({
    format: FORMAT,
    key,
    head,
    why: {
      message: why.message.slice(0, MESSAGE_LENGTH),
      ...(typeof code === 'string' ? { code } : {}),
    },
    size,
    digests,
    expected: {
      ...(expected.length === undefined ? {} : { size: expected.length }),
      ...(expected.digests === undefined ? {} : { digests: expected.digests }),
    },
    failedAt: Date.now(),
  });
}
