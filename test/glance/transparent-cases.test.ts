/** The cases that Glance's functional tests of its transparent cache cover, and those with several nodes; where ours decides otherwise, as ours does. */
import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { barrier, said } from '../support/filtered.ts';
import { type Handler, listening } from '../support/servers.ts';
import { begun, cached, downloads, rest } from './cached.ts';
import { anImage } from './image-service.ts';

const DATA = anImage().data ?? Buffer.alloc(0);

describe('what nobody sees of the cache', () => {
  test('an image is not stored by its upload, but by its first download; its deletion ends that', async (t) => {
    const { request, get, service, stored } = await cached(t, { one: anImage({ data: undefined }) });
    assert.equal((await request('PUT /v2/images/one/file')).status, 204);
    service.images.set('one', anImage());
    assert.deepEqual(await stored(), []);
    const first = await get();
    assert.deepEqual([first.status, first.body.equals(DATA)], [200, true]);
    assert.deepEqual(await stored(), ['glance:one']);
    assert.ok((await get()).body.equals(DATA));
    assert.equal((await request('DELETE /v2/images/one')).status, 204);
    assert.deepEqual(await stored(), []);
    assert.equal((await get()).status, 404);
  });

  test('who lacks the policy gets 403, and nothing is stored', async (t) => {
    const { get, stored } = await cached(t, { one: anImage() });
    assert.equal((await get('one', 'reader')).status, 403);
    assert.deepEqual(await stored(), []);
  });

  test('an image is downloaded, deactivated, refused, reactivated and downloaded; an admin has it all the time', async (t) => {
    const { get, service, stored } = await cached(t, { one: anImage() });
    const statuses = async () => [(await get()).status, (await get('one', 'admin')).status];
    assert.deepEqual(await statuses(), [200, 200]);
    service.images.set('one', anImage({ status: 'deactivated' }));
    assert.deepEqual(await statuses(), [403, 200]);
    assert.deepEqual(await stored(), ['glance:one']);
    service.images.set('one', anImage());
    assert.deepEqual(await statuses(), [200, 200]);
    assert.equal(said(await get()), 'hit');
  });

  test('what is deactivated before its first download is stored for nobody', async (t) => {
    const { get, stored } = await cached(t, { one: anImage({ status: 'deactivated' }) });
    assert.equal((await get()).status, 403);
    assert.deepEqual(await stored(), []);
  });

  test('an image that comes from another server has the right length the second time, too', async (t) => {
    const data = bytesOf(300_000);
    let asked = 0;
    const store = await listening(
      'http',
      createServer((_req, res) => {
        asked++;
        res.writeHead(200, { 'Content-Length': data.length, 'Content-Type': 'application/octet-stream' });
        res.end(data);
      }),
    );
    t.after(() => store.close());
    const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${store.port}` }) as unknown as Handler;
    const image = anImage({ data });
    const { get } = await cached(t, { one: image }, { arrange: (filter) => [filter, proxy] });
    for (const status of ['fwd=uri-miss; stored', 'hit']) {
      const answer = await get();
      assert.deepEqual([said(answer), answer.headers['content-length']], [status, '300000']);
      assert.ok(answer.body.equals(data));
    }
    assert.equal(asked, 1);
  });
});

describe('a part of an image', () => {
  const PART = { Range: 'bytes=3-5' };

  test('that is not stored is 206 with those bytes; coldRange says whether the whole is stored by it', async (t) => {
    for (const coldRange of ['fill', 'bypass'] as const) {
      const { get, filter, stored } = await cached(t, { one: anImage() }, { coldRange });
      const { status, body, headers } = await get('one', 'member', PART);
      assert.deepEqual([status, body.toString()], [206, 'DEF'], coldRange);
      assert.equal(headers['content-range'], `bytes 3-5/${DATA.length}`);
      await filter.idle();
      assert.deepEqual(await stored(), coldRange === 'fill' ? ['glance:one'] : []);
    }
  });

  test('that is asked for by Content-Range is 206 with those bytes, and nothing is stored', async (t) => {
    const { get, filter, stored } = await cached(t, { one: anImage() });
    const { status, body } = await get('one', 'member', { 'Content-Range': 'bytes 3-5/*' });
    assert.deepEqual([status, body.toString()], [206, 'DEF']);
    await filter.idle();
    assert.deepEqual(await stored(), []);
  });

  test('that is stored comes from the cache, whatever the service has by now', async (t) => {
    const { get, service, log } = await cached(t, { one: anImage() });
    await get();
    // The same to all who look at its record; only its bytes would tell.
    service.images.set('one', { ...anImage(), data: Buffer.alloc(DATA.length, 'x') });
    const { status, body } = await get('one', 'member', PART);
    assert.deepEqual([status, body.toString()], [206, 'DEF']);
    assert.equal(downloads({ log }), 1);
  });

  test('of an image whose file has been cut short is whole all the same', async (t) => {
    const { get, disk } = await cached(t, { one: anImage() });
    await get();
    truncateSync(disk.bodyPath('glance:one'), 4);
    const { status, body } = await get('one', 'member', PART);
    assert.deepEqual([status, body.toString()], [206, 'DEF']);
  });
});

describe('looking after it', () => {
  const four = () => ({ a: anImage(), b: anImage(), c: anImage(), d: anImage() });

  test('what has been downloaded is listed; one of four is deleted, then all that are left, then none', async (t) => {
    const { get, filter, stored } = await cached(t, four());
    assert.deepEqual(await stored(), []);
    for (const id of ['a', 'b', 'c', 'd']) await get(id);
    assert.deepEqual(await stored(), ['glance:a', 'glance:b', 'glance:c', 'glance:d']);
    assert.equal(await filter.purge({ id: 'b' }), 1);
    assert.deepEqual(await stored(), ['glance:a', 'glance:c', 'glance:d']);
    assert.deepEqual([await filter.purge({ all: true }), await filter.purge({ all: true })], [3, 0]);
    assert.deepEqual(await stored(), []);
  });

  test('an image that is deleted while it is being stored leaves nothing', async (t) => {
    const [half, deleted] = [barrier(), barrier()];
    const image = anImage({
      download: async (_req, res, { data }) => {
        res.writeHead(200, { 'Content-Length': data?.length });
        res.write(data?.subarray(0, 100));
        half.reach();
        await deleted.reached;
        res.end(data?.subarray(100));
      },
    });
    const under = await cached(t, { one: image });
    const reading = await begun(under);
    await half.reached;
    await under.request('DELETE /v2/images/one');
    deleted.reach();
    assert.ok((await rest(reading)).equals(DATA));
    await under.filter.idle();
    assert.deepEqual([await under.stored(), under.disk.used()], [[], 0]);
  });

  test('the figures that prune gives are what has vanished from disk', async (t) => {
    const { get, cache, disk, stored } = await cached(t, four());
    for (const id of ['a', 'b', 'c', 'd']) await get(id);
    const [used, entries] = [disk.used(), (await stored()).length];
    const removed = await cache.prune({ toBytes: used / 2 });
    assert.ok(removed.entries > 0 && removed.entries < entries);
    assert.deepEqual(removed, { entries: entries - (await stored()).length, bytes: used - disk.used() });
  });

  test('a filter that is closed is no longer there: all is the service’s to answer', async (t) => {
    const { get, filter, log } = await cached(t, { one: anImage() });
    await get();
    await filter.close();
    assert.deepEqual([(await get()).status, (await get('one', 'reader')).status], [200, 403]);
    assert.equal(downloads({ log }), 3);
  });

  test('two nodes have a cache each: what is deleted from one is still in the other', async (t) => {
    const [one, two] = [await cached(t, four()), await cached(t, four())];
    for (const node of [one, two]) await node.get('a');
    await two.get('b');
    assert.equal(await one.filter.purge({ all: true }), 1);
    assert.deepEqual([await one.stored(), await two.stored()], [[], ['glance:a', 'glance:b']]);
    assert.deepEqual([said(await one.get('a')), said(await two.get('a'))], ['fwd=uri-miss; stored', 'hit']);
  });
});
