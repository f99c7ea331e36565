/** Blobs, statement by statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackendError, FormatError } from '../../lib/errors.ts';
import { layout } from '../../lib/storage/layout.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { APPENDING, cutAfter, IN_PARTS, onEach, pathsOf, sha } from './backends.ts';

const NS = 'ns';
const HELLO = Buffer.from('hello');
const DIGEST = sha(HELLO);

async function all(stream: { bytes: AsyncIterable<Uint8Array> } | undefined): Promise<string | undefined> {
  if (stream === undefined) return undefined;
  const pieces = [];
  for await (const piece of stream.bytes) pieces.push(piece);
  return String(Buffer.concat(pieces));
}

describe('a blob', () => {
  onEach({ ...APPENDING, ...IN_PARTS }, (make) => {
    test('lies under its namespace and its digest (1, 7)', async (t) => {
      const backend = make(t);
      await new Storage(backend).putBlob(NS, DIGEST, HELLO);
      assert.deepEqual(await pathsOf(backend), ['_storage/format', `ns/blobs/${DIGEST}/data`]);
    });

    test('has a size, or is not there (15)', async (t) => {
      const storage = new Storage(make(t));
      assert.equal(await storage.blobSize(NS, DIGEST), undefined);
      await storage.putBlob(NS, DIGEST, HELLO);
      assert.equal(await storage.blobSize(NS, DIGEST), 5);
      assert.equal(await storage.blobSize('other', DIGEST), undefined);
    });

    test('is stored only under the digest that it has (16, ours)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      for (const bytes of [
        HELLO,
        (async function* () {
          yield HELLO;
        })(),
      ]) {
        await assert.rejects(storage.putBlob(NS, sha('other'), bytes), { code: 'ERR_CACHE_FILTER_DIGEST' });
        assert.equal(await storage.blobSize(NS, sha('other')), undefined);
      }
      await storage.putBlob(NS, sha(HELLO, 'sha512'), HELLO);
      await storage.putBlob(NS, DIGEST, HELLO);
      await assert.rejects(storage.putBlob(NS, DIGEST, Buffer.from('other')), {
        code: 'ERR_CACHE_FILTER_DIGEST',
      });
      assert.equal(String(await storage.getBlob(NS, DIGEST)), 'hello');
    });

    test('is not stored where its source fails, or gives too much', async (t) => {
      const storage = new Storage(make(t), { maxBlobBytes: 4 });
      await assert.rejects(storage.putBlob(NS, sha('he'), cutAfter('he')), /went away/);
      assert.equal(await storage.blobSize(NS, sha('he')), undefined);
      await assert.rejects(storage.putBlob(NS, DIGEST, HELLO), { code: 'ERR_CACHE_FILTER_TOO_LARGE' });
    });

    test('is read whole, as a stream, and in part (17)', async (t) => {
      const storage = new Storage(make(t));
      assert.equal(await storage.getBlob(NS, DIGEST), undefined);
      assert.equal(await storage.streamBlob(NS, DIGEST), undefined);
      await storage.putBlob(NS, DIGEST, HELLO);
      assert.equal(String(await storage.getBlob(NS, DIGEST)), 'hello');
      const stream = await storage.streamBlob(NS, DIGEST);
      assert.equal(stream?.size, 5);
      assert.equal(await all(stream), 'hello');
      assert.equal(await all(await storage.streamBlob(NS, DIGEST, { start: 1, end: 3 })), 'el');
    });

    test('that a prune had moved aside when it died is there', async (t) => {
      const read: Record<string, (storage: Storage) => Promise<unknown>> = {
        size: (storage) => storage.blobSize(NS, DIGEST),
        all: (storage) => storage.getBlob(NS, DIGEST),
        stream: async (storage) => all(await storage.streamBlob(NS, DIGEST)),
        removal: async (storage) => (await storage.deleteBlob(NS, DIGEST)) || undefined,
      };
      for (const [how, look] of Object.entries(read)) {
        const backend = make(t);
        await backend.put(layout.removing(NS, DIGEST), HELLO);
        assert.notEqual(await look(new Storage(backend)), undefined, how);
        assert.equal(await backend.size(layout.removing(NS, DIGEST)), undefined, how);
      }
    });

    test('has a size where the backend takes nothing more, though nobody may rely on it then', async (t) => {
      const backend = make(t);
      await new Storage(backend).putBlob(NS, DIGEST, HELLO);
      await new Storage(backend).linkBlob(NS, 'r', DIGEST);
      backend.put = () => Promise.reject(new BackendError('no space left', { reason: 'full' }));
      const storage = new Storage(backend);
      assert.equal(await storage.blobSize(NS, DIGEST), 5);
      assert.equal(await storage.linkedBlobSize(NS, 'r', DIGEST), 5);
      assert.equal(await all(await storage.streamBlob(NS, DIGEST)), 'hello');
      await assert.rejects(storage.putBlob(NS, DIGEST, HELLO), BackendError);
      await assert.rejects(storage.linkBlob(NS, 'r', DIGEST), BackendError);
    });

    test('that goes while it is noted that it was asked for is not there', async (t) => {
      const backend = make(t);
      await new Storage(backend).putBlob(NS, DIGEST, HELLO);
      const { put } = backend;
      backend.put = async (path, bytes) => {
        await backend.delete(layout.data(NS, DIGEST));
        return put.call(backend, path, bytes);
      };
      assert.equal(await new Storage(backend).blobSize(NS, DIGEST), undefined);
    });

    test('deleted, is gone for all, and leaves nothing behind', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      await storage.putBlob(NS, DIGEST, HELLO);
      await storage.blobSize(NS, DIGEST);
      assert.equal(await storage.deleteBlob(NS, DIGEST), true);
      assert.equal(await storage.deleteBlob(NS, DIGEST), false);
      assert.deepEqual(await pathsOf(backend, NS), ['ns/blobs/']);
    });

    test('is one of a repository from the push or mount on, until it is taken from that', async (t) => {
      const storage = new Storage(make(t));
      assert.equal(await storage.linkBlob(NS, 'a', DIGEST), false, 'there is nothing to mount');
      await storage.putBlob(NS, DIGEST, HELLO);
      assert.equal(await storage.linkedBlobSize(NS, 'a', DIGEST), undefined);
      for (const repository of ['a', 'a/b'])
        assert.equal(await storage.linkBlob(NS, repository, DIGEST), true);
      assert.equal(await storage.unlinkBlob(NS, 'a', DIGEST), true);
      assert.equal(await storage.unlinkBlob(NS, 'a', DIGEST), false);
      assert.equal(await storage.linkedBlobSize(NS, 'a', DIGEST), undefined);
      assert.equal(await storage.linkedBlobSize(NS, 'a/b', DIGEST), 5);
      assert.equal(await storage.blobSize(NS, DIGEST), 5);
    });

    test('names that are none come to no path (63, ours)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const code = 'ERR_CACHE_FILTER_NAME';
      for (const name of ['', '.', '..', 'a/b', '_x', 'A', 'a\0b', `${'a'.repeat(129)}`]) {
        await assert.rejects(storage.putBlob(name, DIGEST, HELLO), { code, what: 'namespace' });
        await assert.rejects(storage.startUpload(name), { code, what: 'namespace' });
      }
      for (const name of ['', '..', 'a/../b', '/a', 'a/', 'a//b', 'A', 'a/_manifests', 'a'.repeat(256)])
        await assert.rejects(storage.linkBlob(NS, name, DIGEST), { code, what: 'repository' });
      for (const digest of ['', '..', 'sha256:..', `sha256:${'A'.repeat(64)}`, `sha1:${'0'.repeat(40)}`])
        await assert.rejects(storage.getBlob(NS, digest), { code, what: 'digest' });
      assert.deepEqual(await pathsOf(backend), ['_storage/format']);
    });

    test('namespaces and repositories are found', async (t) => {
      const storage = new Storage(make(t));
      for (const namespace of ['one', 'two']) {
        await storage.putBlob(namespace, DIGEST, HELLO);
        for (const repository of ['a', 'a/b/c', 'b']) await storage.linkBlob(namespace, repository, DIGEST);
      }
      const names = async (list: AsyncIterable<string>) => {
        const found = [];
        for await (const name of list) found.push(name);
        return found.sort();
      };
      assert.deepEqual(await names(storage.namespaces()), ['one', 'two']);
      assert.deepEqual(await names(storage.repositories('one')), ['a', 'a/b/c', 'b']);
      assert.deepEqual(await names(storage.repositories('three')), []);
    });

    test('a backend that fails once is asked again for its format', async (t) => {
      const backend = make(t);
      const { get } = backend;
      backend.get = () => Promise.reject(new BackendError('a hiccup'));
      const storage = new Storage(backend);
      await assert.rejects(storage.blobSize(NS, DIGEST), /a hiccup/);
      backend.get = get;
      assert.equal(await storage.blobSize(NS, DIGEST), undefined);
    });

    test('a storage of a newer version is left alone', async (t) => {
      const backend = make(t);
      await backend.put('_storage/format', Buffer.from('{"format":2}'));
      for (const act of [(s: Storage) => s.blobSize(NS, DIGEST), (s: Storage) => s.startUpload(NS)])
        await assert.rejects(act(new Storage(backend)), FormatError);
      assert.deepEqual(await pathsOf(backend), ['_storage/format']);
    });
  });
});
