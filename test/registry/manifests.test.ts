/** OCI distribution-spec 1.1, "Pulling manifests" and "Pushing manifests": end points 3, 7 and 9. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { KINDS } from '../support/servers.ts';
import { BACKENDS, digestOf, IMAGE, INDEX, imageOf, REPO, serving } from './serving.ts';

const at = (reference: string, repository = REPO) => `/v2/${repository}/manifests/${reference}`;
const TYPED = { 'Content-Type': IMAGE };

for (const [where, make] of Object.entries(BACKENDS)) {
  describe(`manifests, ${where}`, () => {
    it('come back byte for byte, by tag and by digest, by GET and by HEAD', async (t) => {
      const { call, pushImage } = await serving(t, { backend: await make(t) });
      const { digest, bytes } = await pushImage('v1');
      for (const reference of ['v1', digest]) {
        for (const method of ['GET', 'HEAD']) {
          const { status, headers, body } = await call(method, at(reference));
          assert.equal(status, 200);
          assert.equal(headers['content-type'], IMAGE);
          assert.equal(headers['content-length'], String(bytes.length));
          assert.equal(headers['docker-content-digest'], digest);
          assert.equal(headers['etag'], `"${digest}"`);
          const expected = reference === 'v1' ? 'no-cache' : 'max-age=31536000, immutable';
          assert.equal(headers['cache-control'], expected);
          assert.ok(body.equals(method === 'HEAD' ? Buffer.alloc(0) : bytes));
        }
      }
    });

    it('are gone at once when they are deleted: a tag alone, or the digest with all its tags', async (t) => {
      const { call, pushImage } = await serving(t, { backend: await make(t) });
      const { digest, bytes } = await pushImage('v1');
      for (const tag of ['v2', 'v3']) await call('PUT', at(tag), { headers: TYPED, body: bytes });
      assert.equal((await call('DELETE', at('v1'))).status, 202);
      const gone = await call('GET', at('v1'));
      assert.deepEqual([gone.status, gone.code], [404, 'MANIFEST_UNKNOWN']);
      assert.equal((await call('GET', at('v2'))).status, 200);
      assert.equal((await call('DELETE', at(digest))).status, 202);
      for (const reference of ['v2', 'v3', digest]) {
        for (const method of ['GET', 'HEAD', 'DELETE'])
          assert.equal((await call(method, at(reference))).status, 404, `${method} ${reference}`);
      }
    });
  });
}

describe('pushing manifests', () => {
  it('answers where the manifest is, with its digest', async (t) => {
    const { call, push } = await serving(t);
    await push(Buffer.from('{}'));
    const bytes = imageOf(Buffer.from('{}'), []);
    const digest = digestOf(bytes);
    for (const reference of ['v1', digest]) {
      const { status, headers } = await call('PUT', at(reference), { headers: TYPED, body: bytes });
      assert.equal(status, 201);
      assert.equal(headers['docker-content-digest'], digest);
      assert.equal(headers['oci-subject'], undefined);
      assert.equal(headers['oci-tag'], undefined);
      assert.equal((await call('GET', String(headers['location']))).status, 200);
    }
  });

  it('says which subject it has understood', async (t) => {
    const { call, push } = await serving(t);
    await push(Buffer.from('{}'));
    const subject = { mediaType: IMAGE, digest: digestOf('subject'), size: 7 };
    const { status, headers } = await call('PUT', at('v1'), {
      headers: TYPED,
      body: imageOf(Buffer.from('{}'), [], { subject }),
    });
    assert.deepEqual([status, headers['oci-subject']], [201, subject.digest]);
  });

  it('gives a manifest that is pushed by its digest many tags at once', async (t) => {
    const { call, push } = await serving(t);
    await push(Buffer.from('{}'));
    const bytes = imageOf(Buffer.from('{}'), []);
    const digest = digestOf(bytes);
    const tags = Array.from({ length: 12 }, (_, index) => `t${index}`);
    const query = `tag=${tags.slice(0, 3).join(',')}&${tags
      .slice(3)
      .map((tag) => `tag=${tag}`)
      .join('&')}`;
    const answer = await call('PUT', `${at(digest)}?${query}`, { headers: TYPED, body: bytes });
    assert.equal(answer.status, 201);
    assert.deepEqual(String(answer.headers['oci-tag']).split(', '), tags);
    for (const tag of tags)
      assert.equal((await call('HEAD', at(tag))).headers['docker-content-digest'], digest);

    const many = Array.from({ length: 101 }, (_, index) => `tag=t${index}`).join('&');
    assert.equal((await call('PUT', `${at(digest)}?${many}`, { headers: TYPED, body: bytes })).status, 414);
    for (const path of [`${at(digest)}?tag=-no`, `${at('v1')}?tag=v2`]) {
      const refused = await call('PUT', path, { headers: TYPED, body: bytes });
      assert.deepEqual([refused.status, refused.code], [400, 'MANIFEST_INVALID'], path);
    }
  });

  it('takes what a manifest says of itself where there is no Content-Type, and leaves parameters out', async (t) => {
    const { call, push } = await serving(t);
    await push(Buffer.from('{}'));
    const body = imageOf(Buffer.from('{}'), []);
    assert.equal((await call('PUT', at('bare'), { body })).status, 201);
    const typed = { 'Content-Type': `${IMAGE}; charset=utf-8` };
    assert.equal((await call('PUT', at('typed'), { headers: typed, body })).status, 201);
    for (const tag of ['bare', 'typed'])
      assert.equal((await call('GET', at(tag))).headers['content-type'], IMAGE);
  });

  it('refuses what is no JSON, and a Content-Type that the manifest contradicts', async (t) => {
    const { call, push } = await serving(t);
    await push(Buffer.from('{}'));
    const cases: [headers: Record<string, string>, body: Buffer][] = [
      [TYPED, Buffer.from('no json')],
      [TYPED, Buffer.alloc(0)],
      [TYPED, Buffer.from('[]')],
      [{ 'Content-Type': INDEX }, imageOf(Buffer.from('{}'), [])],
    ];
    for (const [headers, body] of cases) {
      const answer = await call('PUT', at('v1'), { headers, body });
      assert.deepEqual([answer.status, answer.code], [400, 'MANIFEST_INVALID'], body.toString());
    }
    assert.equal((await call('GET', at('v1'))).status, 404);
  });

  it('refuses another digest than that of the bytes, and one that is none', async (t) => {
    const { call, push } = await serving(t);
    await push(Buffer.from('{}'));
    const body = imageOf(Buffer.from('{}'), []);
    for (const digest of [digestOf('other'), 'sha256:abc', 'md5:0']) {
      const answer = await call('PUT', at(digest), { headers: TYPED, body });
      assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID'], digest);
    }
    const sha512 = digestOf(body, 'sha512');
    assert.equal((await call('PUT', at(sha512), { headers: TYPED, body })).status, 201);
    assert.ok((await call('GET', at(sha512))).body.equals(body));
  });

  it('refuses tags that are none; to look for one is not found', async (t) => {
    const { call } = await serving(t);
    const body = imageOf(Buffer.from('{}'), []);
    for (const tag of ['-v1', '.v1', 'a b', 'a'.repeat(129), '..%2f..', '%00']) {
      const path = at(encodeURI(tag).replaceAll('%25', '%'));
      for (const method of ['PUT', 'DELETE']) {
        const answer = await call(method, path, method === 'PUT' ? { headers: TYPED, body } : {});
        assert.deepEqual([answer.status, answer.code], [400, 'MANIFEST_INVALID'], `${method} ${path}`);
      }
      const answer = await call('GET', path);
      assert.deepEqual([answer.status, answer.code], [404, 'MANIFEST_UNKNOWN'], path);
    }
  });

  it('refuses a manifest whose layers are missing, and says which', async (t) => {
    const { call } = await serving(t);
    const body = imageOf(Buffer.from('{}'), [Buffer.from('layer')]);
    const answer = await call('PUT', at('v1'), { headers: TYPED, body });
    assert.deepEqual([answer.status, answer.code], [404, 'MANIFEST_BLOB_UNKNOWN']);
    assert.deepEqual(answer.json.errors?.[0]?.detail, { digests: [digestOf('{}'), digestOf('layer')] });
  });

  it('takes one of 4 MiB, and refuses a larger one, declared or not', async (t) => {
    const { call, push } = await serving(t);
    await push(Buffer.from('{}'));
    const sized = (bytes: number): Buffer => {
      const rest = bytes - imageOf(Buffer.from('{}'), [], { annotations: { fill: '' } }).length;
      return imageOf(Buffer.from('{}'), [], { annotations: { fill: 'x'.repeat(rest) } });
    };
    const most = sized(4 * 2 ** 20);
    assert.equal(most.length, 4 * 2 ** 20);
    assert.equal((await call('PUT', at('most'), { headers: TYPED, body: most })).status, 201);
    assert.ok((await call('GET', at('most'))).body.equals(most));
    for (const chunked of [false, true]) {
      const body = sized(4 * 2 ** 20 + 1);
      const answer = await call('PUT', at('more'), { headers: TYPED, body, chunked });
      assert.deepEqual([answer.status, answer.code], [413, 'SIZE_INVALID'], `chunked: ${chunked}`);
    }
    assert.equal((await call('GET', at('more'))).status, 404);
  });

  it('works in Express 4 and 5, Connect, node:http and node:http2', async (t) => {
    for (const kind of KINDS) {
      const { call, pushImage } = await serving(t, { kind });
      const { digest, bytes } = await pushImage('v1');
      const answer = await call('GET', at('v1'));
      assert.deepEqual([answer.status, answer.headers['docker-content-digest']], [200, digest], kind);
      assert.ok(answer.body.equals(bytes), kind);
    }
  });
});

describe('pulling manifests', () => {
  it('answers 304 to who has it', async (t) => {
    const { call, pushImage } = await serving(t);
    const { digest } = await pushImage('v1');
    for (const reference of ['v1', digest]) {
      const headers = { 'If-None-Match': `"${digest}"` };
      assert.equal((await call('GET', at(reference), { headers })).status, 304);
      assert.equal((await call('HEAD', at(reference), { headers })).status, 304);
    }
    const { digest: newer } = await pushImage('v1', { annotations: { version: '2' } });
    const answer = await call('GET', at('v1'), { headers: { 'If-None-Match': `"${digest}"` } });
    assert.deepEqual([answer.status, answer.headers['etag']], [200, `"${newer}"`]);
  });

  it('answers 404 where there is none, and 400 for a digest that is none', async (t) => {
    const { call } = await serving(t);
    for (const reference of ['v1', digestOf('none')]) {
      const answer = await call('GET', at(reference));
      assert.deepEqual([answer.status, answer.code], [404, 'MANIFEST_UNKNOWN']);
      assert.deepEqual((await call('HEAD', at(reference))).body.length, 0);
    }
    const answer = await call('GET', at('sha256:abc'));
    assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID']);
  });

  it('goes by Accept, where a tag has several', async (t) => {
    const storage = new Storage(new MemoryBackend(), { manyMediaTypes: true });
    const { call, pushImage } = await serving(t, { storage });
    const { digest } = await pushImage('v1');
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [] }));
    await call('PUT', at('v1'), { headers: { 'Content-Type': INDEX }, body: index });
    const cases: [accept: string, digest: string | undefined][] = [
      [IMAGE, digest],
      [INDEX, digestOf(index)],
      [`${IMAGE}, ${INDEX}`, digestOf(index)],
      [`${INDEX};q=0, ${IMAGE}`, digest],
      ['text/plain', undefined],
    ];
    for (const [accept, expected] of cases) {
      const answer = await call('GET', at('v1'), { headers: { Accept: accept } });
      assert.deepEqual(
        [answer.status, answer.headers['docker-content-digest']],
        [expected ? 200 : 404, expected],
        accept,
      );
    }
    assert.equal((await call('GET', at('v1'))).headers['vary'], 'Accept');
  });

  it('has bytes of its digest', async (t) => {
    const { call, pushImage } = await serving(t);
    const { digest } = await pushImage('v1');
    const { body } = await call('GET', at('v1'));
    assert.equal(`sha256:${createHash('sha256').update(body).digest('hex')}`, digest);
  });
});
