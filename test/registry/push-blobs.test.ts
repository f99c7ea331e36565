/** OCI distribution-spec 1.1, "Pushing blobs": end points 4a to 6, 13 and 14. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { KINDS } from '../support/servers.ts';
import { BACKENDS, blobPath, digestOf, REPO, type Said, type Served, serving, UPLOADS } from './serving.ts';

const BYTES = randomBytes(300_000);
const DIGEST = digestOf(BYTES);
const EMPTY = Buffer.alloc(0);

async function begin({ call }: Served): Promise<{ at: string; id: string; answer: Said }> {
  const answer = await call('POST', UPLOADS);
  assert.equal(answer.status, 202);
  const at = String(answer.headers['location']);
  return { at, id: at.split('/').at(-1) ?? '', answer };
}

function createdAt(answer: Said, digest = DIGEST): void {
  assert.equal(answer.status, 201, answer.body.toString());
  assert.equal(answer.headers['location'], blobPath(digest));
  assert.equal(answer.headers['docker-content-digest'], digest);
  assert.equal(answer.headers['content-length'], '0');
}

async function has({ call }: Served, bytes = BYTES): Promise<void> {
  const answer = await call('GET', blobPath(digestOf(bytes)));
  assert.equal(answer.status, 200);
  assert.ok(answer.body.equals(bytes));
}

for (const [where, make] of Object.entries(BACKENDS)) {
  const here = async (t: TestContext): Promise<Served> => serving(t, { backend: await make(t) });

  describe(`pushing blobs, ${where}`, () => {
    it('begins an upload at a relative Location with an id that nobody else has', async (t) => {
      const served = await here(t);
      const { answer, id, at } = await begin(served);
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.equal(at, `${UPLOADS}${id}`);
      assert.equal(answer.headers['docker-upload-uuid'], id);
      assert.equal(answer.headers['range'], '0-0');
      assert.equal(answer.headers['content-length'], '0');
      assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0');
      assert.notEqual((await begin(served)).id, id);
    });

    it('begins one without the slash at the end, too', async (t) => {
      const { call } = await here(t);
      assert.equal((await call('POST', UPLOADS.slice(0, -1))).status, 202);
    });

    it('takes a blob in one POST', async (t) => {
      const served = await here(t);
      createdAt(await served.call('POST', `${UPLOADS}?digest=${DIGEST}`, { body: BYTES }));
      await has(served);
    });

    it('takes a blob in a POST and a PUT', async (t) => {
      const served = await here(t);
      const { at } = await begin(served);
      createdAt(await served.call('PUT', `${at}?digest=${DIGEST}`, { body: BYTES }));
      await has(served);
      assert.equal((await served.call('GET', at)).status, 404);
    });

    it('takes a blob in chunks, each with its place', async (t) => {
      const served = await here(t);
      const { at } = await begin(served);
      for (let start = 0; start < BYTES.length; start += 100_000) {
        const answer = await served.call('PATCH', at, {
          headers: { 'Content-Range': `${start}-${start + 99_999}` },
          body: BYTES.subarray(start, start + 100_000),
        });
        assert.equal(answer.status, 202);
        assert.equal(answer.headers['location'], at);
        assert.equal(answer.headers['range'], `0-${start + 99_999}`);
      }
      createdAt(await served.call('PUT', `${at}?digest=${DIGEST}`));
      await has(served);
    });

    it('takes the last chunk with the PUT, with and without its place', async (t) => {
      for (const headers of [{}, { 'Content-Range': `200000-${BYTES.length - 1}` }]) {
        const served = await here(t);
        const { at } = await begin(served);
        await served.call('PATCH', at, { body: BYTES.subarray(0, 200_000) });
        createdAt(
          await served.call('PUT', `${at}?digest=${DIGEST}`, { headers, body: BYTES.subarray(200_000) }),
        );
        await has(served);
      }
    });

    it('appends a body without a place and without a length', async (t) => {
      const served = await here(t);
      const { at } = await begin(served);
      for (const [from, to] of [
        [0, 1],
        [1, 250_000],
        [250_000, 300_000],
      ] as const) {
        const answer = await served.call('PATCH', at, { body: BYTES.subarray(from, to), chunked: true });
        assert.deepEqual([answer.status, answer.headers['range']], [202, `0-${to - 1}`]);
      }
      createdAt(await served.call('PUT', `${at}?digest=${DIGEST}`));
      await has(served);
    });

    it('takes an empty PATCH for nothing', async (t) => {
      const served = await here(t);
      const { at } = await begin(served);
      const answer = await served.call('PATCH', at, { body: EMPTY });
      assert.deepEqual([answer.status, answer.headers['range']], [202, '0-0']);
    });

    it('takes a blob of no bytes by every way', async (t) => {
      const empty = digestOf(EMPTY);
      for (const way of ['POST', 'PUT', 'PATCH']) {
        const served = await here(t);
        if (way === 'POST') {
          createdAt(await served.call('POST', `${UPLOADS}?digest=${empty}`, { body: EMPTY }), empty);
        } else {
          const { at } = await begin(served);
          if (way === 'PATCH') assert.equal((await served.call('PATCH', at, { body: EMPTY })).status, 202);
          createdAt(await served.call('PUT', `${at}?digest=${empty}`), empty);
        }
        const answer = await served.call('GET', blobPath(empty));
        assert.deepEqual([answer.status, answer.headers['content-length']], [200, '0'], way);
      }
    });

    it('refuses a chunk that does not begin where the stored bytes end, says where that is, and stores nothing', async (t) => {
      const served = await here(t);
      const { at, id } = await begin(served);
      await served.call('PATCH', at, { headers: { 'Content-Range': '0-99' }, body: BYTES.subarray(0, 100) });
      for (const range of ['0-99', '50-149', '101-200', '1000-1099']) {
        const answer = await served.call('PATCH', at, {
          headers: { 'Content-Range': range },
          body: BYTES.subarray(0, 100),
        });
        assert.deepEqual([answer.status, answer.code], [416, 'BLOB_UPLOAD_INVALID'], range);
        assert.equal(answer.headers['location'], at);
        assert.equal(answer.headers['range'], '0-99');
        assert.equal(answer.headers['docker-upload-uuid'], id);
      }
      const put = await served.call('PUT', `${at}?digest=${DIGEST}`, {
        headers: { 'Content-Range': '0-299999' },
        body: BYTES,
      });
      assert.deepEqual([put.status, put.headers['range']], [416, '0-99']);
      await served.call('PATCH', at, { body: BYTES.subarray(100) });
      createdAt(await served.call('PUT', `${at}?digest=${DIGEST}`));
    });

    it('tells how far an upload is, by GET and by HEAD', async (t) => {
      const served = await here(t);
      const { at, id } = await begin(served);
      await served.call('PATCH', at, { body: BYTES.subarray(0, 1234) });
      for (const method of ['GET', 'HEAD']) {
        const { status, headers } = await served.call(method, at);
        assert.equal(status, 204);
        assert.equal(headers['location'], at);
        assert.equal(headers['range'], '0-1233');
        assert.equal(headers['docker-upload-uuid'], id);
      }
    });

    it('gives an upload up when asked to', async (t) => {
      const served = await here(t);
      const { at } = await begin(served);
      await served.call('PATCH', at, { body: BYTES });
      assert.equal((await served.call('DELETE', at)).status, 204);
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const answer = await served.call(method, `${at}?digest=${DIGEST}`);
        assert.deepEqual([answer.status, answer.code], [404, 'BLOB_UPLOAD_UNKNOWN'], method);
      }
    });

    it('refuses bytes with another digest, keeps them, and takes them with the right one', async (t) => {
      const served = await here(t);
      const { at } = await begin(served);
      const wrong = digestOf('other');
      const answer = await served.call('PUT', `${at}?digest=${wrong}`, { body: BYTES });
      assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID']);
      assert.deepEqual(answer.json.errors?.[0]?.detail, { expected: wrong, found: DIGEST });
      assert.equal((await served.call('HEAD', blobPath(wrong))).status, 404);
      assert.equal((await served.call('GET', at)).headers['range'], `0-${BYTES.length - 1}`);
      createdAt(await served.call('PUT', `${at}?digest=${DIGEST}`));
    });

    it('takes SHA-512, whether that was said at first or comes with the PUT', async (t) => {
      const served = await here(t);
      const sha512 = digestOf(BYTES, 'sha512');
      const { at } = await begin(served);
      createdAt(await served.call('PUT', `${at}?digest=${sha512}`, { body: BYTES }), sha512);
      const begun = await served.call('POST', `${UPLOADS}?digest-algorithm=sha512`);
      assert.equal(begun.status, 202);
      const there = String(begun.headers['location']);
      await served.call('PATCH', there, { body: BYTES });
      createdAt(await served.call('PUT', `${there}?digest=${sha512}`), sha512);
      createdAt(await served.call('POST', `${UPLOADS}?digest=${sha512}`, { body: BYTES }), sha512);
      assert.ok((await served.call('GET', blobPath(sha512))).body.equals(BYTES));
    });

    it('takes the same content twice at the same time', async (t) => {
      const served = await here(t);
      const pushed = await Promise.all(
        [1, 2, 3].map(() => served.call('POST', `${UPLOADS}?digest=${DIGEST}`, { body: BYTES })),
      );
      for (const answer of pushed) createdAt(answer);
      await has(served);
    });
  });
}

describe('pushing blobs', () => {
  it('works in Express 4 and 5, Connect, node:http and node:http2', async (t) => {
    for (const kind of KINDS) {
      const served = await serving(t, { kind });
      const { at } = await begin(served);
      const first = await served.call('PATCH', at, {
        headers: { 'content-range': '0-9' },
        body: BYTES.subarray(0, 10),
      });
      assert.deepEqual([first.status, first.headers['range']], [202, '0-9'], kind);
      const put = await served.call('PUT', `${at}?digest=${DIGEST}`, { body: BYTES.subarray(10) });
      assert.equal(put.status, 201, kind);
      await has(served);
    }
  });

  it('refuses a digest that is none, and a PUT without one', async (t) => {
    const served = await serving(t);
    const { at } = await begin(served);
    const queries = [
      '',
      '?digest=',
      '?digest=sha256:abc',
      `?digest=${DIGEST.toUpperCase()}`,
      '?digest=md5:d41d8cd98f00b204e9800998ecf8427e',
    ];
    for (const query of queries) {
      const answer = await served.call('PUT', `${at}${query}`, { body: BYTES });
      assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID'], query);
    }
    for (const query of ['?digest=sha256:abc', '?mount=sha256:abc', '?digest-algorithm=md5']) {
      const answer = await served.call('POST', `${UPLOADS}${query}`);
      assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID'], query);
    }
    assert.equal((await served.call('GET', at)).headers['range'], '0-0');
  });

  it('refuses a place that is none, and one of another length than the body', async (t) => {
    const served = await serving(t);
    const { at } = await begin(served);
    for (const range of ['bytes 0-9', 'bytes=0-9', '0-9/10', '9-0', '0-', 'x', '1-99999999999999999999']) {
      const answer = await served.call('PATCH', at, {
        headers: { 'Content-Range': range },
        body: BYTES.subarray(0, 10),
      });
      assert.deepEqual([answer.status, answer.code], [400, 'BLOB_UPLOAD_INVALID'], range);
    }
    for (const range of ['0-8', '0-10']) {
      const answer = await served.call('PATCH', at, {
        headers: { 'Content-Range': range },
        body: BYTES.subarray(0, 10),
      });
      assert.deepEqual([answer.status, answer.code], [400, 'SIZE_INVALID'], range);
    }
    assert.equal((await served.call('GET', at)).headers['range'], '0-0');
    const streamed = await served.call('PATCH', at, {
      headers: { 'Content-Range': '0-19' },
      body: BYTES.subarray(0, 10),
      chunked: true,
    });
    assert.deepEqual([streamed.status, streamed.code], [400, 'SIZE_INVALID']);
    assert.equal((await served.call('GET', at)).headers['range'], '0-9');
  });

  it('knows an upload only under its own repository', async (t) => {
    const served = await serving(t);
    const { id } = await begin(served);
    for (const method of ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE']) {
      const answer = await served.call(method, `/v2/team/other/blobs/uploads/${id}?digest=${DIGEST}`);
      assert.equal(answer.status, 404, method);
    }
    assert.equal((await served.call('GET', `${UPLOADS}${id}`)).status, 204);
  });

  it('answers 404 for ids that are none', async (t) => {
    const { call } = await serving(t);
    for (const id of ['none', '..%2f..%2fblobs', 'A'.repeat(32), '0'.repeat(31), '%00', '%zz']) {
      const answer = await call('GET', `${UPLOADS}${id}`);
      assert.deepEqual([answer.status, answer.code], [404, 'BLOB_UPLOAD_UNKNOWN'], id);
    }
  });

  it('leaves no upload behind where a POST with all of it fails', async (t) => {
    const { call, storage } = await serving(t);
    const started: string[] = [];
    const { startUpload } = storage;
    t.mock.method(storage, 'startUpload', async (...given: Parameters<typeof startUpload>) => {
      const id = await startUpload.apply(storage, given);
      started.push(id);
      return id;
    });
    const answer = await call('POST', `${UPLOADS}?digest=${digestOf('other')}`, { body: BYTES });
    assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID']);
    assert.equal(started.length, 1);
    assert.equal(await storage.uploadStatus('default', started[0] ?? ''), undefined);
  });

  it('says how small a chunk may be, where there is something to say', async (t) => {
    const served = await serving(t, { chunkMinBytes: 5 * 2 ** 20 });
    assert.equal((await begin(served)).answer.headers['oci-chunk-min-length'], String(5 * 2 ** 20));
    const other = await serving(t);
    assert.equal((await begin(other)).answer.headers['oci-chunk-min-length'], undefined);
  });

  it('answers Expect: 100-continue', async (t) => {
    const served = await serving(t);
    const { at } = await begin(served);
    const answer = await served.call('PUT', `${at}?digest=${DIGEST}`, {
      headers: { Expect: '100-continue' },
      body: BYTES,
    });
    createdAt(answer);
  });

  it('belongs to the repository that it was pushed to, and to no other', async (t) => {
    const { call, push } = await serving(t);
    await push(BYTES);
    assert.equal((await call('HEAD', blobPath(DIGEST, REPO))).status, 200);
    assert.equal((await call('HEAD', blobPath(DIGEST, 'team/other'))).status, 404);
  });
});
