/** What somebody has pushed is data to whoever pulls it, a browser included. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { blobPath, REPO, serving } from './serving.ts';

const PAGE = Buffer.from('{"a":"<script>steal(document.cookie)</script>"}');

describe('what was pushed', () => {
  it('is never run by a browser, whatever media type it came with', async (t) => {
    const { call, push } = await serving(t);
    const at = `/v2/${REPO}/manifests/page`;
    const put = await call('PUT', at, { headers: { 'Content-Type': 'text/html' }, body: PAGE });
    assert.equal(put.status, 201);
    const byDigest = String(put.headers['location']);
    for (const path of [at, byDigest, blobPath(await push(PAGE))]) {
      for (const headers of [{}, { Range: 'bytes=0-20' }]) {
        const answer = await call('GET', path, { headers });
        assert.ok(answer.status < 300, `${path}: ${answer.status}`);
        assert.equal(answer.headers['x-content-type-options'], 'nosniff', path);
        assert.equal(answer.headers['content-security-policy'], "default-src 'none'; sandbox", path);
      }
    }
  });
});

describe('a tag with several media types', () => {
  it('has none of the names that every object of JavaScript has', async (t) => {
    const storage = new Storage(new MemoryBackend(), { manyMediaTypes: true });
    const { call } = await serving(t, { storage });
    const at = `/v2/${REPO}/manifests/many`;
    for (const type of ['application/a', 'application/b'])
      await call('PUT', at, { headers: { 'Content-Type': type }, body: `{"a":"${type}"}` });
    for (const name of ['constructor', '__proto__', 'toString']) {
      const only = await call('GET', at, { headers: { Accept: name } });
      assert.deepEqual([only.status, only.code], [404, 'MANIFEST_UNKNOWN'], name);
      const other = await call('GET', at, { headers: { Accept: `${name}, application/a` } });
      assert.deepEqual([other.status, other.headers['content-type']], [200, 'application/a'], name);
    }
  });
});
