import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { testBackend } from '../../../lib/contracts/backend.ts';
import { FilesystemBackend } from '../../../lib/storage/backends/filesystem.ts';
import { MemoryBackend } from '../../../lib/storage/backends/memory.ts';

for (const durability of ['none', 'commit'] as const) {
  describe(`FilesystemBackend, durability ${durability}`, () => {
    testBackend({ test, assert }, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'cache-filter-test-'));
      return {
        backend: new FilesystemBackend({ directory, durability }),
        other: new FilesystemBackend({ directory, durability }),
        unfinished: () => sizeOfFilesIn(join(directory, 'v1', 'temporary')),
        cleanup: () => rm(directory, { recursive: true, maxRetries: 5 }),
      };
    });
  });
}

describe('FilesystemBackend without locks', () => {
  testBackend({ test, assert }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'cache-filter-test-'));
    return {
      backend: new FilesystemBackend({ directory, durability: 'none', locks: false }),
      cleanup: () => rm(directory, { recursive: true, maxRetries: 5 }),
    };
  });
});

describe('MemoryBackend', () => {
  testBackend({ test, assert }, () => new MemoryBackend());
});

describe('MemoryBackend that can not append', () => {
  testBackend({ test, assert }, () => new MemoryBackend({ append: false }));
});

function sizeOfFilesIn(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}
