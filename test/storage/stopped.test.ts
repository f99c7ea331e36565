/** A process that was stopped for so long that another one has gone on with its upload. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FilesystemBackend } from '../../lib/storage/backends/filesystem.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { sha } from './backends.ts';
import { UploadProcess } from './upload-process.ts';

const NS = 'ns';

describe('a process that was stopped in the middle of a chunk', () => {
  for (const [when, storedBefore] of [
    ['while it is an upload', false],
    ['after it has become a blob', true],
  ] as const) {
    test(`writes nothing more to what another one has gone on with, ${when}`, async (t) => {
      const directory = temporaryDirectory(t);
      const backend = new FilesystemBackend({ directory, durability: 'none' });
      const storage = new Storage(backend, { lockTimeoutMs: 30_000 });
      const id = await storage.startUpload(NS);
      const other = await UploadProcess.open(t, directory);
      await other.tell('begin', NS, id);
      await other.tell('piece', 'begun ');
      while ((await storage.uploadStatus(NS, id))?.size !== 6);

      other.child.kill('SIGSTOP');
      assert.deepEqual(await storage.uploadChunk(NS, id, Buffer.from('and gone on with')), {
        start: 6,
        end: 22,
      });
      const digest = sha('begun and gone on with');
      if (storedBefore) await storage.storeUpload(NS, id, digest);
      other.child.kill('SIGCONT');
      await other.tell('piece', 'XXXXX');
      assert.equal(await other.tell('end'), 'ERR_CACHE_FILTER_BUSY');

      if (!storedBefore) await storage.storeUpload(NS, id, digest);
      assert.equal(String(await storage.getBlob(NS, digest)), 'begun and gone on with');
    });
  }
});
