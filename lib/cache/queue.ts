// docs/reference/disk-format.md

import * as fs from 'node:fs/promises';
import createDebug from 'debug';
import { OptionError, QueueFullError, StoreError } from '../errors.ts';
import { createNew, list, makeDirectory, onDisk, readIfThere, unlink, writeWhole } from '../fs/files.ts';
import { isPast } from '../fs/identity.ts';
import { type Layout, parseFileName } from '../fs/layout.ts';
import type { CacheQueue, Invalidation, Key, QueuedKey } from './cache.ts';
import { concerns } from './invalidation.ts';
import { isClaimed } from './janitor.ts';
import { seal, unseal } from './seal.ts';
import { modifiedAt } from './shard.ts';

const debug = createDebug('cache-filter:store');

/** As many keys are queued at most. */
export const MAX_QUEUED = 100_000;

const MAX_NOTE_BYTES = 16 * 1024;

/** How often it is counted what other processes have queued and taken out, in milliseconds. */
const LOOK_MS = 10_000;

/** A marker that says nothing after this long is damaged, and not just being written; in milliseconds. */
const WRITING_MS = 5_000;

interface Marker extends QueuedKey {
  /** Which of those of one process and one millisecond. */
  nth: number;
}

/** What the queue asks of the cache that it belongs to. */
export interface QueueOwner {
  layout: Layout;
  modes: { file: number; directory: number };
  /** The directory can't be used yet: nothing is queued, and nothing found. */
  isDown(): boolean;
  /** Whether this process fetches the key, or won't have it. */
  isFetched(key: Key): boolean;
  /** Whether it is stored, in whatever format. */
  isStored(key: Key): Promise<boolean>;
  /** What the queue takes on disk, as far as this process knows. */
  charge(bytes: number): void;
}

/** A file for each queued key. Who creates it has queued it, whatever other processes do at the same time. */
export class FileQueue implements CacheQueue {
  readonly #owner: QueueOwner;
  readonly #limit: number;
  #counted: Promise<void> | undefined;
  /** Bytes on disk of each marker, as far as this process knows. */
  #markers = new Map<string, number>();
  #bytes = 0;
  /** Which this process has added or removed since the markers began to be counted. */
  #changed: Set<string> | undefined;
  /** When the directory was last changed, where nothing can have changed since unseen; in milliseconds since the epoch. */
  #settledAt: number | undefined;
  #nth = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(owner: QueueOwner, limit: number = MAX_QUEUED) {
    this.#owner = owner;
    this.#limit = limit;
  }

  async add(key: Key, note?: string): Promise<boolean> {
    checkNote(note);
    if (this.#owner.isDown()) return false;
    try {
      return await this.#add(key, note);
    } catch (error) {
      if (error instanceof QueueFullError) throw error;
      throw new StoreError(`${key.primary.slice(0, 200)} could not be queued`, { cause: error });
    }
  }

  async *list(): AsyncGenerator<QueuedKey> {
    if (this.#owner.isDown()) return;
    const found: { name: string; queuedAt: number; nth: number }[] = [];
    for (const name of await this.#names()) {
      const marker = await this.#read(name);
      if (marker !== undefined) found.push({ name, queuedAt: marker.queuedAt, nth: marker.nth });
    }
    found.sort((a, b) => a.queuedAt - b.queuedAt || a.nth - b.nth);
    for (const { name } of found) {
      // Read once more: notes may be long, and whoever goes through them may take his time.
      const marker = await this.#read(name);
      if (marker === undefined) continue;
      const { nth: _, ...queued } = marker;
      yield queued;
    }
  }

  async remove(what: Invalidation): Promise<number> {
    return this.#owner.isDown() ? 0 : this.purge(what);
  }

  /** As {@link remove}, of a directory that is just coming up too. */
  async purge(what: Invalidation): Promise<number> {
    if ('tag' in what) return 0;
    const base = 'key' in what ? this.#owner.layout.name(what.key, undefined) : '';
    let count = 0;
    for (const name of await this.#names(base)) {
      const marker = 'prefix' in what ? await this.#read(name) : undefined;
      if ('prefix' in what && (marker === undefined || !concerns(what, marker.key, []))) continue;
      if (await this.#unlink(name)) count++;
    }
    return count;
  }

  /** The key has been stored. */
  async clear(name: string): Promise<void> {
    await this.#unlink(name);
  }

  /** Counts what is there, from now on again and again: other processes add to it, and take out of it. */
  async start(): Promise<void> {
    if (this.#closed) return;
    this.#timer ??= setInterval(() => {
      // Up to 100,000 names need not be read again and again where nothing happens.
      if (this.#settledAt !== undefined && modifiedAt(this.#owner.layout.queue) === this.#settledAt) return;
      this.count().catch((error: unknown) => debug('queue/ could not be read: %o', error));
    }, LOOK_MS).unref();
    await this.count();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  /** Counts what is there now. */
  async count(): Promise<void> {
    const last = this.#counted;
    // One at a time: each goes by what is changed while it looks.
    this.#counted = Promise.resolve(last?.catch(() => undefined)).then(() => this.#recount());
    const counted = this.#counted;
    await counted.catch((error: unknown) => {
      if (this.#counted === counted) this.#counted = undefined;
      throw error;
    });
  }

  async #add(key: Key, note: string | undefined): Promise<boolean> {
    const { layout, modes, isFetched, isStored } = this.#owner;
    const name = layout.name(key.primary, key.variant);
    if (isFetched(key) || (await isStored(key)) || (await isClaimed(layout, name))) return false;
    await (this.#counted ?? this.count());
    if (this.#markers.size >= this.#limit) await this.count();
    if (this.#markers.size >= this.#limit) throw new QueueFullError(this.#limit);
    const path = layout.marker(name);
    const queuedAt = Date.now();
    const bytes = seal({ key, ...(note === undefined ? {} : { note }), queuedAt, nth: this.#nth++ });
    await makeDirectory(layout.queue, modes.directory);
    const file = await createNew(path, modes.file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return undefined;
      throw error;
    });
    if (file === undefined) return false;
    try {
      await writeWhole(file, bytes);
    } catch (error) {
      await this.#unlink(name);
      throw error;
    } finally {
      await file.close();
    }
    this.#account(name, onDisk(bytes.byteLength));
    // Stored meanwhile: its commit may have come before the marker.
    if (!(await isStored(key))) return true;
    await this.#unlink(name);
    return false;
  }

  async #recount(): Promise<void> {
    const changed = new Set<string>();
    this.#changed = changed;
    const found = new Map<string, number>();
    const at = modifiedAt(this.#owner.layout.queue);
    const isSettled = at !== undefined && isPast(at, Date.now());
    try {
      for (const name of await this.#names()) {
        // A marker is written once; one without bytes is being written.
        const bytes = this.#markers.get(name) || (await this.#bytesOf(name));
        if (bytes !== undefined) found.set(name, bytes);
      }
    } finally {
      this.#changed = undefined;
    }
    // Of what came or went meanwhile, this process knows better than a look that began before.
    const before = this.#markers;
    this.#markers = found;
    this.#settledAt = isSettled && ![...found.values()].includes(0) ? at : undefined;
    for (const name of changed) {
      const bytes = before.get(name);
      if (bytes === undefined) found.delete(name);
      else found.set(name, bytes);
    }
    this.#bytes = [...found.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.#owner.charge(this.#bytes);
  }

  async #bytesOf(name: string): Promise<number | undefined> {
    const stat = await fs.stat(this.#owner.layout.marker(name)).catch(() => undefined);
    return stat && onDisk(stat.size);
  }

  async #names(beginning = ''): Promise<string[]> {
    const all = await list(this.#owner.layout.queue);
    const files = all.filter((file) => file.startsWith(beginning)).map(parseFileName);
    return files.flatMap((file) => (file?.kind === 'json' ? [file.name] : []));
  }

  /** A marker; a damaged one is removed, and is none. */
  async #read(name: string): Promise<Marker | undefined> {
    const path = this.#owner.layout.marker(name);
    const bytes = await readIfThere(path).catch(() => undefined);
    if (bytes === undefined) return undefined;
    const marker = markerOf(unseal(bytes));
    if (marker !== undefined) return marker;
    const stat = await fs.stat(path).catch(() => undefined);
    if (stat !== undefined && Date.now() - stat.mtimeMs >= WRITING_MS) await this.#unlink(name);
    return undefined;
  }

  async #unlink(name: string): Promise<boolean> {
    const gone = await unlink(this.#owner.layout.marker(name));
    // Where another process was first, it is gone as well.
    this.#account(name, undefined);
    return gone;
  }

  /** @param bytes on disk; undefined: there is none of this name any more */
  #account(name: string, bytes: number | undefined): void {
    this.#changed?.add(name);
    this.#bytes += (bytes ?? 0) - (this.#markers.get(name) ?? 0);
    if (bytes === undefined) this.#markers.delete(name);
    else this.#markers.set(name, bytes);
    this.#owner.charge(this.#bytes);
  }
}

/** @throws OptionError */
export function checkNote(note: string | undefined): void {
  if (note === undefined) return;
  if (typeof note !== 'string') {
    throw new OptionError(
      'note',
      `note must be a string of at most ${MAX_NOTE_BYTES} bytes, got ${typeof note}`,
    );
  }
  const bytes = Buffer.byteLength(note);
  if (bytes <= MAX_NOTE_BYTES) return;
  throw new OptionError(
    'note',
    `note must be a string of at most ${MAX_NOTE_BYTES} bytes, got ${bytes} bytes`,
  );
}

function markerOf(content: Record<string, unknown> = {}): Marker | undefined {
  const { key, note, queuedAt, nth } = content;
  const { primary, variant } = (key ?? {}) as Partial<Key>;
  const optional = ['string', 'undefined'];
  if (typeof primary !== 'string' || !optional.includes(typeof variant)) return undefined;
  if (!optional.includes(typeof note) || typeof queuedAt !== 'number' || typeof nth !== 'number')
    return undefined;
  return content as unknown as Marker;
}
