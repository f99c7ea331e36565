// docs/reference/options.md

import { LRUCache } from 'lru-cache';
import type { Invalidation, Key } from '../cache/cache.ts';
import { concerns } from '../cache/invalidation.ts';
import { idOf } from '../cache/key.ts';
import type { ResponseHead } from '../http/body.ts';
import { parseCacheControl } from '../http/cache-control.ts';
import { fieldValue, listMembers, storedHeaders } from '../http/headers.ts';

/** So many keys are remembered, */
const MOST_KEYS = 10_000;
/** with so many bytes in all, heads included, */
const MOST_BYTES = 16 * 2 ** 20;
/** and of one answer at most so many. */
export const MOST_BODY_BYTES: number = 64 * 1024;

/** Charged for an answer besides its body and its fields, in bytes. */
const OVERHEAD_BYTES = 512;

/** Answers that say that there is nothing. */
const STATUSES: ReadonlySet<number> = new Set([404, 410]);

/** An answer that is remembered. */
export interface Negative {
  key: Key;
  /** Names under which it can be invalidated together with others. */
  tags: readonly string[];
  head: ResponseHead;
  body: Buffer;
  /** Milliseconds since the epoch at which the head arrived. */
  storedAt: number;
  /** How long it was to be remembered from then on, in milliseconds. */
  ttlMs: number;
}

/** What makes the difference between an answer for everybody and one that is not to be remembered. */
export interface NegativeRules {
  /** In milliseconds; 0: nothing is remembered. */
  ttlMs: number;
  /** Lower-case names of fields that are never remembered. */
  dropHeaders?: ReadonlySet<string>;
}

/** What an origin did not have lately: it is not asked again for each request. In memory only, of this process. */
export class Negatives {
  readonly #ttlMs: number;
  readonly #dropHeaders: ReadonlySet<string>;
  readonly #known = new LRUCache<string, Negative>({
    max: MOST_KEYS,
    maxSize: MOST_BYTES,
    sizeCalculation: ({ head, body }) =>
      head.headers.reduce(
        (sum, [name, value]) => sum + name.length + value.length,
        OVERHEAD_BYTES + body.length,
      ),
  });
  /** How often something was invalidated. */
  #purges = 0;

  constructor({ ttlMs, dropHeaders = new Set() }: NegativeRules) {
    this.#ttlMs = ttlMs;
    this.#dropHeaders = dropHeaders;
  }

  get size(): number {
    return this.#known.size;
  }

  /** To be taken before the origin is asked: an answer that was on its way during a purge is not remembered. */
  get mark(): number {
    return this.#purges;
  }

  /** What is remembered of a key. */
  find(key: Key, now: number = Date.now()): Negative | undefined {
    if (this.#ttlMs === 0) return undefined;
    const id = idOf(key);
    const known = this.#known.get(id);
    if (known === undefined) return undefined;
    // A clock that was set back does not make it last longer.
    if (now >= known.storedAt && now < known.storedAt + known.ttlMs) return known;
    this.#known.delete(id);
    return undefined;
  }

  /**
   * Whether an answer is one to be remembered, as far as its head says.
   * @param vary lower-case request headers that are part of the key
   */
  wants({ status, headers }: ResponseHead, vary: readonly string[] = []): boolean {
    if (this.#ttlMs === 0 || !STATUSES.has(status)) return false;
    if (fieldValue(headers, 'set-cookie') !== undefined) return false;
    const control = parseCacheControl(fieldValue(headers, 'cache-control'));
    if (control.has('no-store') || control.has('private') || control.has('no-cache')) return false;
    const varies = listMembers(fieldValue(headers, 'vary') ?? '');
    if (!varies.every((name) => name !== '*' && vary.includes(name.toLowerCase()))) return false;
    const length = fieldValue(headers, 'content-length');
    return length === undefined || Number(length) <= MOST_BODY_BYTES;
  }

  /**
   * Remembers an answer that `wants` has said yes to, with all of its body. Whether it does.
   * @param mark as it was before the origin was asked
   */
  remember(
    { key, tags, head, body }: Pick<Negative, 'key' | 'tags' | 'head' | 'body'>,
    mark: number,
    now: number = Date.now(),
  ): boolean {
    if (mark !== this.#purges || body.length > MOST_BODY_BYTES || this.#ttlMs === 0) return false;
    const headers = storedHeaders(head.headers, this.#dropHeaders);
    const negative = { key, tags, head: { ...head, headers }, body, storedAt: now, ttlMs: this.#ttlMs };
    this.#known.set(idOf(key), negative);
    return this.#known.has(idOf(key));
  }

  /** There is something now. */
  forget(key: Key): void {
    this.#known.delete(idOf(key));
  }

  /** How many went. */
  invalidate(what: Invalidation): number {
    this.#purges++;
    let count = 0;
    for (const [id, { key, tags }] of [...this.#known.entries()]) {
      if (concerns(what, key, tags) && this.#known.delete(id)) count++;
    }
    return count;
  }
}
