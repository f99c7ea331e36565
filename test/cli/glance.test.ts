import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { anImage, digest, glanceOrigin, type Image } from './glance-origin.ts';
import { type Answer, ask, begin, deferred, serve, startOrigin } from './support.ts';

async function cachedGlance(t: TestContext, images: Record<string, Image>, ...flags: string[]) {
  const glance = await glanceOrigin(t, images);
  const cli = await serve(t, ['--origin', glance.url, '--routes', 'glance', ...flags]);
  const get = (id: string, token = 'owner', headers: Record<string, string> = {}) =>
    ask(`${cli.url}/v2/images/${id}/file`, {
      headers: token === '' ? headers : { 'X-Auth-Token': token, ...headers },
    });
  return { glance, cli, get };
}

const isHit = (answer: Answer) => /^cache-filter; hit/.test(String(answer.headers['cache-status']));

test('a hit asks Glance about the image and for the download, with the caller’s own headers', async (t) => {
  const image = anImage();
  const { glance, get } = await cachedGlance(t, { one: image });
  assert.equal((await get('one')).body.toString(), image.data);
  assert.equal(glance.seen.length, 1, 'on a miss Glance is asked for the download alone');
  const hit = await get('one', 'owner', { 'X-Roles': 'member', Range: 'bytes=0-4', 'If-None-Match': '"x"' });
  assert.deepEqual([hit.status, hit.body.toString()], [206, 'image']);
  assert.equal(glance.downloads(), 1);
  const [, about, download] = glance.seen;
  assert.ok(about && download);
  assert.deepEqual([about.method, about.url], ['GET', '/v2/images/one']);
  assert.deepEqual([download.method, download.url], ['GET', '/v2/images/one/file']);
  assert.equal(download.headers.range, `bytes=${image.data.length}-`, 'past the end: no byte has to be read');
  for (const { headers } of [about, download]) {
    assert.equal(headers['x-auth-token'], 'owner');
    assert.equal(headers['x-roles'], 'member');
    assert.equal(headers['if-none-match'], undefined);
    assert.equal(headers['accept-encoding'], 'identity');
  }
  assert.equal(about.headers.range, undefined);
});

test('whom Glance refuses gets nothing from the cache: unknown, unnamed, or allowed to look but not to download', async (t) => {
  const { glance, get } = await cachedGlance(t, { one: anImage() });
  await get('one');
  const stranger = await get('one', 'stranger');
  const nobody = await get('one', '');
  const reader = await get('one', 'reader');
  assert.deepEqual([stranger.status, nobody.status, reader.status], [404, 401, 403]);
  assert.equal(nobody.headers['www-authenticate'], 'Keystone uri="http://keystone"');
  for (const answer of [stranger, nobody, reader]) assert.ok(!answer.body.includes('image '));
  assert.ok(isHit(await get('one')), 'the entry has stayed');
  assert.equal(glance.downloads(), 1);
});

test('with --authorize visible it is enough to see the image, and Glance is asked one question', async (t) => {
  const { glance, get } = await cachedGlance(t, { one: anImage() }, '--authorize', 'visible');
  await get('one');
  assert.ok(isHit(await get('one', 'reader')));
  assert.equal((await get('one', 'stranger')).status, 404);
  assert.deepEqual(
    glance.seen.map((each) => each.url),
    ['/v2/images/one/file', '/v2/images/one', '/v2/images/one'],
  );
});

test('a deactivated image is Glance’s own to answer, and is there again when it is active', async (t) => {
  const image = anImage();
  const { glance, get } = await cachedGlance(t, { one: image });
  await get('one');
  image.status = 'deactivated';
  const member = await get('one');
  assert.deepEqual([member.status, member.body.toString()], [403, 'deactivated']);
  const admin = await get('one', 'admin');
  assert.deepEqual([admin.status, isHit(admin), glance.downloads()], [200, false, 3]);
  image.status = 'active';
  assert.ok(isHit(await get('one')));
});

test('an image in any other state is Glance’s own to answer', async (t) => {
  const image = anImage();
  const { get } = await cachedGlance(t, { one: image });
  await get('one');
  for (image.status of ['queued', 'saving', 'importing', 'pending_delete']) {
    assert.equal(isHit(await get('one')), false, image.status);
  }
  image.status = 'active';
  assert.ok(isHit(await get('one')));
});

for (const [what, change] of Object.entries({
  size: { size: 5 },
  os_hash_value: { os_hash_value: digest('sha512', 'other') },
  'sha256 os_hash_value': { os_hash_algo: 'sha256', os_hash_value: digest('sha256', 'other') },
  checksum: { os_hash_value: null, checksum: digest('md5', 'other') },
})) {
  test(`an entry that is not the image that Glance describes is fetched anew: ${what}`, async (t) => {
    const image = anImage();
    const { glance, get } = await cachedGlance(t, { one: image });
    await get('one');
    assert.ok(isHit(await get('one')));
    image.described = change;
    const again = await get('one');
    assert.deepEqual([again.status, isHit(again), glance.downloads()], [200, false, 2]);
  });
}

test('a description in unknown hashes, or without any, is no contradiction', async (t) => {
  const image = anImage();
  const { get } = await cachedGlance(t, { one: image });
  await get('one');
  image.described = { os_hash_algo: 'blake2b', os_hash_value: 'abc', checksum: null };
  assert.ok(isHit(await get('one')));
  image.described = { os_hash_algo: null, os_hash_value: null, checksum: null, size: null };
  assert.ok(isHit(await get('one')));
  image.described = { size: 0 };
  assert.ok(isHit(await get('one')), 'a size that was never recorded');
});

test('a deletion through here ends the entry; one that Glance refuses does not', async (t) => {
  const images: Record<string, Image> = { one: anImage() };
  const { cli, get } = await cachedGlance(t, images);
  await get('one');
  const remove = (token: string) =>
    ask(`${cli.url}/v2/images/one`, { method: 'DELETE', headers: { 'X-Auth-Token': token } });
  assert.equal((await remove('stranger')).status, 404);
  assert.ok(isHit(await get('one')));
  assert.equal((await remove('owner')).status, 204);
  assert.equal((await get('one')).status, 404);
  images['one'] = anImage({ data: 'another' });
  const other = await get('one');
  assert.deepEqual([other.body.toString(), isHit(other)], ['another', false]);
});

test('nothing is served unauthorised when Glance fails, is not understood, or is gone', async (t) => {
  const image = anImage();
  const { glance, get } = await cachedGlance(t, { one: image });
  await get('one');
  for (const part of ['metadata', 'file'] as const) {
    for (const status of [500, 503]) {
      glance.faults[part] = status;
      const answer = await get('one');
      assert.deepEqual([answer.status, answer.body.includes('image ')], [502, false], `${part} ${status}`);
    }
    glance.faults[part] = 0;
  }
  for (const described of [{ status: 7 }, { status: undefined }]) {
    image.described = described;
    assert.equal((await get('one')).status, 502, JSON.stringify(described));
  }
  image.described = {};
  assert.ok(isHit(await get('one')));
  glance.server.close();
  glance.server.closeAllConnections();
  const gone = await get('one');
  assert.deepEqual([gone.status, gone.body.includes('image ')], [502, false]);
});

test('--authorize-url has to say yes as well', async (t) => {
  let says = 200;
  const authority = await startOrigin(t, (_req, res) => res.writeHead(says).end());
  const { get } = await cachedGlance(t, { one: anImage() }, '--authorize-url', authority.url);
  await get('one');
  assert.ok(isHit(await get('one')));
  says = 403;
  assert.equal((await get('one')).status, 403);
  says = 200;
  assert.equal((await get('one', 'reader')).status, 403, 'nor does its yes outdo Glance’s no');
});

test('one who joins a running download is asked about too', async (t) => {
  const began = deferred();
  const rest = deferred();
  const data = 'image '.repeat(1000);
  const origin = await startOrigin(t, async (req, res) => {
    if (req.headers['x-auth-token'] !== 'owner') return res.writeHead(404).end();
    if (!req.url?.endsWith('/file')) return res.end(JSON.stringify({ status: 'active', size: data.length }));
    if (req.headers.range !== undefined) return res.writeHead(416).end();
    res.writeHead(200, { 'Content-Length': data.length });
    res.write(data.slice(0, 100));
    began.resolve();
    await rest.promise;
    return res.end(data.slice(100));
  });
  const { url } = await serve(t, ['--origin', origin.url, '--routes', 'glance']);
  const path = `${url}/v2/images/one/file`;
  const first = ask(path, { headers: { 'X-Auth-Token': 'owner' } });
  await began.promise;
  const stranger = await ask(path, { headers: { 'X-Auth-Token': 'stranger' } });
  assert.equal(stranger.status, 404);
  // It has its head while the download is held back: it follows.
  const follower = await begin(path, { headers: { 'X-Auth-Token': 'owner' } });
  rest.resolve();
  const chunks = await follower.toArray();
  assert.equal(Buffer.concat(chunks).toString(), data);
  assert.equal((await first).body.toString(), data);
  assert.equal(origin.seen.filter((each) => each.url.endsWith('/file') && !each.headers.range).length, 1);
});
