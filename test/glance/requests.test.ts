/** Behaviours 8 to 20 of Glance's cache: what happens before a stored image is sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { said } from '../support/filtered.ts';
import { cached, downloads, tokenOf } from './cached.ts';
import { anImage, ImageService } from './image-service.ts';

const SIZE = anImage().size ?? 0;

test('8. the order is: match, step aside, look up, metadata, authorise, answer', async (t) => {
  const { get, log, service } = await cached(
    t,
    { one: anImage() },
    {
      bypass: ({ id }) => {
        log.push(`bypass ${id}`);
        return false;
      },
    },
  );
  const steps = async (...args: Parameters<typeof get>) => {
    log.length = 0;
    const { status } = await get(...args);
    return [...log, status];
  };
  const app = 'GET /v2/images/one/file';
  assert.deepEqual(await steps(), ['bypass one', `${app} member`, 200]);
  assert.deepEqual(await steps(), ['bypass one', 'metadata one', 'authorize one', 200]);
  const part = await steps('one', 'member', { Range: 'bytes=0-2' });
  assert.deepEqual(part, ['bypass one', 'metadata one', 'authorize one', 206], 'the range comes last');
  assert.deepEqual(await steps('one', 'reader'), ['bypass one', 'metadata one', 'authorize one', 403]);
  assert.deepEqual(await steps('one', 'stranger'), ['bypass one', 'metadata one', 404]);
  service.images.set('one', anImage({ status: 'deactivated' }));
  assert.deepEqual(await steps(), ['bypass one', 'metadata one', `${app} member`, 403]);
});

test('9. a request that the cache could not answer is remembered: its response is kept all the same', async (t) => {
  const { get, filter, service, stored } = await cached(t, { one: anImage() });
  const part = await get('one', 'member', { Range: 'bytes=3-5' });
  assert.deepEqual([part.status, part.body.toString()], [206, 'DEF']);
  await filter.idle();
  assert.deepEqual(await stored(), ['glance:one'], 'by a request for a part of it');
  const data = Buffer.from('replaced');
  service.images.set('one', anImage({ data }));
  assert.equal(said(await get()), 'fwd=uri-miss; stored', 'by a request that found something else stored');
  const again = await get();
  assert.deepEqual([said(again), again.body.toString()], ['hit', 'replaced']);
});

test('10. ranges are served from the cache, and the service is not asked for them', async (t) => {
  const { get, log } = await cached(t, { one: anImage() });
  const whole = (await get()).body;
  for (const [range, start, end] of [
    ['bytes=3-5', 3, 6],
    ['bytes=-5', SIZE - 5, SIZE],
    [`bytes=${SIZE - 2}-${SIZE + 100}`, SIZE - 2, SIZE],
  ] as const) {
    const { status, headers, body } = await get('one', 'member', { Range: range });
    assert.deepEqual([status, headers['content-range']], [206, `bytes ${start}-${end - 1}/${SIZE}`], range);
    assert.ok(body.equals(whole.subarray(start, end)), range);
  }
  const several = await get('one', 'member', { Range: 'bytes=0-1, 4-5' });
  assert.equal(several.status, 206);
  assert.match(String(several.headers['content-type']), /^multipart\/byteranges; boundary=/);
  const beyond = await get('one', 'member', { Range: `bytes=${SIZE}-` });
  assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, `bytes */${SIZE}`]);
  assert.equal(downloads({ log }), 1);
});

test('10. a request with Content-Range is left to the service, which alone knows what it means', async (t) => {
  const { get, log, stored } = await cached(t, { one: anImage() });
  const part = { 'Content-Range': 'bytes 3-5/*' };
  for (const when of ['before', 'after']) {
    const answer = await get('one', 'member', part);
    assert.deepEqual([answer.status, answer.body.toString()], [206, 'DEF'], `${when} it is stored`);
    assert.equal(said(answer), 'fwd=bypass; detail=range', when);
    assert.deepEqual(await stored(), when === 'before' ? [] : ['glance:one']);
    await get();
  }
  assert.equal(downloads({ log }), 3);
});

test('11. an empty Range or Content-Range means nothing', async (t) => {
  for (const name of ['Range', 'Content-Range']) {
    const { get } = await cached(t, { one: anImage() });
    const first = await get('one', 'member', { [name]: '' });
    assert.deepEqual([first.status, said(first)], [200, 'fwd=uri-miss; stored'], name);
    const second = await get('one', 'member', { [name]: '' });
    assert.deepEqual([second.status, said(second), second.body.length], [200, 'hit', SIZE], name);
  }
});

test('12. of an image that is not stored nothing is looked up, and nobody is asked: the service decides', async (t) => {
  const { get, filter, log } = await cached(t, { one: anImage() });
  const statuses: number[] = [];
  for (const [id, token] of [
    ['one', 'reader'],
    ['one', 'stranger'],
    ['none', 'member'],
    ['one', 'member'],
  ]) {
    statuses.push((await get(id, token)).status);
    // One who comes while another's answer is being dealt with is asked for as on a hit.
    await filter.idle();
  }
  assert.deepEqual(statuses, [403, 404, 404, 200]);
  assert.deepEqual(
    log.filter((line) => !line.startsWith('GET ')),
    [],
  );
});

test('13. what a caller may not see is a 404, and stays; what is deleted is a 404, and goes', async (t) => {
  const { get, service, stored } = await cached(t, { one: anImage() });
  await get();
  const stranger = await get('one', 'stranger');
  assert.deepEqual([stranger.status, said(stranger)], [404, 'detail=not-found']);
  assert.deepEqual(await stored(), ['glance:one']);
  service.images.set('one', anImage({ status: 'deleted' }));
  assert.equal((await get()).status, 404, 'the member does not see what is deleted');
  assert.deepEqual(await stored(), ['glance:one']);
  const admin = await get('one', 'admin');
  assert.deepEqual([admin.status, said(admin)], [404, 'detail=deleted']);
  assert.deepEqual(await stored(), []);
});

test('14. metadata is read as the caller: the private images of others are a 404 on a hit', async (t) => {
  const { get, service } = await cached(t, { one: anImage(), two: anImage({ visibility: 'public' }) });
  for (const id of ['one', 'two']) await get(id);
  const seen: number[] = [];
  for (const id of ['one', 'two'])
    for (const token of ['member', 'stranger', 'nobody']) seen.push((await get(id, token)).status);
  assert.deepEqual(seen, [200, 404, 404, 200, 200, 404]);
  service.images.set('one', anImage({ owner: 'theirs' }));
  assert.deepEqual([(await get('one')).status, (await get('one', 'stranger')).status], [404, 200]);
});

test('15. a deactivated image is the service’s to answer: 403 for most, 200 for an admin', async (t) => {
  const { get, service, log } = await cached(t, { one: anImage() });
  await get();
  service.images.set('one', anImage({ status: 'deactivated' }));
  const member = await get();
  assert.deepEqual(
    [member.status, member.body.toString(), said(member)],
    [403, 'deactivated', 'fwd=bypass; detail=deactivated'],
  );
  const admin = await get('one', 'admin');
  assert.deepEqual([admin.status, said(admin)], [200, 'fwd=bypass; detail=deactivated']);
  assert.equal(downloads({ log }), 3);
});

test('16. a deactivated image stays stored, and is served again when it is active', async (t) => {
  const { get, service, stored, log } = await cached(t, { one: anImage() });
  await get();
  service.images.set('one', anImage({ status: 'deactivated' }));
  await get();
  assert.deepEqual(await stored(), ['glance:one']);
  service.images.set('one', anImage());
  assert.equal(said(await get()), 'hit');
  assert.equal(downloads({ log }), 2);
});

test('17. who is denied on a hit gets 403, and the service is not asked', async (t) => {
  const { get, log, stored } = await cached(t, { one: anImage() });
  await get();
  const denied = await get('one', 'reader');
  assert.deepEqual([denied.status, said(denied)], [403, 'detail=denied']);
  assert.ok(!denied.body.includes('ABC'));
  assert.equal(downloads({ log }), 1);
  assert.deepEqual(await stored(), ['glance:one']);
});

test('18. a refusal never turns into a way past the cache, however it is said', async (t) => {
  for (const [how, refuse] of [
    ['false', () => false],
    ['a status', () => ({ status: 403 })],
    ['an error that is thrown', () => Promise.reject(Object.assign(new Error('no'), { status: 403 }))],
  ] as const) {
    let may = true;
    const { get, log } = await cached(t, { one: anImage() }, { authorize: () => may || refuse() });
    await get();
    assert.equal(said(await get()), 'hit');
    may = false;
    assert.equal((await get()).status, 403, how);
    assert.equal(downloads({ log }), 1, how);
  }
});

test('19. who is denied and may not even see the image gets 404, if the hook says so', async (t) => {
  const image = anImage();
  const service = new ImageService({ one: image });
  const { get } = await cached(
    t,
    { one: image },
    {
      // As where the catalogue is read with rights of its own.
      metadata: () => image,
      authorize: ({ req, id, resource }) => {
        if (service.mayDownload(resource, tokenOf(req)) && service.visible(id, tokenOf(req))) return true;
        return service.visible(id, tokenOf(req)) === undefined ? { status: 404 } : false;
      },
    },
  );
  await get();
  const statuses = [];
  for (const token of ['member', 'reader', 'stranger', 'nobody'])
    statuses.push((await get('one', token)).status);
  assert.deepEqual(statuses, [200, 403, 404, 404]);
});

test('20. the decision can rest on the image’s properties, and on the caller’s role', async (t) => {
  const { get, service } = await cached(t, { one: anImage() });
  await get();
  assert.equal(said(await get()), 'hit');
  service.images.set('one', anImage({ properties: { x_restricted: 'yes' } }));
  assert.deepEqual([(await get()).status, (await get('one', 'admin')).status], [403, 200]);
  service.images.set('one', anImage({ properties: { x_other: 'yes' } }));
  assert.equal(said(await get()), 'hit');
});
