import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** A directory that is gone when the test is over. */
export function temporaryDirectory(t: Pick<TestContext, 'after'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'cache-filter-test-'));
  // A fill that outlives its test still writes there: hooks run in the order in which they were given, this one first.
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 }));
  return directory;
}

/** Options of a filter, or cache, in a directory of its own, whatever else is on the disk of whoever runs the tests. */
export function onDisk(t: Pick<TestContext, 'after'>): { directory: string; minFreeBytes: number } {
  return { directory: temporaryDirectory(t), minFreeBytes: 0 };
}
