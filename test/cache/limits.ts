import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** A file system of its own, of so many bytes (and names), as long as the test lives; undefined where mounting is not allowed. */
export function mountTmpfs(t: TestContext, bytes: number, names?: number): string | undefined {
  const path = mkdtempSync(join(tmpdir(), 'cache-filter-test-'));
  const limits = `size=${bytes}${names === undefined ? '' : `,nr_inodes=${names}`}`;
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', limits, 'tmpfs', path]);
  t.after(() => {
    // Lazily: a descriptor may still be open.
    if (status === 0) spawnSync('umount', ['--lazy', path]);
    rmdirSync(path);
  });
  if (status === 0) return path;
  t.diagnostic(`no file system of our own: ${error ?? String(stderr).trim()}`);
  return undefined;
}
