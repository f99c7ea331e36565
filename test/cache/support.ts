import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new directory, and how to remove it. */
export async function temporaryDirectory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'cache-filter-'));
  // A cache that was just closed may still be unlinking.
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}
