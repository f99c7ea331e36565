/** That a process which ends between any two steps of what it does to a backend leaves uploads that can be gone on with, or that are gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageBackend } from '../../lib/storage/backends/backend.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { type MakeBackend, sha } from './backends.ts';

const NS = 'ns';
const TEXTS = ['first ', 'second ', 'third'];
const WHOLE = TEXTS.join('');
const DIGEST = sha(WHOLE);
const OTHER = sha('first second ');

const CHANGES = new Set(['put', 'delete', 'move', 'concatenate', 'append', 'write', 'close']);

/** A backend that does nothing any more after so many changes: nobody hears of it again. */
function ending(backend: StorageBackend, changes: number): { backend: StorageBackend; ended: () => boolean } {
  let left = changes;
  const wrap = <T extends object>(what: T): T =>
    new Proxy(what, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (CHANGES.has(String(name)) && left-- <= 0) throw new Error('ended');
          if (left < 0) throw new Error('ended');
          const result: unknown = await (value as (...all: unknown[]) => unknown).apply(target, args);
          return name === 'append' ? wrap(result as object) : result;
        };
      },
    });
  const list = backend.list.bind(backend);
  const wrapped = wrap(backend);
  return {
    backend: new Proxy(wrapped, {
      get: (target, name) => (name === 'list' ? list : Reflect.get(target, name)),
    }),
    ended: () => left < 0,
  };
}

async function push(storage: Storage, id: string, digest: string): Promise<void> {
  for (const text of TEXTS) await storage.uploadChunk(NS, id, Buffer.from(text), { repository: 'r' });
  await storage.storeUpload(NS, id, OTHER, 'r').catch(() => undefined);
  await storage.storeUpload(NS, id, digest, 'r');
}

/** What a client does that has lost its connection. */
async function goOn(storage: Storage, id: string): Promise<'resumed' | 'gone'> {
  const status = await storage.uploadStatus(NS, id, 'r');
  if (status === undefined) return 'gone';
  const chunk = Buffer.from(WHOLE.slice(status.size));
  await storage.uploadChunk(NS, id, chunk, { offset: status.size, repository: 'r' });
  await storage.storeUpload(NS, id, DIGEST, 'r');
  return 'resumed';
}

/** Of a process that pushes and is ended after some of its steps. */
export function interrupted(make: MakeBackend): void {
  for (const digester of ['native', 'portable'] as const) {
    test(`leaves an upload that can be gone on with, or is gone (${digester})`, async (t) => {
      let resumed = 0;
      for (let steps = 0; ; steps++) {
        const backend = make(t);
        const id = await new Storage(backend).startUpload(NS, { repository: 'r' });
        const first = ending(backend, steps);
        const error = await push(new Storage(first.backend, { digester }), id, DIGEST).catch(
          (e: unknown) => e,
        );
        const storage = new Storage(backend, { digester });
        if (!first.ended()) {
          assert.equal(error, undefined);
          break;
        }
        assert.match(String(error), /ended/, `after ${steps} steps`);
        if ((await goOn(storage, id)) === 'resumed') resumed++;
        else
          assert.equal(await storage.linkedBlobSize(NS, 'r', DIGEST), WHOLE.length, `after ${steps} steps`);
        assert.equal(String(await storage.getBlob(NS, DIGEST)), WHOLE, `after ${steps} steps`);
        assert.equal(await storage.blobSize(NS, OTHER), undefined);
      }
      assert.ok(resumed > TEXTS.length, 'the fault fired');
    });
  }

  test('which asks for the digest again, as clients do, gets the blob', async (t) => {
    for (let steps = 0; ; steps++) {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS, { repository: 'r' });
      for (const text of TEXTS) await storage.uploadChunk(NS, id, Buffer.from(text));
      const first = ending(backend, steps);
      await new Storage(first.backend).storeUpload(NS, id, DIGEST, 'r').catch(() => undefined);
      if (!first.ended()) break;
      await storage.storeUpload(NS, id, DIGEST, 'r').catch((error: { code: string }) => {
        assert.equal(error.code, 'ERR_CACHE_FILTER_UPLOAD_UNKNOWN', `after ${steps} steps: ${String(error)}`);
      });
      assert.equal(await storage.linkedBlobSize(NS, 'r', DIGEST), WHOLE.length, `after ${steps} steps`);
    }
  });

  test('has never put a manifest under a tag that is not there', async (t) => {
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [],
      }),
    );
    for (let steps = 0; ; steps++) {
      const backend = make(t);
      const storage = new Storage(backend);
      await storage.blobSize(NS, DIGEST);
      const first = ending(backend, steps);
      await new Storage(first.backend).putManifest(NS, 'r', 'tag', manifest).catch(() => undefined);
      const tags = (await storage.listTags(NS, 'r')) ?? [];
      for (const tag of tags) assert.deepEqual((await storage.getManifest(NS, 'r', tag))?.bytes, manifest);
      if (!first.ended()) return assert.deepEqual(tags, ['tag']);
    }
  });
}
