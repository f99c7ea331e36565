/** OCI distribution-spec 1.1, "Mounting a blob from another repository": end point 11. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { AuthorizeContext } from '../../lib/registry/index.ts';
import { BACKENDS, blobPath, digestOf, type Served, serving } from './serving.ts';

const BYTES = Buffer.from('a layer that others have');
const DIGEST = digestOf(BYTES);
const TARGET = 'team/target';
const mount = ({ call }: Served, query: string, headers: Record<string, string> = {}) =>
  call('POST', `/v2/${TARGET}/blobs/uploads/?${query}`, { headers });

/** Everybody may push; who pulls goes by the header. */
async function guarded(t: TestContext): Promise<{ served: Served; asked: AuthorizeContext[] }> {
  const asked: AuthorizeContext[] = [];
  const served = await serving(t, {
    authorize: (context) => {
      asked.push(context);
      const { req, action, repository } = context;
      return action === 'push' || repository === TARGET || repository === req.headers['x-may-pull'];
    },
  });
  return { served, asked };
}

for (const [where, make] of Object.entries(BACKENDS)) {
  describe(`mounting a blob, ${where}`, () => {
    it('makes it one of the repository, without a byte being sent', async (t) => {
      const served = await serving(t, { backend: await make(t) });
      await served.push(BYTES, 'team/source');
      for (const from of ['&from=team/source', '']) {
        const answer = await mount(served, `mount=${DIGEST}${from}`);
        assert.equal(answer.status, 201);
        assert.equal(answer.headers['location'], blobPath(DIGEST, TARGET));
        assert.equal(answer.headers['docker-content-digest'], DIGEST);
        assert.ok((await served.call('GET', blobPath(DIGEST, TARGET))).body.equals(BYTES));
        await served.call('DELETE', blobPath(DIGEST, TARGET));
      }
    });

    it('begins an upload where the blob is not there, or not in that repository', async (t) => {
      const served = await serving(t, { backend: await make(t) });
      await served.push(BYTES, 'team/source');
      const unknown = digestOf('unknown');
      for (const query of [
        `mount=${unknown}&from=team/source`,
        `mount=${unknown}`,
        `mount=${DIGEST}&from=team/empty`,
      ]) {
        const answer = await mount(served, query);
        assert.equal(answer.status, 202, query);
        const put = await served.call('PUT', `${answer.headers['location']}?digest=${digestOf('x')}`, {
          body: 'x',
        });
        assert.equal(put.status, 201, query);
      }
      assert.equal((await served.call('HEAD', blobPath(DIGEST, TARGET))).status, 404);
    });
  });
}

describe('mounting a blob', () => {
  it('is for those who may push here and pull there; for others it begins an upload', async (t) => {
    const { served, asked } = await guarded(t);
    await served.push(BYTES, 'team/source');
    asked.length = 0;
    const stranger = await mount(served, `mount=${DIGEST}&from=team/source`);
    assert.equal(stranger.status, 202);
    assert.deepEqual(
      asked.map(({ req: _, user: __, ...rest }) => rest),
      [
        { action: 'push', repository: TARGET, digest: DIGEST, from: 'team/source' },
        { action: 'pull', repository: 'team/source', digest: DIGEST },
      ],
    );
    assert.equal((await served.call('HEAD', blobPath(DIGEST, TARGET))).status, 404);
    const member = await mount(served, `mount=${DIGEST}&from=team/source`, { 'X-May-Pull': 'team/source' });
    assert.equal(member.status, 201);
  });

  it('without a repository goes through those that the caller may pull from', async (t) => {
    const { served } = await guarded(t);
    for (const repository of ['team/a', 'team/b', 'team/c']) await served.push(BYTES, repository);
    assert.equal((await mount(served, `mount=${DIGEST}`)).status, 202);
    assert.equal((await mount(served, `mount=${DIGEST}`, { 'X-May-Pull': 'team/none' })).status, 202);
    assert.equal((await mount(served, `mount=${DIGEST}`, { 'X-May-Pull': 'team/b' })).status, 201);
  });

  it('never reaches into another namespace', async (t) => {
    const served = await serving(t, { namespace: (req) => String(req.headers['x-tenant'] ?? 'one') });
    await served.push(BYTES, 'team/source');
    const other = { 'X-Tenant': 'two' };
    assert.equal((await mount(served, `mount=${DIGEST}&from=team/source`, other)).status, 202);
    assert.equal((await mount(served, `mount=${DIGEST}`, other)).status, 202);
    assert.equal((await mount(served, `mount=${DIGEST}`)).status, 201);
  });

  it('refuses a repository that is none', async (t) => {
    const served = await serving(t);
    const answer = await mount(served, `mount=${DIGEST}&from=..%2f..`);
    assert.deepEqual([answer.status, answer.code], [400, 'NAME_INVALID']);
  });
});
