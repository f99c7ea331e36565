// docs/reference/options.md

import { LRUCache } from 'lru-cache';
import type { HeaderPairs, ResponseHead } from '../http/body.ts';
import { validatorsOf } from '../http/conditional.ts';
import { parseHttpDate } from '../http/date.ts';

/** A validator as RFC 9110, 8.8.3 has it: anything else may mean anything to an origin. */
const ENTITY_TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/** What makes a request for an entry that is there conditional (RFC 9111, 4.3.1); empty where nothing identifies it. */
export function conditions({ headers }: ResponseHead): HeaderPairs {
  const { etag, lastModified } = validatorsOf(headers);
  if (etag !== undefined && ENTITY_TAG.test(etag)) return [['If-None-Match', etag]];
  if (lastModified !== undefined && parseHttpDate(lastModified) !== undefined)
    return [['If-Modified-Since', lastModified]];
  return [];
}

/**
 * What an answer to such a request means for the entry. `renew`: it is what it was. `replace`: the answer is the new one. `drop`: it has
 * gone, and the client is told so. `stale`: the entry is served, as the origin failed. `pass`: the answer is the client's.
 */
export type Outcome = 'renew' | 'replace' | 'drop' | 'stale' | 'pass';

/** Statuses that say that a resource is no more. */
const GONE: ReadonlySet<number> = new Set([404, 410]);

export function isGone(status: number): boolean {
  return GONE.has(status);
}

/**
 * @param status undefined: there was no answer
 * @param sieForMs how much longer the entry may be used where the origin fails, in milliseconds
 */
export function outcomeOf(status: number | undefined, sieForMs: number): Outcome {
  if (status === 304) return 'renew';
  if (status === 200) return 'replace';
  if (status !== undefined && GONE.has(status)) return 'drop';
  return (status === undefined || status >= 500) && sieForMs > 0 ? 'stale' : 'pass';
}

/** Between two tries of what fails, in milliseconds: at first, and at most. */
const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/** So many keys are remembered; of one that is forgotten it is merely tried again sooner. */
const MOST_KEYS = 10_000;

interface Setback {
  /** When it may be tried again, by the clock given. */
  until: number;
  delay: number;
}

/** The keys that could not be revalidated lately: their origin is not asked again for each request. */
export class Setbacks {
  readonly #known = new LRUCache<string, Setback>({ max: MOST_KEYS });
  readonly #now: () => number;

  /** @param now in milliseconds, never going back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether it is too soon to try again. */
  has(id: string): boolean {
    const setback = this.#known.get(id);
    return setback !== undefined && this.#now() < setback.until;
  }

  /** It has failed, once more. */
  failed(id: string): void {
    const before = this.#known.peek(id);
    const delay = before === undefined ? FIRST_MS : Math.min(2 * before.delay, LONGEST_MS);
    this.#known.set(id, { until: this.#now() + delay, delay });
  }

  /** It has worked. */
  worked(id: string): void {
    this.#known.delete(id);
  }
}
