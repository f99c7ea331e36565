import { readFileSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { onDisk } from '../fs/files.ts';
import { isPast } from '../fs/identity.ts';
import { type Layout, parseFileName } from '../fs/layout.ts';
import { reservedOf } from './fill/claim-text.ts';
import { DEAD_MS } from './leftovers.ts';
import { namesIn } from './shard.ts';

/** What another process says, by its claim, that it will take. Said once for most fills: it need not be read again at once. */
const KNOWN_MS = 1_000;

/** A fill of another process. */
interface Other {
  name: string;
  /** On disk of all its files. */
  bytes: number;
  /** What its claim has announced, in bytes; undefined: nothing yet. */
  reserved: number | undefined;
  /** When the claim was read, in milliseconds. */
  readAt: number;
  /** It has lost its owner, and not only just now. */
  lost: boolean;
}

/** What other processes are writing into the same directory. All of it synchronous: a few files. */
export class OtherFills {
  readonly #layout: Layout;
  #fills = new Map<string, Other>();
  /** Those that are over: their bytes count until somebody has looked what became of them. */
  readonly #over = new Map<string, Other>();
  #modifiedAt = -1;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** What they take, or have announced to, in bytes on disk. */
  get bytes(): number {
    let bytes = 0;
    for (const fill of [...this.#fills.values(), ...this.#over.values()]) {
      bytes += Math.max(fill.bytes, fill.reserved ?? 0);
    }
    return bytes;
  }

  /** Whether there are any that have announced what they will take: a claim of this process is not known as its own while it is created. */
  get some(): boolean {
    return [...this.#fills.values()].some(({ reserved }) => reserved !== undefined);
  }

  /** Whether one was left behind by a process that was killed. */
  get lost(): boolean {
    return [...this.#fills.values()].some(({ lost }) => lost);
  }

  /**
   * Looks at them.
   * @param own fill ids of this process
   * @param lostMs how long a claim has to be silent for it to be `lost`
   * @returns the names of those that are over since; `settled` has to be called for them
   */
  look(own: ReadonlySet<string>, lostMs: number): string[] {
    const now = Date.now();
    const stat = statOf(this.#layout.incomplete);
    if (stat?.mtimeMs === this.#modifiedAt && this.#fills.size === 0) return this.#unsettled;
    this.#modifiedAt = stat !== undefined && isPast(stat.mtimeMs, now) ? stat.mtimeMs : -1;
    const before = this.#fills;
    this.#fills = new Map();
    for (const file of namesIn(this.#layout.incomplete)) {
      const { name, fill, kind } = parseFileName(file) ?? {};
      if (name === undefined || fill === undefined || own.has(fill)) continue;
      const path = join(this.#layout.incomplete, file);
      const found = statOf(path);
      if (found === undefined) continue;
      // On its way out, of this process perhaps; ctime says since when.
      if (kind === 'gone' && now - found.ctimeMs < DEAD_MS) continue;
      const known = before.get(fill);
      const other = this.#fills.get(fill) ?? {
        name,
        bytes: 0,
        reserved: undefined,
        readAt: 0,
        lost: false,
      };
      this.#fills.set(fill, other);
      other.bytes += onDisk(found.size);
      if (kind === 'gone') other.lost = now - found.ctimeMs >= lostMs;
      if (kind !== 'claim') continue;
      other.lost = now - found.mtimeMs >= lostMs;
      // What a dead process has announced it will not take any more.
      if (now - found.mtimeMs >= DEAD_MS) continue;
      const isFresh = known !== undefined && now - known.readAt < KNOWN_MS && known.reserved !== undefined;
      // While it is rewritten, or becomes a record, it says nothing: what it said before holds.
      const read = isFresh ? undefined : readReserved(path);
      other.reserved = read ?? known?.reserved;
      other.readAt = read === undefined ? (known?.readAt ?? 0) : now;
    }
    for (const [fill, other] of before) {
      if (!this.#fills.has(fill) && !own.has(fill)) this.#over.set(fill, other);
    }
    return this.#unsettled;
  }

  get #unsettled(): string[] {
    return [...this.#over.values()].map(({ name }) => name);
  }

  /** It is known what became of the fills of this name that were over. */
  settled(name: string): void {
    for (const [fill, other] of this.#over) if (other.name === name) this.#over.delete(fill);
  }
}

function readReserved(path: string): number | undefined {
  try {
    return reservedOf(readFileSync(path));
  } catch {
    return undefined;
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
