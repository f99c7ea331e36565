/** OCI distribution-spec 1.1, "Listing tags": end points 8a and 8b; and the catalog. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BACKENDS, IMAGE, REPO, serving } from './serving.ts';

const LIST = `/v2/${REPO}/tags/list`;
const TAGS = ['b', 'a', 'C', '0', '_x', 'a-1', 'a.1'];
/** As ASCII has them. */
const SORTED = ['0', 'C', '_x', 'a', 'a-1', 'a.1', 'b'];

for (const [where, make] of Object.entries(BACKENDS)) {
  describe(`tags, ${where}`, () => {
    it('are listed in ASCII order, and manifests without a tag are not', async (t) => {
      const { call, pushImage } = await serving(t, { backend: await make(t) });
      for (const tag of TAGS) await pushImage(tag);
      const { status, headers, json } = await call('GET', LIST);
      assert.equal(status, 200);
      assert.equal(headers['content-type'], 'application/json');
      assert.equal(headers['link'], undefined);
      assert.deepEqual(json, { name: REPO, tags: SORTED });
      const head = await call('HEAD', LIST);
      assert.deepEqual([head.status, head.body.length], [200, 0]);
    });
  });
}

describe('tags', () => {
  it('come in pages, each with a Link to the next', async (t) => {
    const { call, pushImage } = await serving(t);
    for (const tag of TAGS) await pushImage(tag);
    for (const n of [1, 2, 3, 7, 8]) {
      const found: string[] = [];
      let pages = 0;
      for (let path: string | undefined = `${LIST}?n=${n}`; path !== undefined; pages++) {
        const { json, headers } = await call('GET', path);
        assert.ok((json.tags?.length ?? 0) <= n);
        found.push(...(json.tags ?? []));
        const link = headers['link'];
        path = link === undefined ? undefined : /^<(.*)>; rel="next"$/.exec(String(link))?.[1];
        if (link !== undefined) assert.ok(path?.startsWith(`${LIST}?n=${n}&last=`), String(link));
      }
      assert.deepEqual(found, SORTED, `n=${n}`);
      assert.equal(pages, Math.ceil(SORTED.length / n), `n=${n}`);
    }
  });

  it('come strictly after `last`, which need not be a tag', async (t) => {
    const { call, pushImage } = await serving(t);
    for (const tag of TAGS) await pushImage(tag);
    const after = async (query: string) => (await call('GET', `${LIST}?${query}`)).json.tags;
    assert.deepEqual(await after('last=a'), ['a-1', 'a.1', 'b']);
    assert.deepEqual(await after('last=Z'), ['_x', 'a', 'a-1', 'a.1', 'b']);
    assert.deepEqual(await after('last=z'), []);
    assert.deepEqual(await after('last=a&n=1'), ['a-1']);
  });

  it('are none for n=0, and then there is no Link', async (t) => {
    const { call, pushImage } = await serving(t);
    await pushImage('v1');
    const { status, json, headers } = await call('GET', `${LIST}?n=0`);
    assert.deepEqual([status, json, headers['link']], [200, { name: REPO, tags: [] }, undefined]);
  });

  it('are an empty list where only blobs were pushed, and 404 where nothing was', async (t) => {
    const { call, push } = await serving(t);
    const unknown = await call('GET', LIST);
    assert.deepEqual([unknown.status, unknown.code], [404, 'NAME_UNKNOWN']);
    await push(Buffer.from('blob'));
    assert.deepEqual((await call('GET', LIST)).json, { name: REPO, tags: [] });
  });

  it('lose a tag that was deleted', async (t) => {
    const { call, pushImage } = await serving(t);
    await pushImage('v1');
    await pushImage('v2');
    await call('DELETE', `/v2/${REPO}/manifests/v1`);
    assert.deepEqual((await call('GET', LIST)).json.tags, ['v2']);
  });

  it('answer 400 for an n that is no number', async (t) => {
    const { call, pushImage } = await serving(t);
    await pushImage('v1');
    for (const n of ['-1', 'x', '', '1.5'])
      assert.equal((await call('GET', `${LIST}?n=${n}`)).status, 400, n);
  });
});

describe('the catalog', () => {
  it('lists the repositories, in pages', async (t) => {
    const { call, pushImage } = await serving(t);
    for (const repository of ['b', 'a/b', 'a', 'c']) await pushImage('v1', {}, repository);
    assert.deepEqual((await call('GET', '/v2/_catalog')).json, { repositories: ['a', 'a/b', 'b', 'c'] });
    const first = await call('GET', '/v2/_catalog?n=3');
    assert.deepEqual(first.json.repositories, ['a', 'a/b', 'b']);
    assert.equal(first.headers['link'], '</v2/_catalog?n=3&last=b>; rel="next"');
    const second = await call('GET', '/v2/_catalog?n=3&last=b');
    assert.deepEqual([second.json.repositories, second.headers['link']], [['c'], undefined]);
    assert.deepEqual((await call('GET', '/v2/_catalog?n=0')).json.repositories, []);
  });

  it('lists only what the caller may pull, and only to whom it may be shown', async (t) => {
    const { call, pushImage } = await serving(t, {
      authorize: ({ req, action, repository }) => {
        if (req.headers.authorization === 'ann') return true;
        if (req.headers.authorization !== 'bob') return false;
        return action === 'catalog' || (action === 'pull' && repository.startsWith('open/'));
      },
    }).then((served) => ({
      call: served.call,
      pushImage: async (repository: string) => {
        const headers = { Authorization: 'ann', 'Content-Type': IMAGE };
        const body = JSON.stringify({
          schemaVersion: 2,
          mediaType: 'application/vnd.oci.image.index.v1+json',
          manifests: [],
        });
        await served.call('PUT', `/v2/${repository}/manifests/v1`, {
          headers: { ...headers, 'Content-Type': 'application/vnd.oci.image.index.v1+json' },
          body,
        });
      },
    }));
    for (const repository of ['closed/a', 'open/a', 'open/b']) await pushImage(repository);
    const as = async (user: string) => call('GET', '/v2/_catalog', { headers: { Authorization: user } });
    assert.deepEqual((await as('ann')).json.repositories, ['closed/a', 'open/a', 'open/b']);
    assert.deepEqual((await as('bob')).json.repositories, ['open/a', 'open/b']);
    assert.equal((await as('eve')).status, 403);
  });
});
