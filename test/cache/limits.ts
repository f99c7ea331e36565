import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { temporaryDirectory } from '../support/directory.ts';

/** A file system of its own, of so many bytes, as long as the test lives; undefined where mounting is not allowed. */
export function mountTmpfs(t: TestContext, bytes: number): string | undefined {
  const path = temporaryDirectory(t);
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
  if (status !== 0) {
    t.diagnostic(`no tmpfs: ${error ?? stderr}`);
    return undefined;
  }
  t.after(() => spawnSync('umount', ['--lazy', path]));
  return path;
}
