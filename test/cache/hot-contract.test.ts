/** What the contract says of entries, with all of them hot, with room for hardly any, and without such a tier. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Entry, EntryInfo, EntryUse, Key } from '../../lib/cache/cache.ts';
import { FileCache, type FileCacheOptions } from '../../lib/cache/file-cache.ts';
import { bodies } from '../../lib/contracts/cache/bodies.ts';
import { budget } from '../../lib/contracts/cache/budget.ts';
import { claims } from '../../lib/contracts/cache/claims.ts';
import { integrity } from '../../lib/contracts/cache/integrity.ts';
import { invalidation } from '../../lib/contracts/cache/invalidation.ts';
import { keys } from '../../lib/contracts/cache/keys.ts';
import { Suite } from '../../lib/contracts/cache/suite.ts';

/** Files must be of some age before their identity is relied on: for this process they all are. */
const now = Date.now;
Date.now = () => now() + 3_000;

/** Opens until the answer comes without a wait, or never will. */
class Warm extends FileCache {
  static memory = 0;
  static files = 0;
  /** Opens beyond the first, by key. */
  readonly #repeated = new Map<string, number>();

  override async open(key: Key): Promise<Entry | undefined> {
    for (let attempt = 0; ; attempt++) {
      const answer = super.open(key);
      const hot = !(answer instanceof Promise);
      const entry = await answer;
      if (hot && entry?.bytes !== undefined) Warm.memory++;
      if (hot && entry !== undefined && entry.bytes === undefined) Warm.files++;
      if (hot || entry === undefined || attempt === 10) return entry;
      entry.release();
      const id = JSON.stringify(key);
      this.#repeated.set(id, (this.#repeated.get(id) ?? 0) + 1);
    }
  }

  override async info(key: Key): Promise<(EntryInfo & EntryUse) | undefined> {
    const info = await super.info(key);
    return info && this.#withoutRepeated(info);
  }

  override async *list(): AsyncGenerator<EntryInfo & EntryUse> {
    for await (const info of super.list()) yield this.#withoutRepeated(info);
  }

  #withoutRepeated(info: EntryInfo & EntryUse): EntryInfo & EntryUse {
    return { ...info, hits: info.hits - (this.#repeated.get(JSON.stringify(info.key)) ?? 0) };
  }
}

const TIERS: [string, Pick<FileCacheOptions, 'memory'>, { memory: boolean; files: boolean }][] = [
  ['with bodies in memory', {}, { memory: true, files: true }],
  ['with nothing but open files', { memory: { maxEntryBytes: 0 } }, { memory: true, files: true }],
  ['with room for one entry', { memory: { maxBytes: 3000 } }, { memory: true, files: true }],
  ['without a tier', { memory: false }, { memory: false, files: false }],
];

for (const [tier, options, expected] of TIERS) {
  describe(`FileCache ${tier}`, () => {
    test('begins to count', () => {
      Warm.memory = 0;
      Warm.files = 0;
    });

    const suite = new Suite({ test, assert }, async (limits) => {
      const directory = await mkdtemp(join(tmpdir(), 'cache-filter-test-'));
      return {
        cache: new Warm({ directory, minFreeBytes: 0, ...options, ...limits }),
        cleanup: () => rm(directory, { recursive: true, maxRetries: 5 }),
      };
    });
    for (const statements of [claims, bodies, integrity, invalidation, budget, keys]) statements(suite);

    test('answered from where it should', () => {
      assert.deepEqual({ memory: Warm.memory > 0, files: Warm.files > 0 }, expected);
    });
  });
}
