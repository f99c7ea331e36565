/** Behaviours 77, 78 and 88 of Glance's cache, and what 31, 43 and 56 say of its queue and its counters. */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { Disk } from '../cache/disk.ts';
import { barrier, said } from '../support/filtered.ts';
import { begun, type CachedGlance, cached, rest } from './cached.ts';
import { anImage, type Image } from './image-service.ts';

const KEY = 'glance:one';

function keyOf(id: string): { primary: string } {
  return { primary: `glance:${id}` };
}

async function queued({ cache }: Pick<CachedGlance, 'cache'>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of cache.queue.list()) keys.push(key.primary);
  return keys;
}

/** An image whose download waits in the middle. */
function held(): { image: Image; half: Promise<void>; go: () => void } {
  const [half, go] = [barrier(), barrier()];
  const image = anImage({
    download: async (_req, res, { data }) => {
      res.writeHead(200, { 'Content-Length': data?.length });
      res.write(data?.subarray(0, 1000));
      half.reach();
      await go.reached;
      res.end(data?.subarray(1000));
    },
  });
  return { image, half: half.reached, go: () => go.reach() };
}

test('31. each entry knows how often serving it has begun, also where the client has left; a fill is no hit', async (t) => {
  const under = await cached(t, { one: anImage({ data: bytesOf(8 * 2 ** 20) }) });
  const { get, filter, cache } = under;
  const hits = async () => (await cache.info(keyOf('one')))?.hits;
  await get();
  assert.equal(await hits(), 0);
  await get();
  assert.equal(await hits(), 1);
  (await begun(under)).destroy();
  assert.equal(await hits(), 2);
  await filter.idle();
  assert.equal(await hits(), 2);
});

test('31. who is refused, or sent on to the service, counts as no hit of the entry', async (t) => {
  const { get, cache, service } = await cached(t, { one: anImage() });
  await get();
  assert.deepEqual([(await get('one', 'reader')).status, (await get('one', 'stranger')).status], [403, 404]);
  service.images.set('one', anImage({ status: 'deactivated' }));
  assert.equal((await get('one', 'admin')).status, 200);
  assert.equal((await cache.info(keyOf('one')))?.hits, 0);
});

test('43. a DELETE takes the image out of the queue', async (t) => {
  const under = await cached(t, { one: anImage(), two: anImage({ protected: true }) });
  for (const id of ['one', 'two']) assert.equal(await under.cache.queue.add(keyOf(id)), true);
  assert.equal((await under.request('DELETE /v2/images/two')).status, 403);
  assert.equal((await under.request('DELETE /v2/images/one')).status, 204);
  assert.deepEqual(await queued(under), ['glance:two']);
});

test('56. what is published leaves the queue, and has no hits', async (t) => {
  const under = await cached(t, { one: anImage(), two: anImage() });
  for (const id of ['one', 'two']) await under.cache.queue.add(keyOf(id));
  await under.get();
  assert.deepEqual(await queued(under), ['glance:two']);
  const { hits, usedAt = 0, storedAt = 0 } = (await under.cache.info(keyOf('one'))) ?? {};
  assert.equal(hits, 0);
  assert.ok(usedAt >= storedAt, 'its being stored counts as a use');
});

test('77. queueing says yes once; no to what is stored, is being stored, or is queued', async (t) => {
  const { image, half, go } = held();
  const under = await cached(t, { one: anImage(), slow: image });
  const add = (id: string) => under.cache.queue.add(keyOf(id));
  assert.deepEqual([await add('one'), await add('one')], [true, false], 'queued');
  await under.get();
  assert.deepEqual([await queued(under), await add('one')], [[], false], 'stored');
  const reading = await begun(under, 'slow');
  await half;
  assert.equal(await add('slow'), false, 'being stored');
  go();
  await rest(reading);
  assert.equal(await add('slow'), false);
  await under.filter.purge({ id: 'slow' });
  assert.equal(await add('slow'), true, 'gone again');
  assert.deepEqual(await queued(under), ['glance:slow']);
});

test('78. the queue is in the order of queueing, also after a restart', async (t) => {
  const disk = new Disk(t);
  const ids = ['c', 'a', 'b', 'd'];
  const first = await cached(t, {}, { disk });
  for (const id of ids) await first.cache.queue.add(keyOf(id));
  assert.deepEqual(
    await queued(first),
    ids.map((id) => `glance:${id}`),
  );
  await first.filter.close();
  await first.cache.close();
  const second = await cached(t, { a: anImage() }, { disk });
  await second.get('a');
  assert.deepEqual(
    await queued(second),
    ['c', 'b', 'd'].map((id) => `glance:${id}`),
  );
});

for (const [what, spoil] of [
  ['missing', (path: string) => rmSync(path)],
  ['damaged', (path: string) => writeFileSync(path, 'no state at all')],
  ['longer than it should be', (path: string) => appendFileSync(path, 'more')],
] as const) {
  test(`88. an entry whose counters are ${what} is served, listed and counted`, async (t) => {
    const disk = new Disk(t);
    const first = await cached(t, { one: anImage() }, { disk });
    await first.get();
    await first.get();
    await first.filter.close();
    await first.cache.close();
    const path = disk.statePath(KEY);
    assert.ok(existsSync(path));
    spoil(path);
    const { get, cache, stored } = await cached(t, { one: anImage() }, { disk });
    const before = (await cache.info(keyOf('one')))?.hits;
    assert.equal(before, what.startsWith('longer') ? 1 : 0);
    assert.equal(said(await get()), 'hit');
    assert.deepEqual([(await cache.info(keyOf('one')))?.hits, await stored()], [before + 1, [KEY]]);
  });
}
