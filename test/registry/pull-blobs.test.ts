/** OCI distribution-spec 1.1, "Pulling blobs" (end point 2), deletion (10), and ranges, conditions and caching of what is pulled. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { KINDS } from '../support/servers.ts';
import { BACKENDS, blobPath, digestOf, serving } from './serving.ts';

const BYTES = randomBytes(2048);
const DIGEST = digestOf(BYTES);
const AT = blobPath(DIGEST);

for (const [where, make] of Object.entries(BACKENDS)) {
  describe(`pulling blobs, ${where}`, () => {
    it('answers with the bytes, their length and their digest; HEAD with the same but them', async (t) => {
      const { call, push } = await serving(t, { backend: await make(t) });
      await push(BYTES);
      for (const method of ['GET', 'HEAD']) {
        const { status, headers, body } = await call(method, AT);
        assert.equal(status, 200);
        assert.equal(headers['content-length'], '2048');
        assert.equal(headers['content-type'], 'application/octet-stream');
        assert.equal(headers['docker-content-digest'], DIGEST);
        assert.equal(headers['etag'], `"${DIGEST}"`);
        assert.equal(headers['cache-control'], 'max-age=31536000, immutable');
        assert.equal(headers['accept-ranges'], 'bytes');
        assert.equal(headers['docker-distribution-api-version'], 'registry/2.0');
        assert.ok(body.equals(method === 'HEAD' ? Buffer.alloc(0) : BYTES));
      }
    });

    it('answers ranges', async (t) => {
      const { call, push } = await serving(t, { backend: await make(t) });
      await push(BYTES);
      const cases: [range: string, start: number, end: number][] = [
        ['500-1499', 500, 1500],
        ['500-', 500, 2048],
        ['-500', 1548, 2048],
        ['2000-5000', 2000, 2048],
        ['0-0', 0, 1],
      ];
      for (const [range, start, end] of cases) {
        const answer = await call('GET', AT, { headers: { Range: `bytes=${range}` } });
        assert.equal(answer.status, 206, range);
        assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/2048`);
        assert.equal(answer.headers['content-length'], String(end - start));
        assert.equal(answer.headers['docker-content-digest'], DIGEST);
        assert.ok(answer.body.equals(BYTES.subarray(start, end)), range);
      }
    });

    it('answers several ranges at once', async (t) => {
      const { call, push } = await serving(t, { backend: await make(t) });
      await push(BYTES);
      const answer = await call('GET', AT, { headers: { Range: 'bytes=0-9,100-109' } });
      assert.equal(answer.status, 206);
      assert.match(String(answer.headers['content-type']), /^multipart\/byteranges; boundary=/);
      assert.ok(
        answer.body.includes(BYTES.subarray(0, 10)) && answer.body.includes(BYTES.subarray(100, 110)),
      );
    });

    it('deletes a blob of this repository only', async (t) => {
      const { call, push } = await serving(t, { backend: await make(t) });
      await push(BYTES);
      await push(BYTES, 'team/other');
      assert.equal((await call('DELETE', AT)).status, 202);
      for (const method of ['GET', 'HEAD', 'DELETE']) {
        const answer = await call(method, AT);
        assert.equal(answer.status, 404, method);
        if (method !== 'HEAD') assert.equal(answer.code, 'BLOB_UNKNOWN');
      }
      assert.equal((await call('GET', blobPath(DIGEST, 'team/other'))).status, 200);
    });
  });
}

describe('pulling blobs', () => {
  it('answers 416 with the size, and no length of the whole, for ranges that it has not', async (t) => {
    const { call, push } = await serving(t);
    await push(BYTES);
    for (const range of ['5000-10000', '2048-', '500-0']) {
      const answer = await call('GET', AT, { headers: { Range: `bytes=${range}` } });
      assert.equal(answer.status, 416, range);
      assert.equal(answer.headers['content-range'], 'bytes */2048');
      assert.equal(answer.headers['content-length'], '0');
    }
  });

  it('answers 304 to who has it, and the range only to who has a part of the same', async (t) => {
    const { call, push } = await serving(t);
    await push(BYTES);
    const known = await call('GET', AT, { headers: { 'If-None-Match': `"${DIGEST}"` } });
    assert.deepEqual(
      [known.status, known.headers['docker-content-digest'], known.body.length],
      [304, DIGEST, 0],
    );
    assert.equal((await call('GET', AT, { headers: { 'If-None-Match': '"other"' } })).status, 200);
    assert.equal((await call('GET', AT, { headers: { 'If-Match': '"other"' } })).status, 412);
    const range = { Range: 'bytes=0-9' };
    assert.equal((await call('GET', AT, { headers: { ...range, 'If-Range': `"${DIGEST}"` } })).status, 206);
    assert.equal((await call('GET', AT, { headers: { ...range, 'If-Range': '"other"' } })).status, 200);
  });

  it('answers 404 for a blob that is not there, and 400 for a digest that is none', async (t) => {
    const { call } = await serving(t);
    const missing = await call('GET', AT);
    assert.deepEqual([missing.status, missing.code], [404, 'BLOB_UNKNOWN']);
    const head = await call('HEAD', AT);
    assert.deepEqual([head.status, head.body.length], [404, 0]);
    for (const digest of [
      'sha256:abc',
      DIGEST.toUpperCase(),
      'none',
      'sha256:..%2f..',
      `md5:${'0'.repeat(32)}`,
    ]) {
      const answer = await call('GET', blobPath(digest));
      assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID'], digest);
    }
  });

  it('takes a digest whose colon is encoded', async (t) => {
    const { call, push } = await serving(t);
    await push(BYTES);
    assert.equal((await call('HEAD', AT.replace('sha256:', 'sha256%3A'))).status, 200);
  });

  it('works in Express 4 and 5, Connect, node:http and node:http2', async (t) => {
    for (const kind of KINDS) {
      const { call, push } = await serving(t, { kind });
      await push(BYTES);
      const answer = await call('GET', AT, { headers: { range: 'bytes=1-' } });
      assert.equal(answer.status, 206, kind);
      assert.ok(answer.body.equals(BYTES.subarray(1)), kind);
      assert.equal((await call('HEAD', AT)).headers['content-length'], '2048', kind);
    }
  });

  it('names the host that a client of a proxy means', async (t) => {
    const { call, push } = await serving(t);
    await push(BYTES);
    const answer = await call('GET', `${AT}?ns=images.example.org:5000`);
    assert.equal(answer.headers['oci-namespace'], 'images.example.org:5000');
    assert.equal((await call('GET', AT)).headers['oci-namespace'], undefined);
    assert.equal((await call('GET', `${AT}?ns=a%20b`)).headers['oci-namespace'], undefined);
  });

  it('answers 404 for a blob that goes between the look and the reading', async (t) => {
    const { call, push, storage } = await serving(t);
    await push(BYTES);
    t.mock.method(storage, 'streamBlob', async () => undefined);
    const answer = await call('GET', AT);
    assert.deepEqual([answer.status, answer.code], [404, 'BLOB_UNKNOWN']);
  });

  it('breaks an answer off whose bytes give out, rather than end it', async (t) => {
    const { call, push, storage } = await serving(t);
    await push(BYTES);
    t.mock.method(storage, 'streamBlob', async () => ({
      size: BYTES.length,
      bytes: (async function* () {
        yield BYTES.subarray(0, 100);
        throw new Error('the disk is gone');
      })(),
    }));
    const answer = await call('GET', AT);
    assert.deepEqual([answer.status, answer.complete], [200, false]);
  });
});
