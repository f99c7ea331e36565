/** What manifests say of others, where somebody means harm or the disk has. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../lib/storage/manifest.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { all, sha } from './backends.ts';

const NS = 'ns';
const R = 'r';
const SUBJECT = { mediaType: OCI_MANIFEST, digest: sha('subject'), size: 7 };

function index(more: object): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], ...more }));
}

class CountingBackend extends MemoryBackend {
  reads: string[] = [];

  override get(path: string): Promise<Buffer | undefined> {
    this.reads.push(path);
    return super.get(path);
  }
}

describe('referrers', () => {
  test('that an index of older clients names a thousand times are read once', async () => {
    const backend = new CountingBackend();
    const storage = new Storage(backend);
    const signature = index({ subject: SUBJECT });
    await storage.putManifest(NS, R, sha(signature), signature);
    const entry = { mediaType: OCI_INDEX, digest: sha(signature), size: signature.length };
    const manifests = Array.from({ length: 1_000 }, () => entry);
    await storage.putManifest(NS, R, SUBJECT.digest.replace(':', '-'), index({ manifests }));
    backend.reads = [];
    assert.equal((await all(storage.referrers(NS, R, SUBJECT.digest))).length, 1);
    assert.ok(backend.reads.length < 20, `${backend.reads.length} objects were read`);
  });

  test('come one at a time, and after the last that is known', async () => {
    const backend = new CountingBackend();
    const storage = new Storage(backend);
    const digests: string[] = [];
    for (const n of [1, 2, 3, 4]) {
      const bytes = index({ subject: SUBJECT, annotations: { n: String(n) } });
      digests.push((await storage.putManifest(NS, R, `v${n}`, bytes)).digest);
    }
    digests.sort();
    const found = async (last?: string) =>
      (await all(storage.referrers(NS, R, SUBJECT.digest, last === undefined ? {} : { last }))).map(
        ({ digest }) => digest,
      );
    assert.deepEqual(await found(), digests);
    assert.deepEqual(await found(digests[1]), digests.slice(2));
    assert.deepEqual(await found(digests[3]), []);
    backend.reads = [];
    for await (const { digest } of storage.referrers(NS, R, SUBJECT.digest)) {
      assert.equal(digest, digests[0]);
      break;
    }
    assert.equal(backend.reads.filter((path) => path.includes(digests[1] ?? '')).length, 0);
  });

  test('of which the note is damaged are described by their manifests', async () => {
    const backend = new MemoryBackend();
    const storage = new Storage(backend);
    const signature = index({ subject: SUBJECT, annotations: { by: 'ann' } });
    await storage.putManifest(NS, R, 'signature', signature);
    const [whole] = await all(storage.referrers(NS, R, SUBJECT.digest));
    for (const text of [
      '',
      '\0\0\0',
      '{',
      '[]',
      'null',
      '{"digest":"sha256:00"}',
      `{"digest":"${sha('x')}"}`,
    ]) {
      await backend.put(`ns/repos/r/_referrers/${SUBJECT.digest}/${sha(signature)}`, Buffer.from(text));
      assert.deepEqual(await all(storage.referrers(NS, R, SUBJECT.digest)), [whole], JSON.stringify(text));
    }
  });

  test('of which the content is damaged are left out, and can be deleted', async () => {
    for (const tag of ['signature', SUBJECT.digest.replace(':', '-')]) {
      const backend = new MemoryBackend();
      const storage = new Storage(backend);
      const signature = index({ subject: SUBJECT });
      await storage.putManifest(NS, R, tag, signature);
      await backend.put(`ns/blobs/${sha(signature)}/data`, Buffer.alloc(0));
      await backend.put(`ns/repos/r/_referrers/${SUBJECT.digest}/${sha(signature)}`, Buffer.alloc(0));
      assert.deepEqual(await all(storage.referrers(NS, R, SUBJECT.digest)), [], tag);
      assert.equal(await storage.deleteManifest(NS, R, sha(signature)), true, tag);
      assert.equal(await storage.getManifest(NS, R, tag), undefined, tag);
    }
  });
});
