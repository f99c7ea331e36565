/** Presets in a filter: what is kept of an upstream's answers, and what clients are given. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { debian, npm, oci } from '../../lib/index.ts';
import { tokenAuth } from '../../lib/origin/token-auth.ts';
import { filtered, said } from '../support/filtered.ts';
import { originOf } from '../support/origin.ts';

const notAsked = () => assert.fail('the application was asked');
const PUBLIC = 'http://mirror.example:4873';
const BYTES = Buffer.from('a tarball');
const INTEGRITY = `sha512-${createHash('sha512').update(BYTES).digest('base64')}`;

describe('npm() in a filter', () => {
  test('keeps each form of a packument, however the upstream says that it varies', async (t) => {
    const origin = await originOf(t, (req, res) => {
      const body = JSON.stringify({ accepted: req.headers.accept, told: Object.keys(req.headers) });
      res.writeHead(200, {
        Vary: 'Accept-Encoding, Accept',
        ETag: '"one"',
        'Content-Length': body.length,
      });
      res.end(body);
    });
    const { get } = await filtered(t, npm({ upstream: origin.url, publicUrl: PUBLIC }), notAsked);
    for (const accept of ['application/vnd.npm.install-v1+json', 'application/json']) {
      for (const [path, kept] of [
        ['/@a/b', 'fwd=uri-miss; stored'],
        ['/@a%2fb', 'hit'],
      ] as const) {
        const answer = await get(path, { Accept: accept, Cookie: 'mine=1', 'Accept-Encoding': 'br' });
        assert.match(said(answer), new RegExp(`^${kept}`), `${path} as ${accept}`);
        const { accepted, told } = JSON.parse(answer.body.toString());
        assert.equal(accepted, accept);
        assert.equal(told.includes('cookie'), false);
      }
    }
    assert.deepEqual(
      origin.asked.map(({ url }) => url),
      ['/@a%2fb', '/@a%2fb'],
    );
  });

  test('changes URLs in a packument that came compressed', async (t) => {
    const origin = await originOf(t, (_req, res) => {
      const dist = { tarball: `${origin.url}/name/-/name-1.0.0.tgz`, integrity: INTEGRITY };
      const body = gzipSync(JSON.stringify({ versions: { '1.0.0': { dist } } }));
      res.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': body.length }).end(body);
    });
    const { get } = await filtered(t, npm({ upstream: origin.url, publicUrl: PUBLIC }), notAsked);
    const { headers, body } = await get('/name');
    assert.equal(headers['content-encoding'], undefined);
    const { versions } = JSON.parse(body.toString());
    assert.equal(versions['1.0.0'].dist.tarball, `${PUBLIC}/name/-/name-1.0.0.tgz`);
  });

  test('hands on what is no packument as it is, and does not keep it', async (t) => {
    const origin = await originOf(t, (_req, res) => res.end('{"versions": <html>'));
    const { get } = await filtered(t, npm({ upstream: origin.url, publicUrl: PUBLIC }), notAsked);
    for (let i = 0; i < 2; i++) {
      const answer = await get('/name');
      assert.deepEqual([answer.status, answer.body.toString()], [200, '{"versions": <html>']);
      assert.match(said(answer), /detail=should-store/);
    }
    assert.equal(origin.asked.length, 2);
  });

  test('purges nothing, and publishes nothing', async (t) => {
    const origin = await originOf(t, (_req, res) => res.end());
    const { get, calls } = await filtered(t, npm({ upstream: origin.url, publicUrl: PUBLIC }), (_req, res) =>
      res.writeHead(405).end(),
    );
    for (const method of ['PUT', 'DELETE', 'POST', 'PATCH'])
      assert.equal((await get('/name', {}, { method })).status, 405);
    assert.deepEqual([calls(), origin.asked.length], [4, 0]);
  });

  test('needs to be told who may have what credentials of ours fetch', async (t) => {
    const origin = await originOf(t, (_req, res) => res.end('{}'));
    const upstream = { url: origin.url, headers: { Authorization: 'Bearer ours' } };
    const preset = npm({ upstream, publicUrl: PUBLIC });
    const { get } = await filtered(t, preset, notAsked);
    assert.equal((await get('/name')).status, 500);
    assert.equal(origin.asked.length, 0);
    const told = await filtered(t, { ...preset, authorize: 'anyone' }, notAsked);
    assert.equal((await told.get('/name')).status, 200);
    assert.equal(origin.asked[0]?.headers.authorization, 'Bearer ours');
  });
});

describe('oci() in a filter', () => {
  test('a manifest by digest is one entry for all clients, by tag one for each Accept', async (t) => {
    const manifest = Buffer.from('{"schemaVersion":2}');
    const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
    const origin = await originOf(t, (_req, res) => {
      res.writeHead(200, { 'Content-Length': manifest.length, Vary: 'Accept' }).end(manifest);
    });
    const { get } = await filtered(t, oci({ upstream: origin.url }), notAsked);
    for (const accept of ['a/b', 'c/d']) {
      assert.deepEqual((await get(`/v2/app/manifests/${digest}`, { Accept: accept })).body, manifest);
      assert.deepEqual((await get('/v2/app/manifests/v1', { Accept: accept })).body, manifest);
      assert.match(said(await get('/v2/app/manifests/v1', { Accept: accept })), /^hit/);
    }
    assert.deepEqual(
      origin.asked.map(({ url, headers }) => [url.slice(0, 25), (headers.accept ?? '').slice(0, 3)]),
      [
        [`/v2/app/manifests/${digest}`.slice(0, 25), 'app'],
        ['/v2/app/manifests/v1', 'a/b'],
        ['/v2/app/manifests/v1', 'c/d'],
      ],
    );
  });

  test('answers the challenges of its upstream, for those who may have what that fetches', async (t) => {
    const blob = Buffer.from('a layer');
    const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
    const expected = `Basic ${Buffer.from('ann:secret').toString('base64')}`;
    const origin = await originOf(t, (req, res) => {
      if (req.headers.authorization === expected) return res.end(blob);
      return res.writeHead(401, { 'WWW-Authenticate': 'Basic realm="images"' }).end();
    });
    const authenticate = tokenAuth({ username: 'ann', password: 'secret' });
    const preset = oci({ upstream: { url: origin.url, authenticate } });
    const path = `/v2/app/blobs/${digest}`;
    const nobody = await filtered(t, preset, notAsked);
    assert.equal((await nobody.get(path)).status, 500);
    assert.equal(origin.asked.length, 0);
    const { get } = await filtered(t, { ...preset, authorize: 'anyone' }, notAsked);
    assert.deepEqual((await get(path)).body, blob);
    assert.match(said(await get(path)), /^hit/);
    assert.deepEqual(
      origin.asked.map(({ headers }) => headers.authorization),
      [undefined, expected],
    );
  });

  test('is fetched ahead of time by its id', async (t) => {
    const blob = Buffer.from('a layer');
    const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
    const origin = await originOf(t, (_req, res) => res.end(blob));
    const { filter, get } = await filtered(t, oci({ upstreams: { one: origin.url } }), notAsked);
    await filter.prefetch(`one/app/blobs/${digest}`);
    await filter.idle();
    assert.match(said(await get(`/v2/app/blobs/${digest}?ns=one`)), /^hit/);
    assert.equal(origin.asked.length, 1);
  });
});

describe('debian() in a filter', () => {
  test('an index that goes by is what packages are checked with, and arrives as it was', async (t) => {
    const bytes = Buffer.from('a package');
    const sha256 = createHash('sha256').update('another').digest('hex');
    const index = gzipSync(`Package: a\nFilename: pool/main/a/a.deb\nSHA256: ${sha256}\n`);
    const origin = await originOf(t, (req, res) => {
      const body = req.url?.startsWith('/pool/') ? bytes : index;
      res.writeHead(200, { 'Content-Length': body.length, ETag: '"one"' }).end(body);
    });
    const { get } = await filtered(t, debian({ upstream: origin.url }), notAsked);
    const seen = await get('/dists/a/main/binary-amd64/Packages.gz');
    assert.deepEqual([seen.body, seen.headers['etag']], [index, '"one"']);
    assert.equal((await get('/pool/main/a/a.deb')).complete, false);
    assert.deepEqual((await get('/pool/main/a/b.deb')).body, bytes);
  });
});
