import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Key } from '../../lib/cache/cache.ts';
import { FileCache } from '../../lib/cache/file-cache.ts';
import { MemoryCache } from '../../lib/cache/memory-cache.ts';
import { decodeRecord } from '../../lib/cache/record.ts';
import { testCache } from '../../lib/contracts/cache.ts';
import { Layout } from '../../lib/fs/layout.ts';

describe('FileCache', () => {
  testCache({ test, assert }, async (options) => {
    const directory = await mkdtemp(join(tmpdir(), 'cache-filter-test-'));
    return {
      cache: new FileCache({ directory, minFreeBytes: 0, logger: false, ...options }),
      damage: ({ primary, variant }) => damageBody(directory, primary, variant),
      cleanup: () => rm(directory, { recursive: true, maxRetries: 5 }),
    };
  });
});

describe('MemoryCache', () => {
  testCache({ test, assert }, (options) => {
    const cache = new MemoryCache(options);
    return { cache, damage: (key) => damageBytes(cache, key) };
  });
});

function damageBody(directory: string, primary: string, variant: string | undefined): void {
  const layout = new Layout(directory);
  const name = layout.name(primary, variant);
  const { fill } = decodeRecord(readFileSync(layout.record(name))) ?? assert.fail(primary);
  const bytes = readFileSync(layout.body(name, fill));
  bytes[bytes.length - 1] = ~(bytes.at(-1) ?? 0);
  writeFileSync(layout.body(name, fill), bytes);
}

function damageBytes(cache: MemoryCache, key: Key): void {
  const entry = cache.open(key) ?? assert.fail(key.primary);
  const bytes = entry.bytes ?? assert.fail('not in memory');
  bytes[bytes.length - 1] = ~(bytes.at(-1) ?? 0);
  entry.release(false);
}
