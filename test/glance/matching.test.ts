/** Behaviours 1 to 7 of Glance's cache: which requests it has to do with. The patterns one by one: test/routes/glance.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import express from 'express';
import { getCacheInfo } from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { said } from '../support/filtered.ts';
import { type Handler, serve } from '../support/servers.ts';
import { cached } from './cached.ts';
import { anImage, ImageService } from './image-service.ts';

test('1. what matches is a download by v1 or v2, and a deletion by v1 or v2, of an id without a slash', async (t) => {
  const { request, stored } = await cached(t, { one: anImage(), two: anImage(), 'a b': anImage() });
  assert.equal(said(await request('GET /v2/images/one/file')), 'fwd=uri-miss; stored');
  assert.equal(said(await request('GET /v1/images/one')), 'hit', 'both name the image');
  assert.equal(said(await request('GET /v1/images/two')), 'fwd=uri-miss; stored');
  assert.equal(said(await request('GET /v2/images/two/file')), 'hit');
  await request('GET /v2/images/a%20b/file');
  assert.deepEqual(await stored(), ['glance:a b', 'glance:one', 'glance:two']);
  assert.equal((await request('DELETE /v1/images/one')).status, 200);
  assert.equal((await request('DELETE /v2/images/two')).status, 204);
  assert.deepEqual(await stored(), ['glance:a b']);
});

test('2. both ends are anchored: sub-resources, a trailing slash, /v3 and a prefix do not match', async (t) => {
  const { request, get, stored, log } = await cached(t, { one: anImage() });
  await get();
  log.length = 0;
  const lines = [
    'GET /v2/images/one/members',
    'DELETE /v2/images/one/members/x',
    'DELETE /v2/images/one/tags/x',
    'GET /v2/images/one/file/',
    'GET /v1/images/one/',
    'DELETE /v1/images/one/members',
    'GET /v3/images/one/file',
    'GET /x/v2/images/one/file',
    'GET /v2/images//file',
  ];
  for (const line of lines) {
    const { headers } = await request(line);
    assert.equal(headers['cache-status'], undefined, line);
  }
  assert.deepEqual(
    log,
    lines.map((line) => `${line} member`),
    'the service was asked, and nobody else',
  );
  assert.deepEqual(await stored(), ['glance:one']);
});

test('3. neither the metadata of a v2 image nor a deletion of its file matches', async (t) => {
  const { request, get, stored } = await cached(
    t,
    { one: anImage() },
    {
      // As a service would answer that could do it.
      arrange: (filter, app) => [
        filter,
        (req, res, next) => (req.method === 'DELETE' ? res.writeHead(204).end() : app(req, res, next)),
      ],
    },
  );
  await get();
  const about = await request('GET /v2/images/one');
  assert.equal(about.headers['cache-status'], undefined);
  assert.equal(JSON.parse(about.body.toString()).id, 'one');
  assert.equal((await request('DELETE /v2/images/one/file')).status, 204);
  assert.deepEqual(await stored(), ['glance:one']);
  assert.equal((await request('DELETE /v2/images/one')).status, 204);
  assert.deepEqual(await stored(), []);
});

test('4. the word detail is never an id; a route of one’s own says which words are none', async (t) => {
  const { request, stored } = await cached(t, { detail: anImage() });
  for (const line of ['GET /v1/images/detail', 'GET /v1/images/detail?limit=2', 'DELETE /v2/images/detail']) {
    assert.equal((await request(line)).headers['cache-status'], undefined, line);
  }
  assert.deepEqual(await stored(), []);

  const own = await cached(
    t,
    { latest: anImage(), one: anImage() },
    { routes: [{ path: '/v2/images/:id/file', reserved: ['latest'], freshness: 'immutable' }] },
  );
  assert.equal((await own.get('latest')).headers['cache-status'], undefined);
  assert.equal(said(await own.get('one')), 'fwd=uri-miss; stored');
});

test('5. the method has to be the one: PUT, PATCH and POST pass untouched; HEAD is answered from what GET has stored', async (t) => {
  const { request, get, stored, log } = await cached(t, { one: anImage() });
  assert.equal(
    (await request('HEAD /v2/images/one/file')).status,
    405,
    'not stored: the service’s own answer',
  );
  const { headers } = await get();
  log.length = 0;
  for (const line of ['PUT /v2/images/one/file', 'PATCH /v2/images/one', 'POST /v1/images/one']) {
    assert.equal((await request(line)).headers['cache-status'], undefined, line);
  }
  assert.equal(log.length, 3);
  assert.deepEqual(await stored(), ['glance:one']);
  const head = await request('HEAD /v2/images/one/file');
  assert.deepEqual([head.status, said(head), head.body.length], [200, 'hit', 0]);
  for (const name of ['content-length', 'content-type', 'content-md5'])
    assert.equal(head.headers[name], headers[name], name);
  assert.deepEqual(log.slice(3), ['metadata one', 'authorize one'], 'as for a GET, and no download');
});

test('6. the path below the mount point counts, decoded, and the query does not', async (t) => {
  const { request, stored, log } = await cached(
    t,
    { one: anImage() },
    {
      arrange: (filter, app) => {
        const router = express.Router();
        router.use('/image', filter as never, app as never);
        return [router as unknown as Handler, app];
      },
    },
  );
  assert.equal(said(await request('GET /image/v2/images/one/file?a=1')), 'fwd=uri-miss; stored');
  assert.equal(said(await request('GET /image/v2/images/%6Fne/file?b=/c')), 'hit');
  assert.equal(said(await request('GET /image/v1/images/one')), 'hit');
  assert.equal(
    (await request('GET /v2/images/one/file')).headers['cache-status'],
    undefined,
    'not mounted there',
  );
  assert.deepEqual(await stored(), ['glance:one']);
  assert.equal(log.filter((line) => line.includes('/file')).length, 2);
});

test('7. where nothing matches, request and response pass, and nothing is noted anywhere', async (t) => {
  const infos: unknown[] = [];
  const { request, filter, disk, server } = await cached(
    t,
    { one: anImage() },
    {
      arrange: (filter, app) => [
        filter,
        (req, res, next) => {
          infos.push(getCacheInfo(res));
          app(req, res, next);
        },
      ],
    },
  );
  const service = new ImageService({ one: anImage() });
  const plain = await serve(server.kind, [(req, res) => service.handle(req, res)]);
  t.after(() => plain.close());
  const before = disk.files();
  const counted = (await filter.stats()).requests;
  for (const path of ['/v2/images/one', '/v2/images/one/members', '/v2/images/none', '/']) {
    const { headers, ...through } = await request(`GET ${path}`);
    const { headers: own, ...alone } = await ask(plain, { path, headers: { 'X-Auth-Token': 'member' } });
    assert.deepEqual(through, alone, path);
    assert.deepEqual({ ...headers, date: '' }, { ...own, date: '' }, path);
  }
  assert.deepEqual(infos, [undefined, undefined, undefined, undefined]);
  assert.deepEqual(disk.files(), before);
  assert.deepEqual((await filter.stats()).requests, counted);
});
