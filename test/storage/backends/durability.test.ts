/** What is synced, and in which folders, before an operation says that it has been done. */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FilesystemBackend } from '../../../lib/storage/backends/filesystem.ts';
import { Storage } from '../../../lib/storage/storage.ts';
import { temporaryDirectory } from '../../support/directory.ts';
import { sha } from '../backends.ts';

const X = Buffer.from('x');
const SKIP = process.platform === 'linux' ? false : 'which file a descriptor is of is looked up in /proc';

/** Paths below the objects that were synced since the last look; `temporary` for what lies beside them. */
async function watched(t: TestContext, durability: 'commit' | 'none' = 'commit') {
  const directory = temporaryDirectory(t);
  const file = await open(directory);
  const prototype = Object.getPrototypeOf(file) as FileHandle;
  await file.close();
  let synced = new Set<string>();
  const objects = join(directory, 'v1/objects');
  const { sync } = prototype;
  t.mock.method(prototype, 'sync', function (this: FileHandle) {
    const path = readlinkSync(`/proc/self/fd/${this.fd}`);
    synced.add(path.startsWith(objects) ? path.slice(objects.length + 1) : basename(join(path, '..')));
    return sync.call(this);
  });
  const backend = new FilesystemBackend({ directory, durability });
  await backend.size('x');
  synced.clear();
  const look = (): string[] => {
    const found = [...synced].sort();
    synced = new Set();
    return found;
  };
  return { backend, look };
}

describe('with durability: commit', { skip: SKIP }, () => {
  test('an object that is put is synced, and so is each folder in which a name has come', async (t) => {
    const { backend, look } = await watched(t);
    await backend.put('a/b/c', X);
    assert.deepEqual(look(), ['', 'a', 'a/b', 'temporary']);
    await backend.put('a/b/d', X);
    assert.deepEqual(look(), ['a/b', 'temporary']);
  });

  test('a move syncs the folder that it comes to, and the one that it leaves', async (t) => {
    const { backend, look } = await watched(t);
    for (const path of ['a/x', 'b/y']) await backend.put(path, X);
    look();
    await backend.move('a/x', 'b/x');
    assert.deepEqual(look(), ['a', 'b']);
  });

  test('what is appended is synced when it is closed as durable, with its name', async (t) => {
    const { backend, look } = await watched(t);
    for (const durable of [false, true]) {
      const path = `a/${durable}`;
      await backend.put('a/there', X);
      const appending = await backend.append(path, 0);
      await appending.write(X);
      look();
      await appending.close({ durable });
      assert.deepEqual(look(), durable ? ['a', path] : []);
    }
  });

  test('an upload is synced before it becomes a blob, and after each chunk where its hash is saved', async (t) => {
    for (const digester of ['native', 'portable'] as const) {
      const { backend, look } = await watched(t);
      const storage = new Storage(backend, { digester });
      const id = await storage.startUpload('ns');
      look();
      await storage.uploadChunk('ns', id, X);
      const data = `ns/uploads/${id}/data`;
      assert.equal(look().includes(data), digester === 'portable', digester);
      await storage.storeUpload('ns', id, sha(X));
      assert.ok(look().includes(data), digester);
    }
  });
});

test('with durability: none nothing is synced', { skip: SKIP }, async (t) => {
  const { backend, look } = await watched(t, 'none');
  await backend.put('a/b', X);
  await backend.move('a/b', 'c/d');
  const appending = await backend.append('e', 0);
  await appending.close({ durable: true });
  assert.deepEqual(look(), []);
});
