/** What `durability: 'commit'` waits for before an entry can be found. */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { bytesOf, put, stored } from '../../lib/contracts/cache/steps.ts';
import { FileCache } from '../../lib/index.ts';
import { temporaryDirectory } from '../support/directory.ts';

/** The files and directories that are synced while the test runs, by what they are called at that moment. */
async function synced(t: TestContext): Promise<string[]> {
  const names: string[] = [];
  const probe = await open(import.meta.filename);
  const prototype = Object.getPrototypeOf(probe) as { fd: number; sync(): Promise<void> };
  await probe.close();
  const { sync } = prototype;
  prototype.sync = function (this: { fd: number }) {
    names.push(basename(readlinkSync(`/proc/self/fd/${this.fd}`)).replace(/^[0-9a-f]{64}\.[0-9a-f]{16}/, ''));
    return sync.call(this);
  };
  t.after(() => {
    prototype.sync = sync;
  });
  return names;
}

const linux = process.platform === 'linux' ? false : '/proc is needed to tell what is synced';

describe('durability', { skip: linux }, () => {
  for (const [durability, size, expected] of [
    ['commit', 100_000, ['.body', '.claim', 'shard', 'shard']],
    ['commit', 2 ** 20 + 1, ['.blocks', '.body', '.claim', 'shard', 'shard']],
    ['none', 2 ** 20 + 1, []],
  ] as const) {
    const what = expected.length === 0 ? 'nothing is waited for' : 'body and record, then their names';
    test(`${durability}, ${size} bytes: ${what}`, async (t) => {
      const directory = join(temporaryDirectory(t), 'cache');
      const cache = new FileCache({ directory, durability, minFreeBytes: 0 });
      t.after(() => cache.close());
      const names = await synced(t);
      await put(cache, { primary: '/a' }, bytesOf(size));
      assert.deepEqual(
        names.map((name) => (/^[0-9a-f]{2}$/.test(name) ? 'shard' : name)),
        expected,
      );
      assert.ok((await stored(cache, { primary: '/a' }))?.equals(bytesOf(size)));
    });
  }
});
