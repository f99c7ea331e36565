/** Behaviours 73 to 76 of Glance's cache: images that are fetched ahead of time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CacheFilterOptions, cacheFilter, glance, MemoryCache } from '../../lib/index.ts';
import { BODY } from '../support/filtered.ts';
import { giving, originOf } from '../support/origin.ts';

const pathOf = (id: string) => `/v2/images/${id}/file`;

function prefetching(url: string, options: Partial<CacheFilterOptions> = {}) {
  return cacheFilter({
    cache: new MemoryCache(),
    origin: url,
    routes: glance(),
    urlFor: pathOf,
    ...options,
  } as CacheFilterOptions);
}

test('73. what is stored already is not fetched again, and what is queued is fetched once', async (t) => {
  const origin = await originOf(t, giving(BODY));
  const filter = prefetching(origin.url);
  t.after(() => filter.close());
  await Promise.all([filter.prefetch('one'), filter.prefetch('one')]);
  assert.equal((await filter.prefetch('one')).fetched, false);
  assert.deepEqual(
    origin.asked.map(({ url }) => url),
    [pathOf('one')],
  );
});

test('74. one that fails does not end those after it', async (t) => {
  const origin = await originOf(t, (req, res) =>
    req.url === pathOf('bad') ? res.writeHead(404).end() : giving(BODY)(req, res),
  );
  const filter = prefetching(origin.url, { prefetch: { concurrency: 1, retries: 0 } });
  t.after(() => filter.close());
  const bad = assert.rejects(filter.prefetch('bad'), { reason: 'not-200' });
  assert.equal((await filter.prefetch('good')).fetched, true);
  await bad;
});

test('75. what is queued is fetched by whoever comes after a restart', async (t) => {
  const origin = await originOf(t, giving(BODY));
  const cache = new MemoryCache();
  await cache.queue.add({ primary: 'glance:one' }, JSON.stringify({ path: pathOf('one') }));
  const filter = prefetching(origin.url, { cache });
  t.after(() => filter.close());
  while ((await filter.stats()).entries === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await cache.info({ primary: 'glance:one' }))?.size, BODY.length);
});

test('76. what is not active is not fetched, and does not stay queued', async (t) => {
  const origin = await originOf(t, giving(BODY));
  const filter = prefetching(origin.url, {
    metadata: ({ id }) =>
      id === 'unknown' ? undefined : { status: id === 'off' ? 'deactivated' : 'active' },
  });
  t.after(() => filter.close());
  await assert.rejects(filter.prefetch('off'), { reason: 'deactivated' });
  await assert.rejects(filter.prefetch('unknown'), { reason: 'not-found' });
  assert.equal((await filter.prefetch('on')).fetched, true);
  const queued: unknown[] = [];
  for await (const each of filter.cache.queue.list()) queued.push(each);
  assert.deepEqual(queued, []);
  assert.equal(origin.asked.length, 1);
});
