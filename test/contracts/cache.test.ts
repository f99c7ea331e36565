import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FileCache } from '../../lib/cache/file-cache.ts';
import { MemoryCache } from '../../lib/cache/memory-cache.ts';
import { testCache } from '../../lib/contracts/cache.ts';

describe('FileCache', () => {
  testCache({ test, assert }, async (options) => {
    const directory = await mkdtemp(join(tmpdir(), 'cache-filter-test-'));
    return {
      cache: new FileCache({ directory, minFreeBytes: 0, ...options }),
      cleanup: () => rm(directory, { recursive: true, maxRetries: 5 }),
    };
  });
});

describe('MemoryCache', () => {
  testCache({ test, assert }, (options) => new MemoryCache(options));
});
