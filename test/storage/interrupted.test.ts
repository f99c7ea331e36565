/** A process that ends between any two steps; on disk in the campaigns. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { layout } from '../../lib/storage/layout.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { APPENDING, IN_PARTS, onEach, sha } from './backends.ts';
import { interrupted } from './interrupted.ts';

describe('a process that pushes and is ended after some of its steps', () => {
  const { 'in memory': growing, 'in memory, in parts': parts } = { ...APPENDING, ...IN_PARTS };
  if (growing === undefined || parts === undefined) throw new Error('the backends have other names');
  onEach({ growing, parts }, interrupted);
});

/** A backend may remove the parts one by one once the blob is there, as that on disk does. */
describe('a process that is ended while it removes the parts of which it has made a blob', () => {
  const TEXTS = ['first ', 'second ', 'third'];
  const WHOLE = TEXTS.join('');
  const DIGEST = sha(WHOLE);

  for (const removed of [0, 1, 2, 3]) {
    for (const isPruned of [false, true]) {
      const what = `${removed} of ${TEXTS.length} are removed${isPruned ? ', and the blob was pruned since' : ''}`;
      test(`leaves an upload that can be gone on with, or has become the blob: ${what}`, async () => {
        const backend = new MemoryBackend({ append: false });
        const id = await new Storage(backend).startUpload('ns');
        for (const text of TEXTS) await new Storage(backend).uploadChunk('ns', id, Buffer.from(text));
        const parts: [path: string, bytes: Uint8Array][] = [];
        const { concatenate } = backend;
        backend.concatenate = async (all, to) => {
          for (const { path } of all) parts.push([path, (await backend.get(path)) as Uint8Array]);
          await concatenate.call(backend, all, to);
          for (const [path, bytes] of parts.slice(removed)) await backend.put(path, bytes);
          throw new Error('ended');
        };
        await assert.rejects(new Storage(backend).storeUpload('ns', id, DIGEST), /ended/);
        assert.equal(parts.length, TEXTS.length, 'the fault fired');
        backend.concatenate = concatenate;
        if (isPruned) assert.equal(await backend.delete(layout.data('ns', DIGEST)), true);

        const storage = new Storage(backend);
        const status = await storage.uploadStatus('ns', id);
        if (status !== undefined)
          await storage.uploadChunk('ns', id, Buffer.from(WHOLE.slice(status.size)), { offset: status.size });
        await storage.storeUpload('ns', id, DIGEST);
        assert.equal(String(await storage.getBlob('ns', DIGEST)), WHOLE);
        assert.equal(await storage.uploadStatus('ns', id), undefined);
      });
    }
  }
});
