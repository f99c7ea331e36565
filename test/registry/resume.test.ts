/** Uploads whose connection breaks off: what came is kept, in this process and in another one. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectHttp2, constants } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { StorageBackend } from '../../lib/storage/backends/backend.ts';
import { FilesystemBackend } from '../../lib/storage/backends/filesystem.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { head, raw } from './raw.ts';
import { blobPath, digestOf, type Served, serving, UPLOADS } from './serving.ts';

const BYTES = randomBytes(3_000_000);
const DIGEST = digestOf(BYTES);

/** A backend for each process that uses the same objects. */
const PLACES: Record<string, (t: TestContext) => Promise<() => StorageBackend>> = {
  'in memory': async () => {
    const backend = new MemoryBackend();
    return () => backend;
  },
  'in memory, without append': async () => {
    const backend = new MemoryBackend({ append: false });
    return () => backend;
  },
  'on disk': async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'cache-filter-registry-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    return () => new FilesystemBackend({ directory, durability: 'none' });
  },
};

async function begin({ call }: Served): Promise<string> {
  return String((await call('POST', UPLOADS)).headers['location']);
}

/** How much is stored. */
async function stored({ call }: Served, at: string): Promise<number> {
  const { status, headers } = await call('GET', at);
  assert.equal(status, 204);
  return Number(/^0-(\d+)$/.exec(String(headers['range']))?.[1]) + 1;
}

/** Resolves when the next chunk is over, however it ends. */
function nextChunk({ storage }: Served): Promise<unknown> {
  const { uploadChunk } = storage;
  return new Promise((resolve) => {
    storage.uploadChunk = async (...given) => {
      storage.uploadChunk = uploadChunk;
      const chunk = uploadChunk.apply(storage, given);
      await chunk.then(resolve, resolve);
      return chunk;
    };
  });
}

/** Sends so many bytes of a larger body, and leaves. Resolves, when the registry has done with them, to what it made of it. */
async function cut(served: Served, request: string, bytes: Buffer): Promise<unknown> {
  const over = nextChunk(served);
  const client = await raw(served.server);
  client.socket.write(request);
  client.socket.write(bytes);
  client.socket.destroySoon();
  return over;
}

for (const [where, make] of Object.entries(PLACES)) {
  describe(`an upload that is cut, ${where}`, () => {
    it('goes on after what came, wherever it was cut, in this process and in another one', async (t) => {
      const backend = await make(t);
      for (const there of ['the same', 'another']) {
        const first = await serving(t, { backend: backend() });
        const at = await begin(first);
        let offset = 0;
        for (const bytes of [1, 65_536, 100_000, 1_500_000]) {
          const rest = BYTES.length - offset;
          const fields = { 'Content-Length': rest, 'Content-Range': `${offset}-${BYTES.length - 1}` };
          const request = head('PATCH', at, fields);
          const error = await cut(first, request, BYTES.subarray(offset, offset + bytes));
          assert.ok(error instanceof Error, 'the chunk was not cut');
          offset += bytes;
          assert.equal(await stored(first, at), offset);
        }
        const second = there === 'another' ? await serving(t, { backend: backend() }) : first;
        const status = await second.call('GET', at);
        assert.deepEqual([status.status, status.headers['range']], [204, `0-${offset - 1}`], there);
        const repeated = await second.call('PATCH', at, {
          headers: { 'Content-Range': `0-${offset - 1}` },
          body: BYTES.subarray(0, offset),
        });
        assert.equal(repeated.status, 416, there);
        const put = await second.call('PUT', `${at}?digest=${DIGEST}`, {
          headers: { 'Content-Range': `${offset}-${BYTES.length - 1}` },
          body: BYTES.subarray(offset),
        });
        assert.equal(put.status, 201, put.body.toString());
        assert.ok((await second.call('GET', blobPath(DIGEST))).body.equals(BYTES), there);
        await second.call('DELETE', blobPath(DIGEST));
        await second.storage.linkBlob('default', 'none', DIGEST);
      }
    });

    it('goes on in another process between chunks', async (t) => {
      const backend = await make(t);
      const processes = [await serving(t, { backend: backend() }), await serving(t, { backend: backend() })];
      const [one] = processes as [Served];
      const at = await begin(one);
      for (let start = 0, n = 0; start < BYTES.length; start += 700_000, n++) {
        const end = Math.min(start + 700_000, BYTES.length);
        const answer = await (processes[n % 2] as Served).call('PATCH', at, {
          headers: { 'Content-Range': `${start}-${end - 1}` },
          body: BYTES.subarray(start, end),
        });
        assert.deepEqual([answer.status, answer.headers['range']], [202, `0-${end - 1}`]);
      }
      assert.equal((await one.call('PUT', `${at}?digest=${DIGEST}`)).status, 201);
      for (const each of processes) assert.ok((await each.call('GET', blobPath(DIGEST))).body.equals(BYTES));
    });
  });
}

describe('a client that leaves', () => {
  it('in the middle of a chunked body is no failure of the process, and what came is kept', async (t) => {
    const served = await serving(t);
    const at = await begin(served);
    const over = nextChunk(served);
    const client = await raw(served.server);
    client.socket.write(head('PATCH', at, { 'Transfer-Encoding': 'chunked' }));
    client.socket.write(`5\r\nhello\r\n`);
    while ((await served.storage.uploadStatus('default', at.split('/').at(-1) ?? ''))?.size !== 5) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.socket.resetAndDestroy();
    assert.ok((await over) instanceof Error);
    assert.equal(await stored(served, at), 5);
  });

  it('during the last bytes leaves the upload to be completed', async (t) => {
    const served = await serving(t);
    const at = await begin(served);
    const fields = { 'Content-Length': BYTES.length };
    await cut(served, head('PUT', `${at}?digest=${DIGEST}`, fields), BYTES.subarray(0, 1000));
    const offset = await stored(served, at);
    assert.equal(offset, 1000);
    const put = await served.call('PUT', `${at}?digest=${DIGEST}`, { body: BYTES.subarray(offset) });
    assert.equal(put.status, 201);
  });

  it('on HTTP/2 leaves what came', async (t) => {
    const served = await serving(t, { kind: 'http2' });
    const at = await begin(served);
    const over = nextChunk(served);
    const session = connectHttp2(`http://127.0.0.1:${served.server.port}`);
    const stream = session.request({ ':path': at, ':method': 'PATCH' }, { endStream: false });
    stream.on('error', () => undefined);
    stream.write(BYTES.subarray(0, 1000));
    const id = at.split('/').at(-1) ?? '';
    while ((await served.storage.uploadStatus('default', id))?.size !== 1000)
      await new Promise((resolve) => setImmediate(resolve));
    stream.close(constants.NGHTTP2_CANCEL);
    await new Promise((resolve) => stream.on('close', resolve));
    session.close();
    assert.ok((await over) instanceof Error, 'a body that was cut is no whole one');
    assert.equal(await stored(served, at), 1000);
  });

  it('in the middle of a POST with all of the blob leaves nothing', async (t) => {
    const storage = new Storage(new MemoryBackend());
    const cancelled = new Promise<boolean>((resolve) => {
      const { cancelUpload } = storage;
      storage.cancelUpload = async (...given) => {
        const done = await cancelUpload.apply(storage, given);
        resolve(done);
        return done;
      };
    });
    const served = await serving(t, { storage });
    const client = await raw(served.server);
    client.socket.write(head('POST', `${UPLOADS}?digest=${DIGEST}`, { 'Content-Length': BYTES.length }));
    client.socket.write(BYTES.subarray(0, 1000));
    client.socket.destroySoon();
    assert.equal(await cancelled, true);
  });

  it('without a word, and comes back, gets on with its upload: one that is silent lets go', async (t) => {
    const served = await serving(t);
    const at = await begin(served);
    const silent = await raw(served.server);
    silent.socket.write(head('PATCH', at, { 'Content-Length': BYTES.length }));
    silent.socket.write(BYTES.subarray(0, 1000));
    const id = at.split('/').at(-1) ?? '';
    while ((await served.storage.uploadStatus('default', id))?.size !== 1000)
      await new Promise((resolve) => setImmediate(resolve));
    const answer = await served.call('PUT', `${at}?digest=${DIGEST}`, {
      headers: { 'Content-Range': `1000-${BYTES.length - 1}` },
      body: BYTES.subarray(1000),
    });
    assert.equal(answer.status, 201);
    await silent.until(/^HTTP\/1\.1 409 /);
    silent.socket.destroy();
  });

  it('is not waited for longer than stallTimeoutMs', async (t) => {
    const served = await serving(t, { stallTimeoutMs: 50 });
    const at = await begin(served);
    const silent = await raw(served.server);
    silent.socket.write(head('PATCH', at, { 'Content-Length': BYTES.length }));
    silent.socket.write(BYTES.subarray(0, 1000));
    await silent.until(/^HTTP\/1\.1 408 [\s\S]*BLOB_UPLOAD_INVALID/);
    silent.socket.destroy();
    assert.equal(await stored(served, at), 1000);
  });
});
