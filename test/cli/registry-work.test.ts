import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Work } from '../../lib/cli/registry/work.ts';
import { BackendError } from '../../lib/errors.ts';
import { MemoryBackend, Storage } from '../../lib/storage/index.ts';
import { deferred } from '../support/deferred.ts';

test('what a storage is in the middle of is waited for, whether it goes well or not', async () => {
  const storage = new Storage(new MemoryBackend());
  const [first, second] = [deferred(), deferred()];
  storage.linkBlob = () => first.promise.then(() => true);
  storage.unlinkBlob = () => second.promise.then(() => Promise.reject(new Error('failed')));
  const work = new Work(storage, () => assert.fail('no failure of a backend'));
  const asked = [work.storage.linkBlob('n', 'r', 'd'), work.storage.unlinkBlob('n', 'r', 'd')];
  let isDone = false;
  const done = work.done().then(() => {
    isDone = true;
  });
  first.resolve();
  assert.equal(await asked[0], true);
  await new Promise(setImmediate);
  assert.equal(isDone, false);
  second.resolve();
  await assert.rejects(asked[1] ?? Promise.resolve(), /failed/);
  await done;
});

test('of what a backend could not do it is told; that something is not there is no failure', async () => {
  const failures: string[] = [];
  const storage = new Storage(new MemoryBackend());
  const work = new Work(storage, ({ reason }) => failures.push(reason));
  for (const reason of ['full', 'missing', 'failed'] as const) {
    storage.blobSize = () => Promise.reject(new BackendError('no', { reason }));
    await assert.rejects(work.storage.blobSize('n', 'd'));
  }
  assert.deepEqual(failures, ['full', 'failed']);
});

test('everything else is the storage itself', async () => {
  const work = new Work(new Storage(new MemoryBackend(), { maxBlobBytes: 7 }), () => undefined);
  assert.equal(work.storage.options.maxBlobBytes, 7);
  const id = await work.storage.startUpload('default');
  assert.equal((await work.storage.uploadStatus('default', id))?.size, 0);
  for await (const name of work.storage.repositories('default')) assert.fail(name);
});
