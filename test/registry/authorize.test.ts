/** Who may do what: `authenticate`, `authorize`, challenges and the read-only registry. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuthorizeContext } from '../../lib/registry/index.ts';
import type { Handler } from '../support/servers.ts';
import { blobPath, digestOf, IMAGE, REPO, serving, UPLOADS } from './serving.ts';

const BYTES = Buffer.from('bytes');
const DIGEST = digestOf(BYTES);
const MANIFEST = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}';

/** Every kind of request, and what is asked about it. */
const REQUESTS: [method: string, path: string, asked: object][] = [
  ['GET', '/v2/', { action: 'ping', repository: '' }],
  ['GET', '/v2/_catalog', { action: 'catalog', repository: '' }],
  ['GET', blobPath(DIGEST), { action: 'pull', repository: REPO, digest: DIGEST }],
  ['HEAD', blobPath(DIGEST), { action: 'pull', repository: REPO, digest: DIGEST }],
  ['DELETE', blobPath(DIGEST), { action: 'delete', repository: REPO, digest: DIGEST }],
  ['GET', `/v2/${REPO}/manifests/v1`, { action: 'pull', repository: REPO, reference: 'v1' }],
  ['HEAD', `/v2/${REPO}/manifests/${DIGEST}`, { action: 'pull', repository: REPO, digest: DIGEST }],
  ['PUT', `/v2/${REPO}/manifests/v1`, { action: 'push', repository: REPO, reference: 'v1' }],
  ['DELETE', `/v2/${REPO}/manifests/${DIGEST}`, { action: 'delete', repository: REPO, digest: DIGEST }],
  ['DELETE', `/v2/${REPO}/manifests/v1`, { action: 'delete', repository: REPO, reference: 'v1' }],
  ['GET', `/v2/${REPO}/tags/list`, { action: 'pull', repository: REPO }],
  ['GET', `/v2/${REPO}/referrers/${DIGEST}`, { action: 'pull', repository: REPO, digest: DIGEST }],
  ['POST', UPLOADS, { action: 'push', repository: REPO }],
  ['POST', `${UPLOADS}?digest=${DIGEST}`, { action: 'push', repository: REPO, digest: DIGEST }],
  [
    'POST',
    `${UPLOADS}?mount=${DIGEST}&from=a`,
    { action: 'push', repository: REPO, digest: DIGEST, from: 'a' },
  ],
  ['GET', `${UPLOADS}${'0'.repeat(32)}`, { action: 'push', repository: REPO }],
  ['PATCH', `${UPLOADS}${'0'.repeat(32)}`, { action: 'push', repository: REPO }],
  [
    'PUT',
    `${UPLOADS}${'0'.repeat(32)}?digest=${DIGEST}`,
    { action: 'push', repository: REPO, digest: DIGEST },
  ],
  ['DELETE', `${UPLOADS}${'0'.repeat(32)}`, { action: 'push', repository: REPO }],
];

describe('authorize', () => {
  it('is asked about every request, before anything is looked at', async (t) => {
    const asked: AuthorizeContext[] = [];
    const { call, storage } = await serving(t, {
      authorize: (context) => {
        asked.push(context);
        return false;
      },
    });
    for (const name of ['linkedBlobSize', 'getManifest', 'startUpload', 'uploadStatus', 'listTags'] as const)
      t.mock.method(storage, name, () => assert.fail(`${name} was called`));
    for (const [method, path, expected] of REQUESTS) {
      asked.length = 0;
      const answer = await call(method, path);
      assert.equal(answer.status, 401, `${method} ${path}`);
      assert.equal(asked.length, 1, `${method} ${path}`);
      const { req, user, ...rest } = asked[0] as AuthorizeContext;
      assert.deepEqual([rest, user, req.method], [expected, undefined, method], `${method} ${path}`);
    }
  });

  it('closes the registry where it is absent', async (t) => {
    const { call } = await serving(t, { closed: true });
    for (const [method, path] of REQUESTS) {
      const stranger = await call(method, path);
      assert.equal(stranger.status, 401, `${method} ${path}`);
      assert.equal(stranger.headers['www-authenticate'], 'Basic realm="cache-filter"');
      if (method !== 'HEAD') assert.equal(stranger.code, 'UNAUTHORIZED');
      const known = await call(method, path, { headers: { Authorization: 'Bearer x' } });
      assert.equal(known.status, 403, `${method} ${path}`);
      if (method !== 'HEAD') assert.equal(known.code, 'DENIED');
      assert.equal(known.headers['www-authenticate'], undefined);
    }
  });

  it("opens it to whoever reaches it, with the word 'anyone'", async (t) => {
    const { call } = await serving(t, { authorize: 'anyone' });
    for (const [method, path] of REQUESTS) {
      const { status } = await call(method, path, method === 'PUT' ? { body: MANIFEST } : {});
      assert.ok(status !== 401 && status !== 403, `${method} ${path}: ${status}`);
    }
  });

  it('is told who asks: by `authenticate`, or by middleware before the registry', async (t) => {
    const seen: unknown[] = [];
    const authorize = ({ user }: AuthorizeContext) => {
      seen.push(user);
      return true;
    };
    const one = await serving(t, { authorize, authenticate: async ({ headers }) => headers['x-user'] });
    await one.call('GET', '/v2/', { headers: { 'X-User': 'ann' } });
    const signIn: Handler = (req, _res, next) => {
      Object.assign(req, { user: { name: 'bob' } });
      next();
    };
    const two = await serving(t, { authorize, before: [signIn] });
    await two.call('GET', '/v2/');
    assert.deepEqual(seen, ['ann', { name: 'bob' }]);
  });

  it('answers 401 to credentials that `authenticate` does not look at', async (t) => {
    const { call } = await serving(t, { authorize: () => false, authenticate: () => undefined });
    const answer = await call('GET', '/v2/', { headers: { Authorization: 'Bearer abc' } });
    assert.deepEqual([answer.status, answer.code], [401, 'UNAUTHORIZED']);
  });

  it('answers 403 to a user without an Authorization header', async (t) => {
    const { call } = await serving(t, { authorize: () => false, authenticate: () => 'ann' });
    assert.equal((await call('GET', '/v2/')).status, 403);
  });

  it('may ask for other credentials, and hide what there is', async (t) => {
    const { call } = await serving(t, {
      authorize: ({ repository }) => (repository === 'hidden' ? 'hide' : 'challenge'),
      challenge: ({ action, repository }) =>
        `Bearer realm="https://auth.example/token",scope="repository:${repository}:${action}"`,
    });
    const headers = { Authorization: 'Bearer expired' };
    const again = await call('GET', '/v2/a/tags/list', { headers });
    assert.deepEqual([again.status, again.code], [401, 'UNAUTHORIZED']);
    assert.equal(
      again.headers['www-authenticate'],
      'Bearer realm="https://auth.example/token",scope="repository:a:pull"',
    );
    const hidden = await call('GET', '/v2/hidden/tags/list', { headers });
    assert.deepEqual([hidden.status, hidden.code], [404, 'NAME_UNKNOWN']);
  });

  it('is asked about each tag that a manifest gets', async (t) => {
    const { call } = await serving(t, { authorize: ({ reference }) => reference !== 'latest' });
    const path = `/v2/${REPO}/manifests/${digestOf(MANIFEST)}`;
    const headers = { Authorization: 'x' };
    assert.equal((await call('PUT', `${path}?tag=v1,latest`, { headers, body: MANIFEST })).status, 403);
    assert.equal((await call('GET', path, { headers })).status, 404);
    assert.equal((await call('PUT', `${path}?tag=v1`, { headers, body: MANIFEST })).status, 201);
  });

  it('goes to next(err) where it throws, or answers what means nothing', async (t) => {
    for (const authorize of [
      () => 'yes',
      () => undefined,
      () => 1,
      () => Promise.reject(new Error('no database')),
    ]) {
      const { call } = await serving(t, { authorize: authorize as never });
      const answer = await call('GET', '/v2/');
      assert.deepEqual([answer.status, answer.body.toString()], [500, 'failed']);
    }
  });
});

describe('a challenge', () => {
  it('that is no header goes to next(err)', async (t) => {
    for (const challenge of [() => 'a\r\nb', () => undefined as never]) {
      const { call } = await serving(t, { authorize: () => false, challenge });
      const answer = await call('GET', '/v2/');
      assert.deepEqual([answer.status, answer.body.toString()], [500, 'failed']);
    }
  });
});

describe('authenticate', () => {
  it('refuses wrong credentials whatever is asked for, with the challenge for it', async (t) => {
    const { call } = await serving(t, {
      authorize: 'anyone',
      authenticate: () => false,
      challenge: ({ action, repository }) => `Basic realm="${action} ${repository}"`,
    });
    for (const [method, path, asked] of REQUESTS) {
      const answer = await call(method, path);
      const { action, repository } = asked as AuthorizeContext;
      assert.equal(answer.status, 401, `${method} ${path}`);
      assert.equal(
        answer.headers['www-authenticate'],
        `Basic realm="${action} ${repository}"`,
        `${method} ${path}`,
      );
    }
  });
});

describe('a registry that is read-only', () => {
  it('refuses whatever would change something, and answers the rest', async (t) => {
    const open = await serving(t);
    const { bytes } = await open.pushImage('v1');
    const { call } = await serving(t, { storage: open.storage, readOnly: true });
    assert.ok((await call('GET', `/v2/${REPO}/manifests/v1`)).body.equals(bytes));
    assert.equal((await call('HEAD', `/v2/${REPO}/manifests/v1`)).status, 200);
    for (const [method, path] of REQUESTS) {
      if (method === 'GET' || method === 'HEAD') continue;
      const answer = await call(method, path, { headers: { 'Content-Type': IMAGE }, body: bytes });
      assert.deepEqual([answer.status, answer.code], [405, 'UNSUPPORTED'], `${method} ${path}`);
    }
    assert.deepEqual((await call('GET', `/v2/${REPO}/tags/list`)).json.tags, ['v1']);
  });
});
