/** Behaviours 21 to 36 of Glance's cache: what a stored image is sent as. */
import assert from 'node:assert/strict';
import { appendFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { begun, cached, downloads, rest } from './cached.ts';
import { anImage, hexOf, type Image } from './image-service.ts';

const MIB = 2 ** 20;
const KEY = 'glance:one';

/** An image whose download has this Content-MD5. */
function withMd5(image: Image, value: string): Image {
  image.download = (_req, res, { data }) => {
    res.writeHead(200, { 'Content-Length': data?.length, 'Content-MD5': value });
    res.end(data);
  };
  return image;
}

test('21. a hit has the status, the headers and the body of the miss', async (t) => {
  const image = anImage();
  const { get } = await cached(t, { one: image });
  const miss = await get();
  const hit = await get();
  assert.equal(said(hit), 'hit');
  assert.deepEqual([hit.status, hit.statusMessage], [miss.status, miss.statusMessage]);
  assert.ok(hit.body.equals(miss.body));
  const { 'cache-status': _, ...headers } = miss.headers;
  for (const [name, value] of Object.entries(headers)) assert.equal(hit.headers[name], value, name);
  const added = Object.keys(hit.headers).filter((name) => !(name in miss.headers));
  assert.deepEqual(added.sort(), ['age', 'etag', 'repr-digest']);
  assert.equal(hit.headers['content-type'], 'application/octet-stream');
  assert.equal(hit.headers['content-length'], String(image.size));
  assert.equal(hit.headers['content-md5'], image.checksum);
});

test('22. a hit has no Content-MD5 where the image has no checksum', async (t) => {
  const { get } = await cached(t, { one: anImage({ checksum: undefined }) });
  await get();
  const hit = await get();
  assert.deepEqual([hit.status, said(hit), hit.headers['content-md5']], [200, 'hit', undefined]);
});

test('23. Content-MD5 is understood in hex and in base64; a hit has the digest fields of today as well', async (t) => {
  const image = anImage();
  const data = image.data ?? Buffer.alloc(0);
  const hex = hexOf('md5', data);
  const other = hexOf('md5', Buffer.from('other'));
  for (const [written, right] of [
    [hex, true],
    [Buffer.from(hex, 'hex').toString('base64'), true],
    [other, false],
    [Buffer.from(other, 'hex').toString('base64'), false],
  ] as const) {
    const { get, stored } = await cached(t, { one: withMd5(anImage(), written) });
    const miss = await get();
    assert.deepEqual([miss.complete, (await stored()).length], [right, right ? 1 : 0], written);
    if (!right) continue;
    const hit = await get();
    assert.equal(hit.headers['content-md5'], written);
    const sha256 = Buffer.from(hexOf('sha256', data), 'hex').toString('base64');
    assert.equal(hit.headers['repr-digest'], `sha-256=:${sha256}:`);
  }
});

test('24. a hit has a validator and an age, says that it is one, offers ranges, and heeds conditions', async (t) => {
  const { get, log } = await cached(t, { one: anImage() });
  await get();
  const { headers } = await get();
  const etag = String(headers['etag']);
  assert.match(etag, /^"sha256-[0-9a-f]{64}"$/);
  assert.deepEqual([headers['accept-ranges'], headers['age']], ['bytes', '0']);
  assert.equal(headers['cache-status'], 'cache-filter; hit');
  const conditions = [];
  for (const condition of [{ 'If-None-Match': etag }, { 'If-Match': '"other"' }, { 'If-Match': etag }])
    conditions.push((await get('one', 'member', condition as never)).status);
  assert.deepEqual(conditions, [304, 412, 200]);
  assert.equal(downloads({ log }), 1);
});

test('25. where the recorded size is missing or zero, the size of the stored file is used', async (t) => {
  for (const size of [undefined, 0]) {
    const image = anImage({ size });
    const { get } = await cached(t, { one: image });
    await get();
    const hit = await get();
    assert.deepEqual([said(hit), hit.headers['content-length']], ['hit', String(image.data?.length)]);
  }
});

test('26. of an image that is deleted, a hit is a 404, and no server error', async (t) => {
  const { get, service, stored } = await cached(t, { one: anImage() });
  await get();
  service.images.set('one', anImage({ status: 'deleted' }));
  const answer = await get('one', 'admin');
  assert.deepEqual([answer.status, said(answer)], [404, 'detail=deleted']);
  assert.deepEqual(await stored(), []);
});

test('27. an image that turns out to be gone while its hit is prepared is evicted, and the request goes on to the service', async (t) => {
  let gone = false;
  const { get, stored, log } = await cached(
    t,
    { one: anImage() },
    { authorize: () => (gone ? 'purge' : true), shouldStore: () => !gone },
  );
  await get();
  assert.equal(said(await get()), 'hit');
  gone = true;
  const answer = await get();
  assert.deepEqual([answer.status, said(answer)], [200, 'fwd=uri-miss; detail=should-store']);
  assert.deepEqual(await stored(), []);
  assert.equal(downloads({ log }), 2);
});

test('28. a file that has vanished is noticed before the headers: the service answers, whole, and the image is stored anew', async (t) => {
  const { get, disk, log } = await cached(t, { one: anImage() });
  const { body } = await get();
  rmSync(disk.bodyPath(KEY));
  const answer = await get();
  assert.deepEqual([answer.status, said(answer), answer.complete], [200, 'fwd=uri-miss; stored', true]);
  assert.ok(answer.body.equals(body));
  assert.equal(said(await get()), 'hit');
  assert.equal(downloads({ log }), 2);
});

for (const [what, alter] of [
  ['fewer', (path: string) => truncateSync(path, 100)],
  ['more', (path: string) => appendFileSync(path, 'more')],
] as const) {
  test(`29. ${what} bytes on disk than recorded are noticed before the headers: the entry goes, and the image is stored anew`, async (t) => {
    const { get, disk, log, filter } = await cached(t, { one: anImage() });
    const corrupt = heard(t, 'cache-filter:corrupt');
    const { body } = await get();
    alter(disk.bodyPath(KEY));
    const answer = await get();
    assert.deepEqual([answer.status, said(answer), answer.complete], [200, 'fwd=uri-miss; stored', true]);
    assert.ok(answer.body.equals(body));
    const hit = await get();
    assert.deepEqual([said(hit), hit.body.equals(body)], ['hit', true], 'healed');
    assert.deepEqual([corrupt.length, (await filter.stats()).corrupt, downloads({ log })], [1, 1, 2]);
  });
}

test('30. a large image is read in pieces of a bounded size', async (t) => {
  const data = bytesOf(3 * MIB);
  const { get, cache } = await cached(t, { one: anImage({ data }) });
  await get();
  const entry = await cache.open({ primary: KEY });
  assert.ok(entry);
  const sizes: number[] = [];
  for await (const piece of entry.read()) sizes.push((piece as Buffer).length);
  entry.release();
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    data.length,
  );
  assert.ok(Math.max(...sizes) <= MIB, `${sizes}`);
  assert.ok((await get()).body.equals(data));
});

test('31. a hit counts when serving begins, also where the client leaves; the bytes are counted apart', async (t) => {
  const data = bytesOf(32 * MIB);
  const under = await cached(t, { one: anImage({ data }) });
  const { get, filter } = under;
  const served = heard(t, 'cache-filter:served');
  await get();
  const leaving = await begun(under);
  assert.equal((await filter.stats()).requests.hits, 1, 'not a byte has been read yet');
  leaving.destroy();
  await filter.idle();
  const { requests, servedBytes } = await filter.stats();
  assert.equal(requests.hits, 1);
  assert.ok(servedBytes.hit < data.length, `${servedBytes.hit} bytes`);
  assert.deepEqual(
    served.map(({ source, complete }) => [source, complete]),
    [
      ['fill', true],
      ['hit', false],
    ],
  );
});

test('32. book-keeping that fails is no failure of the response', async (t) => {
  let told = 0;
  const { get } = await cached(
    t,
    { one: anImage() },
    {
      onServed: () => {
        told++;
        throw new Error('the database is gone');
      },
    },
  );
  const failed = heard(t, 'cache-filter:hook-error');
  const { body } = await get();
  for (let i = 0; i < 2; i++) {
    const hit = await get();
    assert.deepEqual([hit.status, said(hit), hit.complete, hit.body.equals(body)], [200, 'hit', true, true]);
  }
  assert.deepEqual([told, failed.length], [3, 3], 'the fault fired');
});

test('33. who is reading an image when it is deleted gets it to its end', async (t) => {
  const data = bytesOf(32 * MIB);
  const under = await cached(t, { one: anImage({ data }) });
  await under.get();
  const reading = await begun(under);
  assert.equal((await under.request('DELETE /v2/images/one')).status, 204);
  assert.deepEqual(await under.stored(), []);
  assert.equal((await under.get()).status, 404);
  assert.ok((await rest(reading)).equals(data));
  assert.ok(reading.complete);
  assert.equal((await under.filter.stats()).servedBytes.hit, data.length);
});

test('34. a hit is not treated as a response: nothing is decided about it, nothing written', async (t) => {
  let decided = 0;
  const decide = () => {
    decided++;
    return true;
  };
  const { get, filter, disk } = await cached(t, { one: anImage() }, { shouldStore: decide });
  await get();
  const { mtimeMs, ino } = statSync(disk.bodyPath(KEY));
  await get();
  await get();
  const after = statSync(disk.bodyPath(KEY));
  assert.deepEqual([after.mtimeMs, after.ino], [mtimeMs, ino]);
  assert.equal(decided, 1);
  assert.deepEqual((await filter.stats()).responses, { stored: 1, rejected: 0 });
});

test('35. a store that is asked for by ?prefer= is not seen on a hit, unless bypass steps aside for it', async (t) => {
  const line = 'GET /v2/images/one/file?prefer=nowhere';
  const plain = await cached(t, { one: anImage() });
  assert.equal((await plain.request(line)).status, 400);
  await plain.get();
  const hit = await plain.request(line);
  assert.deepEqual([hit.status, said(hit)], [200, 'hit']);

  const aside = await cached(
    t,
    { one: anImage() },
    { bypass: ({ req }) => /[?&]prefer=/.test(req.url ?? '') },
  );
  await aside.get();
  const refused = await aside.request(line);
  assert.deepEqual([refused.status, said(refused)], [400, 'fwd=bypass; detail=bypass']);
  assert.equal(said(await aside.get()), 'hit');
});

test('36. a v1 download is a hit, too', async (t) => {
  const { request, log } = await cached(t, { one: anImage() });
  const miss = await request('GET /v1/images/one');
  const hit = await request('GET /v1/images/one');
  assert.deepEqual([said(miss), said(hit), hit.status], ['fwd=uri-miss; stored', 'hit', 200]);
  assert.equal(hit.headers['x-image-meta-checksum'], miss.headers['x-image-meta-checksum']);
  assert.ok(hit.body.equals(miss.body));
  assert.equal(log.filter((line) => line.startsWith('GET ')).length, 1);
});
