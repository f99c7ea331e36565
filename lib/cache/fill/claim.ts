import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createNew, list, readIfThere, unlink, writeWhole } from '../../fs/files.ts';
import { type Layout, parseFileName, primaryName } from '../../fs/layout.ts';
import type { Invalidation, Key } from '../cache.ts';
import { concerns } from '../invalidation.ts';

/** What a claim says, to other processes and to people. */
interface ClaimText {
  key: Key;
  /** Absent until the fill begins. */
  tags?: readonly string[];
  /** Bytes on disk that the fill will take; absent until they are asked for. */
  reserved?: number;
  owner: { host: string; pid: number };
  since: number;
}

/**
 * The file that says that somebody fetches a key. It exists before the first byte is asked for, and becomes the record by the very
 * rename that publishes the entry: who removes it in between has made the fill unpublishable, in any process.
 */
export class ClaimFile {
  readonly name: string;
  readonly fill: string;
  readonly path: string;
  readonly #handle: FileHandle;
  #text: ClaimText;
  #closed = false;

  private constructor(name: string, fill: string, path: string, handle: FileHandle, key: Key) {
    this.name = name;
    this.fill = fill;
    this.path = path;
    this.#handle = handle;
    this.#text = { key, owner: { host: hostname(), pid: process.pid }, since: Date.now() };
  }

  static async create(layout: Layout, name: string, key: Key, mode: number): Promise<ClaimFile> {
    const fill = randomBytes(8).toString('hex');
    const path = layout.claim(name, fill);
    const claim = new ClaimFile(name, fill, path, await createNew(path, mode), key);
    try {
      await claim.#write(Buffer.from(JSON.stringify(claim.#text)));
    } catch (error) {
      await claim.remove();
      throw error;
    }
    return claim;
  }

  /** Says what tags the fill has: another process may invalidate one of them. */
  async tag(tags: readonly string[]): Promise<void> {
    await this.#say({ tags });
  }

  /** Announces how many bytes on disk the fill will take in all, so that other processes leave them to it. */
  async reserve(bytes: number): Promise<void> {
    await this.#say({ reserved: bytes });
  }

  /** Says that the owner lives. */
  async beat(): Promise<void> {
    const now = new Date();
    if (!this.#closed) await this.#handle.utimes(now, now);
  }

  /** Makes the record of it that the rename will publish. Through the open file: a claim that was removed must not come back. */
  async become(record: Uint8Array): Promise<void> {
    await this.#write(record);
    await this.close();
  }

  async remove(): Promise<void> {
    await this.close();
    await unlink(this.path);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }

  async #say(more: Partial<ClaimText>): Promise<void> {
    this.#text = { ...this.#text, ...more };
    if (!this.#closed) await this.#write(Buffer.from(JSON.stringify(this.#text)));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#handle.truncate(0);
    await writeWhole(this.#handle, bytes);
  }
}

/**
 * Cuts off the fills of other processes that may be for what is to be invalidated.
 * @param own fill ids of this one
 */
export async function doomOthers(
  layout: Layout,
  what: Invalidation,
  own: ReadonlySet<string>,
): Promise<void> {
  const base = 'key' in what ? layout.name(what.key, undefined) : undefined;
  for (const file of await list(layout.incomplete)) {
    const { name, fill, kind } = parseFileName(file) ?? {};
    if (name === undefined || fill === undefined || kind !== 'claim' || own.has(fill)) continue;
    const path = join(layout.incomplete, file);
    const claim = base === undefined ? await readIfThere(path) : undefined;
    if (base === undefined ? claim !== undefined && mayConcern(what, claim) : primaryName(name) === base) {
      await unlink(path);
    }
  }
}

/** How many bytes on disk a claim has announced; undefined where it does not say (yet), or is being written at this moment. */
export function reservedOf(claim: Uint8Array): number | undefined {
  try {
    const { reserved } = JSON.parse(Buffer.from(claim).toString()) as Partial<ClaimText>;
    return typeof reserved === 'number' && reserved >= 0 ? reserved : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the claim of another process may be for what is to be invalidated. In doubt it is: that costs a fill, not a wrong answer. */
function mayConcern(what: Invalidation, claim: Uint8Array): boolean {
  try {
    const { key, tags } = JSON.parse(Buffer.from(claim).toString()) as ClaimText;
    return concerns(what, key, tags ?? ('tag' in what ? [what.tag] : []));
  } catch {
    // Being written at this moment.
    return true;
  }
}
