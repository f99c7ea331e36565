/** The cases that Glance's own unit tests of its cache middleware cover, over HTTP; where ours decides otherwise, as ours does. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { getCacheInfo } from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { said } from '../support/filtered.ts';
import { serve } from '../support/servers.ts';
import { cached, downloads } from './cached.ts';
import { anImage, hexOf, type Image, ImageService } from './image-service.ts';

const DATA = anImage().data ?? Buffer.alloc(0);
const PATHS = ['/v1/images/one', '/v2/images/one/file'];

/** What the hooks are told of a request; undefined where they are not asked. */
async function told(t: Parameters<typeof cached>[0], line: string): Promise<object | undefined> {
  let seen: object | undefined;
  const { request } = await cached(
    t,
    {},
    {
      bypass: ({ id, route, params }) => {
        seen = { id, route, params: { ...params } };
        return true;
      },
    },
  );
  await request(line);
  return seen;
}

describe('matching', () => {
  test('a v2 download tells version and id', async (t) => {
    const expected = { id: 'asdf', route: 'glance-v2-file', params: { id: 'asdf' } };
    assert.deepEqual(await told(t, 'GET /v2/images/asdf/file'), expected);
  });

  test('a v1 download tells them too, and a query is no part of the id', async (t) => {
    const expected = { id: 'asdf', route: 'glance-v1', params: { id: 'asdf' } };
    assert.deepEqual(await told(t, 'GET /v1/images/asdf?ping=pong'), expected);
  });

  test('a wrong path, an unknown version, and the word detail with and without a query are no match', async (t) => {
    for (const path of [
      '/v2/images/asdf',
      '/v3/images/asdf/file',
      '/v1/images/detail',
      '/v1/images/detail?a=b',
    ])
      assert.equal(await told(t, `GET ${path}`), undefined, path);
  });
});

describe('what is remembered of a request', () => {
  test('id, route and key can be asked for while it is answered; of one that did not match, nothing', async (t) => {
    const infos: unknown[] = [];
    const { request } = await cached(
      t,
      { one: anImage() },
      {
        arrange: (filter, app) => [
          filter,
          (req, res, next) => {
            infos.push({ ...getCacheInfo(res) });
            return app(req, res, next);
          },
        ],
      },
    );
    await request('GET /v2/images/one/file');
    await request('GET /v2/images/one');
    await request('DELETE /v2/images/one');
    const known = { id: 'one', key: 'glance:one' };
    assert.deepEqual(infos, [
      { ...known, status: 'miss', route: 'glance-v2-file' },
      {},
      { ...known, status: 'bypass', route: 'glance-v2' },
    ]);
  });
});

describe('the checksum of a response', () => {
  const kept = async (t: Parameters<typeof cached>[0], headers: Record<string, string>) => {
    const image = anImage();
    image.download = (_req, res) => {
      res.writeHead(200, { 'Content-Length': DATA.length, ...headers }).end(DATA);
    };
    const { get, disk, stored } = await cached(t, { one: image });
    await get();
    return (await stored()).length === 1
      ? disk.record('glance:one').digests.map(({ algorithm }) => algorithm)
      : [];
  };
  const right = hexOf('md5', DATA);
  const wrong = hexOf('md5', Buffer.from('wrong'));

  test('is taken from the header of v1 alone', async (t) => {
    assert.ok((await kept(t, { 'x-image-meta-checksum': right })).includes('md5'));
    assert.deepEqual(await kept(t, { 'x-image-meta-checksum': wrong }), []);
  });

  test('is taken from both headers: Content-MD5 does not outdo the other', async (t) => {
    assert.ok((await kept(t, { 'x-image-meta-checksum': right, 'Content-MD5': right })).includes('md5'));
    assert.deepEqual(await kept(t, { 'x-image-meta-checksum': wrong, 'Content-MD5': right }), []);
    assert.deepEqual(await kept(t, { 'x-image-meta-checksum': right, 'Content-MD5': wrong }), []);
  });

  test('is none where there is no header: no MD5 is made up', async (t) => {
    assert.deepEqual(await kept(t, {}), ['sha256', 'sha512']);
  });
});

describe('metadata on a hit', () => {
  test('of a deleted image: 404', async (t) => {
    const { get, service } = await cached(t, { one: anImage() });
    await get();
    service.images.set('one', anImage({ status: 'deleted' }));
    assert.equal((await get('one', 'admin')).status, 404);
  });

  class Row {
    readonly #image: Image;
    constructor(image: Image) {
      this.#image = image;
    }
    get size() {
      return this.#image.size || undefined;
    }
    get status() {
      return this.#image.status;
    }
  }

  for (const [form, make] of [
    ['a plain object', (image: Image) => ({ ...image, size: image.size || undefined })],
    ['an object of a class', (image: Image) => new Row(image)],
  ] as const) {
    test(`without a size, as ${form}: the size of the stored file counts; with another size, it does not`, async (t) => {
      const image = anImage({ size: 0 });
      const { get } = await cached(
        t,
        { one: image },
        { metadata: () => make(image) as Image, authorize: 'anyone' },
      );
      await get();
      const hit = await get();
      assert.deepEqual([said(hit), hit.headers['content-length']], ['hit', String(DATA.length)]);
      image.size = 5;
      assert.equal(said(await get()), 'fwd=uri-miss; stored');
    });
  }

  test('of an image that was deleted without us: its entry is evicted, and the caller gets 404', async (t) => {
    const { request, service, stored } = await cached(
      t,
      { one: anImage() },
      { metadata: ({ id }) => service.images.get(id) ?? 'deleted', authorize: 'anyone' },
    );
    await request('GET /v1/images/one');
    service.images.delete('one');
    assert.equal((await request('GET /v1/images/one')).status, 404);
    assert.deepEqual(await stored(), []);
  });
});

describe('a hit', () => {
  test('has these headers, and without a checksum one fewer', async (t) => {
    const { get } = await cached(t, { one: anImage(), two: anImage({ checksum: undefined }) });
    const three = async (id: string) => {
      await get(id);
      const { headers } = await get(id);
      return ['content-type', 'content-md5', 'content-length'].map((name) => headers[name]);
    };
    const type = 'application/octet-stream';
    assert.deepEqual(await three('one'), [type, hexOf('md5', DATA), String(DATA.length)]);
    assert.deepEqual(await three('two'), [type, undefined, String(DATA.length)]);
  });

  for (const path of PATHS) {
    test(`of ${path}: 403 without the policy, 403 by a property, else the image`, async (t) => {
      const { request, service, log } = await cached(t, { one: anImage() });
      const status = async (token: string) => (await request(`GET ${path}`, token)).status;
      assert.deepEqual([await status('member'), await status('reader')], [200, 403]);
      service.images.set('one', anImage({ properties: { x_restricted: 'yes' } }));
      assert.equal(await status('member'), 403);
      service.images.set('one', anImage({ properties: { x_other: 'yes' } }));
      assert.equal(await status('member'), 200);
      assert.equal(log.filter((line) => line.startsWith('GET ')).length, 1);
    });

    test(`of ${path}, whose image is not to be found for the caller: 404`, async (t) => {
      const { request } = await cached(t, { one: anImage() });
      await request(`GET ${path}`);
      assert.equal((await request(`GET ${path}`, 'stranger')).status, 404);
    });
  }

  test('does not tell where the image is stored, even if the first download did', async (t) => {
    const image = anImage();
    image.download = (_req, res) => {
      const location = 'swift+http://user:secret@store/container/one';
      res.writeHead(200, { 'Content-Length': DATA.length, 'X-Image-Meta-Location': location }).end(DATA);
    };
    const { request } = await cached(t, { one: image });
    const [first, second] = [
      await request('GET /v1/images/one', 'admin'),
      await request('GET /v1/images/one'),
    ];
    assert.match(String(first.headers['x-image-meta-location']), /secret/, 'the service’s own answer');
    assert.deepEqual([said(second), second.headers['x-image-meta-location']], ['hit', undefined]);
  });
});

describe('a response of the service', () => {
  for (const path of PATHS) {
    test(`to ${path} comes through the same: 200, 403 without the policy, 403 by a property`, async (t) => {
      const images = { one: anImage(), two: anImage({ properties: { x_restricted: 'yes' } }) };
      const service = new ImageService(images);
      const plain = await serve('express5', [(req, res) => service.handle(req, res)]);
      t.after(() => plain.close());
      for (const [id, token, status, kept] of [
        ['one', 'reader', 403, 0],
        ['two', 'member', 403, 0],
        ['one', 'stranger', 404, 0],
        ['one', 'member', 200, 1],
        ['two', 'admin', 200, 1],
      ] as const) {
        const { request, stored } = await cached(t, { ...images });
        const line = path.replace('one', id);
        const through = await request(`GET ${line}`, token);
        const alone = await ask(plain, { path: line, headers: { 'X-Auth-Token': token } });
        assert.deepEqual([through.status, alone.status], [status, status], `${line} ${token}`);
        assert.ok(through.body.equals(alone.body));
        assert.equal((await stored()).length, kept);
      }
    });
  }

  test('to an image that vanishes meanwhile stays what it was', async (t) => {
    const image = anImage();
    const { get, service, log } = await cached(t, { one: image });
    image.download = (_req, res) => {
      service.images.delete('one');
      res.writeHead(200, { 'Content-Length': DATA.length }).end(DATA);
    };
    assert.equal((await get()).status, 200);
    assert.deepEqual([(await get()).status, downloads({ log })], [404, 1]);
  });

  test('to a v1 DELETE comes through the same', async (t) => {
    const { request, stored } = await cached(t, { one: anImage() });
    await request('GET /v1/images/one');
    const { status, body, headers } = await request('DELETE /v1/images/one');
    assert.deepEqual([status, body.length, headers['content-length']], [200, 0, '0']);
    assert.deepEqual(await stored(), []);
  });
});
