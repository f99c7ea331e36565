/** Uploads, statement by statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackendError } from '../../lib/errors.ts';
import { layout } from '../../lib/storage/layout.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { APPENDING, cutAfter, IN_PARTS, onEach, pathsOf, sha } from './backends.ts';

const NS = 'ns';
const HELLO = Buffer.from('hello');
const EMPTY = sha('');

describe('an upload', () => {
  onEach({ ...APPENDING, ...IN_PARTS }, (make) => {
    test('has an id of 32 lower-case hex digits, and is stored when that is known (18)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.deepEqual(await pathsOf(backend, NS), [`ns/uploads/${id}/metadata`]);
    });

    test('that nobody knows is refused by name (19)', async (t) => {
      const storage = new Storage(make(t));
      const code = 'ERR_CACHE_FILTER_UPLOAD_UNKNOWN';
      for (const id of ['0'.repeat(32), '../../etc/passwd', '', 'A'.repeat(32)]) {
        await assert.rejects(storage.uploadChunk(NS, id, HELLO), { code });
        await assert.rejects(storage.storeUpload(NS, id, sha(HELLO)), { code });
        assert.equal(await storage.uploadStatus(NS, id), undefined);
        assert.equal(await storage.cancelUpload(NS, id), false);
      }
    });

    test('takes chunks one after the other, and says where they are, half-open (24, 25)', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      const chunks = [];
      for (const text of ['', 'hello', ' world', ''])
        chunks.push(await storage.uploadChunk(NS, id, Buffer.from(text)));
      assert.deepEqual(chunks, [
        { start: 0, end: 0 },
        { start: 0, end: 5 },
        { start: 5, end: 11 },
        { start: 11, end: 11 },
      ]);
      await storage.storeUpload(NS, id, sha('hello world'));
      assert.equal(String(await storage.getBlob(NS, sha('hello world'))), 'hello world');
    });

    test('takes bytes, and no text', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      const wrong = { code: 'ERR_CACHE_FILTER_OPTION', option: 'bytes' };
      const text = async function* () {
        yield 'é';
      };
      for (const bytes of ['hello', undefined, [1, 2], new ArrayBuffer(2), text()])
        await assert.rejects(storage.uploadChunk(NS, id, bytes as never), wrong);
      assert.equal((await storage.uploadStatus(NS, id))?.size, 0);
      for (const bytes of ['é', undefined, text()])
        await assert.rejects(storage.putBlob(NS, sha('é'), bytes as never), wrong);
      assert.equal(await storage.blobSize(NS, sha('é')), undefined);
      await assert.rejects(storage.putManifest(NS, 'app', 'v1', '{"config":{}}' as never), wrong);
    });

    test('refuses options that it does not know, or can not follow', async (t) => {
      const storage = new Storage(make(t));
      const wrong = (option: string) => ({ code: 'ERR_CACHE_FILTER_OPTION', option });
      await assert.rejects(storage.startUpload(NS, { repo: 'app' } as never), wrong('repo'));
      await assert.rejects(storage.startUpload(NS, { algorithm: 'md5' as never }), wrong('algorithm'));
      const id = await storage.startUpload(NS);
      for (const [options, option] of [
        [{ ofset: 0 }, 'ofset'],
        [{ offset: '0' }, 'offset'],
        [{ size: -1 }, 'size'],
        [{ signal: 5 }, 'signal'],
      ] as const)
        await assert.rejects(storage.uploadChunk(NS, id, HELLO, options as never), wrong(option));
      await assert.rejects(
        storage.putManifest(NS, 'app', 'v1', HELLO, { type: 'a/b' } as never),
        wrong('type'),
      );
      assert.equal((await storage.uploadStatus(NS, id))?.size, 0);
    });

    test('is gone as soon as its record is, whatever of it stays', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      const { delete: remove } = backend;
      let left = 1;
      backend.delete = (path) =>
        left-- > 0 ? remove.call(backend, path) : Promise.reject(new BackendError('the disk is gone'));
      await assert.rejects(storage.cancelUpload(NS, id), /the disk is gone/);
      assert.equal(await storage.uploadStatus(NS, id), undefined);
    });

    test('that died on its way to a blob goes on, and becomes another one', async (t) => {
      const backend = make(t);
      const { move, concatenate } = backend;
      const id = await new Storage(backend).startUpload(NS);
      await new Storage(backend).uploadChunk(NS, id, HELLO);
      const fail = () => Promise.reject(new BackendError('the disk is gone'));
      if (backend.append === undefined) backend.concatenate = fail;
      else backend.move = fail;
      await assert.rejects(new Storage(backend).storeUpload(NS, id, sha(HELLO)), /the disk is gone/);
      Object.assign(backend, { move, concatenate });
      const storage = new Storage(backend);
      await storage.uploadChunk(NS, id, Buffer.from('!'), { offset: 5 });
      await storage.storeUpload(NS, id, sha('hello!'));
      assert.equal(String(await storage.getBlob(NS, sha('hello!'))), 'hello!');
      assert.equal(await storage.blobSize(NS, sha(HELLO)), undefined);
    });

    test('an empty chunk changes nothing that is stored (21, 25)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      const [paths, record] = [await pathsOf(backend), await backend.get(layout.uploadRecord(NS, id))];
      await storage.uploadChunk(NS, id, Buffer.alloc(0));
      await storage.uploadChunk(NS, id, (async function* () {})());
      assert.deepEqual(await pathsOf(backend), paths);
      assert.deepEqual(await backend.get(layout.uploadRecord(NS, id)), record);
    });

    test('becomes the blob of its digest, and leaves nothing behind (1, 30, 34)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      for (const text of ['a', 'b', 'c']) await storage.uploadChunk(NS, id, Buffer.from(text));
      const digest = sha('abc');
      await storage.storeUpload(NS, id, digest);
      assert.deepEqual(await pathsOf(backend, NS), [`ns/blobs/${digest}/data`, 'ns/uploads/']);
      assert.equal(await storage.uploadStatus(NS, id), undefined);
    });

    test('with a wrong digest changes nothing, and may be tried again (29)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      const before = await pathsOf(backend);
      await assert.rejects(storage.storeUpload(NS, id, sha('other')), {
        code: 'ERR_CACHE_FILTER_DIGEST',
        expected: sha('other'),
        found: sha(HELLO),
      });
      for (const digest of [sha(HELLO).toUpperCase(), 'md5:00', `sha256:${'0'.repeat(63)}`])
        await assert.rejects(storage.storeUpload(NS, id, digest), { code: 'ERR_CACHE_FILTER_NAME' });
      assert.deepEqual(await pathsOf(backend), before);
      await storage.uploadChunk(NS, id, Buffer.from('!'));
      await storage.storeUpload(NS, id, sha('hello!'));
      assert.equal(await storage.blobSize(NS, sha('hello!')), 6);
    });

    test('with a wrong digest is given up where that is wanted', async (t) => {
      const storage = new Storage(make(t), { cancelOnMismatch: true });
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      await assert.rejects(storage.storeUpload(NS, id, sha('other')), { code: 'ERR_CACHE_FILTER_DIGEST' });
      assert.equal(await storage.uploadStatus(NS, id), undefined);
    });

    test('without chunks is the empty blob (31)', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      await assert.rejects(storage.storeUpload(NS, id, sha('x')), { code: 'ERR_CACHE_FILTER_DIGEST' });
      await storage.storeUpload(NS, id, EMPTY);
      assert.equal(await storage.blobSize(NS, EMPTY), 0);
      assert.deepEqual(await storage.getBlob(NS, EMPTY), Buffer.alloc(0));
    });

    test('of what is there already succeeds, and the one copy stays (32)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const digest = sha(HELLO);
      await storage.putBlob(NS, digest, HELLO);
      const reading = await storage.streamBlob(NS, digest);
      const modifiedAt = async () => {
        for await (const each of backend.list(layout.blob(NS, digest)))
          if (each.name === 'data') return each.modifiedAt;
        return undefined;
      };
      const before = await modifiedAt();
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      await storage.storeUpload(NS, id, digest);
      assert.equal(await modifiedAt(), before);
      const pieces = [];
      for await (const piece of reading?.bytes ?? []) pieces.push(piece);
      assert.equal(String(Buffer.concat(pieces)), 'hello');
      assert.equal(await storage.uploadStatus(NS, id), undefined);
    });

    test('a chunk that does not begin where the stored bytes end is refused, and the session stays', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO, { offset: 0 });
      for (const offset of [0, 4, 6])
        await assert.rejects(storage.uploadChunk(NS, id, HELLO, { offset }), {
          code: 'ERR_CACHE_FILTER_OFFSET',
          offset: 5,
        });
      assert.deepEqual(await storage.uploadChunk(NS, id, HELLO, { offset: 5 }), { start: 5, end: 10 });
    });

    test('what came of a body that breaks off is stored, and the next chunk goes on there (27)', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      await assert.rejects(storage.uploadChunk(NS, id, cutAfter('hel', 'lo')), /went away/);
      assert.equal((await storage.uploadStatus(NS, id))?.size, 5);
      await assert.rejects(storage.uploadChunk(NS, id, cutAfter()), /went away/);
      assert.deepEqual(await storage.uploadChunk(NS, id, Buffer.from('!'), { offset: 5 }), {
        start: 5,
        end: 6,
      });
      await storage.storeUpload(NS, id, sha('hello!'));
    });

    test('one with another number of bytes than announced is stored, and said to be wrong', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      await assert.rejects(storage.uploadChunk(NS, id, HELLO, { size: 6 }), {
        code: 'ERR_CACHE_FILTER_SIZE',
        expected: 6,
        found: 5,
      });
      assert.equal((await storage.uploadStatus(NS, id))?.size, 5);
    });

    test('no more than the limit is taken', async (t) => {
      const storage = new Storage(make(t), { maxBlobBytes: 7 });
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      await assert.rejects(storage.uploadChunk(NS, id, HELLO), {
        code: 'ERR_CACHE_FILTER_TOO_LARGE',
        limit: 7,
      });
      assert.equal((await storage.uploadStatus(NS, id))?.size, 7);
    });

    test('chunks that come at the same time are stored one after the other (28)', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      const texts = Array.from({ length: 20 }, (_, i) => `${i},`);
      const chunks = await Promise.all(texts.map((text) => storage.uploadChunk(NS, id, Buffer.from(text))));
      const whole = chunks
        .map((chunk, i) => ({ ...chunk, text: texts[i] ?? '' }))
        .sort((a, b) => a.start - b.start)
        .map(({ text }) => text)
        .join('');
      await storage.storeUpload(NS, id, sha(whole));
    });

    test('of those that begin at the same byte at the same time, one is taken', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS);
      const outcomes = await Promise.allSettled(
        ['one', 'two', 'six'].map((text) => storage.uploadChunk(NS, id, Buffer.from(text), { offset: 0 })),
      );
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.equal((await storage.uploadStatus(NS, id))?.size, 3);
    });

    test('another process goes on, whatever the hash was computed with', async (t) => {
      const backend = make(t);
      for (const digester of ['native', 'portable'] as const) {
        const storages = [
          new Storage(backend, { digester }),
          new Storage(backend, { digester: 'native' }),
        ] as const;
        const id = await storages[0].startUpload(NS);
        for (let i = 0; i < 6; i++) {
          const chunk = Buffer.alloc(1000 + i, i);
          await (storages[i % 2] as Storage).uploadChunk(NS, id, chunk);
        }
        const whole = Buffer.concat(Array.from({ length: 6 }, (_, i) => Buffer.alloc(1000 + i, i)));
        await new Storage(backend, { digester }).storeUpload(NS, id, sha(whole));
      }
    });

    test('its saved state is used only where it fits what is stored', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend, { digester: 'portable' });
      for (const wrong of [
        { bytes: 3 },
        'none',
        { algorithm: 'sha256', bytes: 5, chaining: 'x', tail: '' },
      ]) {
        const id = await storage.startUpload(NS);
        await storage.uploadChunk(NS, id, HELLO);
        const path = layout.uploadRecord(NS, id);
        const record = JSON.parse(String(await backend.get(path))) as Record<string, unknown>;
        assert.equal((record['hash_state'] as { bytes: number }).bytes, 5);
        await backend.put(path, Buffer.from(JSON.stringify({ ...record, hash_state: wrong })));
        await new Storage(backend, { digester: 'portable' }).storeUpload(NS, id, sha(HELLO));
      }
    });

    test('may have a SHA-512, said at its beginning or at its end', async (t) => {
      const storage = new Storage(make(t));
      for (const [i, algorithm] of (['sha256', 'sha512'] as const).entries()) {
        const id = await storage.startUpload(NS, { algorithm });
        const bytes = Buffer.from(`${i}`);
        await storage.uploadChunk(NS, id, bytes);
        await storage.storeUpload(NS, id, sha(bytes, 'sha512'));
        assert.deepEqual(await storage.getBlob(NS, sha(bytes, 'sha512')), bytes);
      }
    });

    test('belongs to its repository, and its blob is one of it', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload(NS, { repository: 'a/b' });
      await assert.rejects(storage.uploadChunk(NS, id, HELLO, { repository: 'a' }), {
        code: 'ERR_CACHE_FILTER_UPLOAD_UNKNOWN',
      });
      assert.equal(await storage.uploadStatus(NS, id, 'a'), undefined);
      await storage.uploadChunk(NS, id, HELLO, { repository: 'a/b' });
      await storage.storeUpload(NS, id, sha(HELLO), 'a/b');
      assert.equal(await storage.linkedBlobSize(NS, 'a/b', sha(HELLO)), 5);
      assert.equal(await storage.linkedBlobSize(NS, 'a', sha(HELLO)), undefined);
    });

    test('of one namespace is none of another (7)', async (t) => {
      const storage = new Storage(make(t));
      const id = await storage.startUpload('one');
      assert.equal(await storage.uploadStatus('two', id), undefined);
      await storage.uploadChunk('one', id, HELLO);
      await storage.storeUpload('one', id, sha(HELLO));
      assert.equal(await storage.blobSize('two', sha(HELLO)), undefined);
    });

    test('cancelled, is gone', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      assert.equal(await storage.cancelUpload(NS, id), true);
      assert.equal(await storage.cancelUpload(NS, id), false);
      assert.deepEqual(await pathsOf(backend, NS), ['ns/uploads/']);
    });
  });

  onEach(IN_PARTS, (make) => {
    test('has its record, and its chunks by number, from 1 on (2, 3, 8, 10, 23)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      const record = async () => JSON.parse(String(await backend.get(`ns/uploads/${id}/metadata`)));
      assert.deepEqual((await record()).chunks, []);
      for (let i = 0; i < 11; i++) await storage.uploadChunk(NS, id, Buffer.from('hello'));
      const { chunks } = await record();
      assert.equal(chunks.length, 11);
      assert.deepEqual(chunks[0], { size: 5, md5: '5d41402abc4b2a76b9719d911017c592' });
      assert.equal(String(await backend.get(`ns/uploads/${id}/11`)), 'hello');
    });

    test('a chunk that could not be stored is not recorded, and its number is taken again (26, 27)', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      await backend.put(`ns/uploads/${id}/2`, Buffer.from('left behind by a process that was killed'));
      assert.equal((await storage.uploadStatus(NS, id))?.size, 5);
      await storage.uploadChunk(NS, id, Buffer.from('!'));
      await storage.storeUpload(NS, id, sha('hello!'));
      assert.equal(String(await storage.getBlob(NS, sha('hello!'))), 'hello!');
    });

    test('a part that was changed is noticed when they are put together', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      await backend.put(`ns/uploads/${id}/1`, Buffer.from('hellO'));
      await assert.rejects(storage.storeUpload(NS, id, sha(HELLO)), {
        code: 'ERR_CACHE_FILTER_BACKEND',
        reason: 'damaged',
      });
      assert.equal(await storage.blobSize(NS, sha(HELLO)), undefined);
    });
  });

  onEach(APPENDING, (make) => {
    test('goes on at the end of what is stored, whatever its process came to say of it', async (t) => {
      const backend = make(t);
      const id = await new Storage(backend, { digester: 'portable' }).startUpload(NS);
      await new Storage(backend, { digester: 'portable' }).uploadChunk(NS, id, HELLO);
      const file = await backend.append?.(layout.uploadData(NS, id), 5);
      await file?.write(Buffer.from(' wor'));
      await file?.close();
      const storage = new Storage(backend, { digester: 'portable' });
      assert.equal((await storage.uploadStatus(NS, id))?.size, 9);
      await storage.uploadChunk(NS, id, Buffer.from('ld'), { offset: 9 });
      await storage.storeUpload(NS, id, sha('hello world'));
    });

    test('is as long as what was hashed, though one who had lost it, and does not know, writes on', async (t) => {
      const backend = make(t);
      const storage = new Storage(backend);
      const id = await storage.startUpload(NS);
      await storage.uploadChunk(NS, id, HELLO);
      const { put } = backend;
      backend.put = async (path, bytes) => {
        // Once it is known what they hash to.
        const file = await backend.append?.(layout.uploadData(NS, id), 5);
        await file?.write(Buffer.from(', late'));
        await file?.close();
        return put.call(backend, path, bytes);
      };
      await storage.storeUpload(NS, id, sha(HELLO));
      assert.equal(String(await storage.getBlob(NS, sha(HELLO))), 'hello');
    });
  });
});
