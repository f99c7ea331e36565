import { QueueFullError } from '../errors.ts';
import type { CacheQueue, Invalidation, Key, QueuedKey } from './cache.ts';
import { concerns } from './invalidation.ts';
import { idOf } from './key.ts';
import { checkNote, MAX_QUEUED } from './queue.ts';

/** Queued keys in memory: they go with the process. */
export class MemoryQueue implements CacheQueue {
  readonly #isServed: (key: Key) => boolean;
  readonly #limit: number;
  readonly #queued = new Map<string, QueuedKey>();

  /** @param isServed whether the key is stored, being fetched, or not wanted any more */
  constructor(isServed: (key: Key) => boolean, limit: number = MAX_QUEUED) {
    this.#isServed = isServed;
    this.#limit = limit;
  }

  async add(key: Key, note?: string): Promise<boolean> {
    checkNote(note);
    if (this.#isServed(key) || this.#queued.has(idOf(key))) return false;
    if (this.#queued.size >= this.#limit) throw new QueueFullError(this.#limit);
    const queued = { key, ...(note === undefined ? {} : { note }), queuedAt: Date.now() };
    this.#queued.set(idOf(key), queued);
    return true;
  }

  async *list(): AsyncGenerator<QueuedKey> {
    for (const [name, queued] of [...this.#queued]) if (this.#queued.get(name) === queued) yield queued;
  }

  async remove(what: Invalidation): Promise<number> {
    let count = 0;
    for (const { key } of this.#queued.values()) {
      if (!concerns(what, key, [])) continue;
      this.clear(key);
      count++;
    }
    return count;
  }

  /** The key has been stored. */
  clear(key: Key): void {
    this.#queued.delete(idOf(key));
  }
}
