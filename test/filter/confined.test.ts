/** Nothing outside of its directory is written. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../support/directory.ts';
import type { Told } from './confined-process.ts';

/** A file system for the cache, and then every other one read-only, for this process and its children only. */
const CONFINE = `
set -e
mount --make-rprivate /
mount -t tmpfs -o size=64m tmpfs "$1"
cut -d ' ' -f 5 /proc/self/mountinfo | sort -u | while read -r where; do
  if [ "$where" != "$1" ]; then mount -o remount,bind,ro "$where" 2>/dev/null || true; fi
done
shift
exec "$@"
`;

/** What the process tells that runs confined to a directory; undefined where that is not allowed here. */
async function confined(t: TestContext, directory: string): Promise<Told | undefined> {
  const { status, stderr, error } = spawnSync('unshare', ['--mount', 'mount', '--make-rprivate', '/']);
  if (status !== 0) {
    t.diagnostic(`no mounts of our own: ${error ?? String(stderr).trim()}`);
    return undefined;
  }
  const script = fileURLToPath(new URL('./confined-process.ts', import.meta.url));
  const command = [process.execPath, ...process.execArgv, script, 'confined-process', directory];
  const child = spawn('unshare', ['--mount', 'sh', '-c', CONFINE, 'sh', directory, ...command], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, TMPDIR: join(directory, 'there', 'is', 'none'), TSX_DISABLE_CACHE: '1' },
  });
  t.after(() => child.kill('SIGKILL'));
  const told = await new Promise<Told | { error: string }>((resolve, reject) => {
    child.once('message', (message) => resolve(message as Told));
    child.once('exit', (code, signal) => reject(new Error(`it ended with ${code ?? signal}`)));
    child.once('error', reject);
  });
  if ('error' in told) throw new Error(told.error);
  return told;
}

describe('outside of its directory', () => {
  test('nothing is written: a process that may not, fills, serves, purges, refuses and cleans', async (t) => {
    const directory = join(temporaryDirectory(t), 'cache');
    mkdirSync(directory);
    const told = await confined(t, directory);
    if (told === undefined) return t.skip('mounting is not allowed here');

    const { directory: inside, ...outside } = told.probes;
    assert.equal(inside, 'written');
    assert.ok(Object.keys(outside).length >= 5, JSON.stringify(outside));
    for (const [path, code] of Object.entries(outside))
      assert.ok(code === 'EROFS' || code === 'ENOENT', `the fault: ${path} ${code}`);
    assert.equal(outside['/tmp'], 'EROFS', 'the fault');

    assert.deepEqual(told.answers, [
      'GET /good: 200 fwd=uri-miss; stored whole',
      'GET /good: 200 hit whole',
      'GET /bad: 200 fwd=uri-miss; stored cut off',
      'DELETE /good: 204 undefined 0 bytes',
      'GET /good: 200 fwd=uri-miss; stored whole',
    ]);
    const kinds = told.files
      .filter((path) => /\.(body|json|claim)$/.test(path))
      .map((path) => path.split('/')[1]);
    assert.deepEqual(kinds.sort(), ['entries', 'entries', 'invalid', 'invalid']);
    const bytes = 3 * 2 ** 20 + 4096;
    assert.deepEqual(told.before, { files: 1, bytes });
    assert.deepEqual(told.cleaned, { entries: 1, bytes });
  });
});
