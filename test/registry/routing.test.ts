/** Which requests are the registry's, what they name, and where it is mounted. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import connect from 'connect';
import express5 from 'express';
import express4 from 'express4';
import { registry } from '../../lib/registry/index.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { KINDS, listening } from '../support/servers.ts';
import { blobPath, client, digestOf, serving } from './serving.ts';

const BYTES = Buffer.from('bytes');
const DIGEST = digestOf(BYTES);

describe('the end points', () => {
  it('are read from the right: any name that is one is a repository', async (t) => {
    const { call, push, pushImage } = await serving(t);
    const names = [
      'blobs',
      'manifests',
      'tags',
      'uploads',
      'referrers',
      'v2',
      'tags/list',
      'blobs/uploads',
      'a/blobs/uploads',
      'a/manifests/latest',
      'a/b/c/d/e/f',
      'a__b/c-d.e',
    ];
    for (const name of names) {
      await push(BYTES, name);
      assert.equal((await call('GET', blobPath(DIGEST, name))).status, 200, name);
      await pushImage('list', {}, name);
      assert.equal((await call('GET', `/v2/${name}/manifests/list`)).status, 200, name);
      assert.deepEqual((await call('GET', `/v2/${name}/tags/list`)).json, { name, tags: ['list'] });
      assert.equal((await call('GET', `/v2/${name}/referrers/${DIGEST}`)).status, 200, name);
      const begun = await call('POST', `/v2/${name}/blobs/uploads/`);
      assert.equal((await call('GET', String(begun.headers['location']))).status, 204, name);
    }
    assert.deepEqual((await call('GET', '/v2/_catalog')).json.repositories, [...names].sort());
  });

  it('refuse names that are none', async (t) => {
    const { call } = await serving(t);
    const names = [
      'UPPER',
      '-a',
      'a-',
      'a//b',
      '../b',
      '_a',
      'a..b',
      'a%2fb',
      'a%20b',
      '%zz',
      'a'.repeat(256),
    ];
    for (const name of names) {
      for (const rest of ['tags/list', 'manifests/v1', `blobs/${DIGEST}`]) {
        const answer = await call('GET', `/v2/${name}/${rest}`);
        assert.deepEqual([answer.status, answer.code], [400, 'NAME_INVALID'], `${name} ${rest}`);
      }
      assert.equal((await call('POST', `/v2/${name}/blobs/uploads/`)).status, 400, name);
    }
  });

  it('answer /v2 and /v2/ with an empty object', async (t) => {
    const { call } = await serving(t);
    for (const path of ['/v2', '/v2/', '/v2/?x=y']) {
      const { status, headers, body } = await call('GET', path);
      assert.deepEqual([status, body.toString()], [200, '{}'], path);
      assert.equal(headers['docker-distribution-api-version'], 'registry/2.0');
    }
    assert.equal((await call('HEAD', '/v2/')).status, 200);
  });

  it('are no others: 404 below /v2, and 405 with Allow for other methods', async (t) => {
    const { call } = await serving(t);
    for (const path of [
      '/v2/a',
      '/v2/a/b',
      '/v2/a/tags',
      '/v2/a/tags/list/',
      '/v2/tags/list',
      '/v2/blobs/uploads/',
      '/v2//',
      '/v2/manifests/v1',
    ]) {
      const answer = await call('GET', path);
      assert.deepEqual([answer.status, answer.code], [404, 'UNSUPPORTED'], path);
    }
    const cases: [method: string, path: string, allow: string][] = [
      ['POST', '/v2/', 'GET, HEAD'],
      ['DELETE', '/v2/a/tags/list', 'GET, HEAD'],
      ['GET', '/v2/a/blobs/uploads/', 'POST'],
      ['POST', '/v2/a/manifests/v1', 'GET, HEAD, PUT, DELETE'],
      ['PATCH', blobPath(DIGEST, 'a'), 'GET, HEAD, DELETE'],
      ['POST', `/v2/a/blobs/uploads/${'0'.repeat(32)}`, 'GET, HEAD, PATCH, PUT, DELETE'],
      ['OPTIONS', `/v2/a/referrers/${DIGEST}`, 'GET, HEAD'],
    ];
    for (const [method, path, allow] of cases) {
      const answer = await call(method, path);
      assert.deepEqual(
        [answer.status, answer.code, answer.headers['allow']],
        [405, 'UNSUPPORTED', allow],
        `${method} ${path}`,
      );
    }
  });

  it('leave everything else to what comes next', async (t) => {
    for (const kind of KINDS) {
      const { call } = await serving(t, {
        kind,
        after: [
          (req, res) => {
            res.statusCode = 299;
            res.end(req.url);
          },
        ],
      });
      for (const path of ['/', '/v1/', '/v2x/', '/files/v2/', '/V2/']) {
        const answer = await call('GET', path);
        assert.deepEqual([answer.status, answer.body.toString()], [299, path], kind);
        assert.equal(answer.headers['docker-distribution-api-version'], undefined);
      }
    }
  });

  it('answer 404 where nothing comes next', async (t) => {
    const storage = new Storage(new MemoryBackend());
    const handler = registry({ storage, authorize: 'anyone' });
    const server = await listening(
      'http',
      createServer((req, res) => handler(req, res)),
    );
    t.after(() => server.close());
    const { call, push } = client(server, storage);
    assert.equal((await call('GET', '/')).status, 404);
    await push(BYTES);
    assert.equal((await call('GET', blobPath(DIGEST))).status, 200);
  });
});

describe('a registry that is mounted below a path', () => {
  const mounts = {
    'express 5': (handler: never) => express5().use('/images/here', express5.Router().use(handler)),
    'express 4': (handler: never) =>
      (express4() as unknown as ReturnType<typeof express5>).use('/images/here', handler),
    connect: (handler: never) => connect().use('/images/here', handler),
  };
  for (const [name, mount] of Object.entries(mounts)) {
    it(`has its Locations and Links there, in ${name}`, async (t) => {
      const storage = new Storage(new MemoryBackend());
      const app = mount(registry({ storage, authorize: 'anyone' }) as never);
      const listener = app as (req: IncomingMessage, res: ServerResponse) => void;
      const server = await listening('http', createServer(listener));
      t.after(() => server.close());
      const { call } = client(server, storage);
      const base = '/images/here/v2';
      assert.equal((await call('GET', `${base}/`)).status, 200);
      const begun = await call('POST', `${base}/a/b/blobs/uploads/?x=y`);
      const at = String(begun.headers['location']);
      assert.ok(at.startsWith(`${base}/a/b/blobs/uploads/`), at);
      assert.equal((await call('PATCH', at, { body: BYTES })).headers['location'], at);
      assert.equal((await call('GET', at)).headers['location'], at);
      const put = await call('PUT', `${at}?digest=${DIGEST}`);
      assert.equal(put.headers['location'], `${base}/a/b/blobs/${DIGEST}`);
      assert.equal((await call('GET', String(put.headers['location']))).status, 200);
      for (const tag of ['a', 'b']) {
        const body =
          '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}';
        const answer = await call('PUT', `${base}/a/b/manifests/${tag}`, { body });
        assert.ok(String(answer.headers['location']).startsWith(`${base}/a/b/manifests/sha256:`));
      }
      const page = await call('GET', `${base}/a/b/tags/list?n=1`);
      assert.equal(page.headers['link'], `<${base}/a/b/tags/list?n=1&last=a>; rel="next"`);
    });
  }

  it('has relative Locations where a request names the host', async (t) => {
    const { call } = await serving(t);
    const begun = await call('POST', 'http://example.org/v2/a/blobs/uploads/');
    assert.match(String(begun.headers['location']), /^\/v2\/a\/blobs\/uploads\/[0-9a-f]{32}$/);
  });
});

describe('namespaces', () => {
  it('share nothing', async (t) => {
    const { call, pushImage } = await serving(t, {
      namespace: async (req) => req.headers.host?.split('.')[0] ?? 'none',
    });
    await pushImage('v1').catch(() => undefined);
    const as = (tenant: string) => ({ headers: { Host: `${tenant}.example` } });
    const body = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}';
    assert.equal((await call('PUT', '/v2/a/manifests/v1', { ...as('one'), body })).status, 201);
    assert.equal((await call('GET', '/v2/a/manifests/v1', as('one'))).status, 200);
    assert.equal((await call('GET', '/v2/a/manifests/v1', as('two'))).status, 404);
    assert.deepEqual((await call('GET', '/v2/_catalog', as('two'))).json.repositories, []);
  });

  it('may be none for a request: then there is nothing', async (t) => {
    const { call } = await serving(t, { namespace: () => undefined });
    const answer = await call('GET', '/v2/a/manifests/v1');
    assert.deepEqual([answer.status, answer.code], [404, 'NAME_UNKNOWN']);
  });
});
