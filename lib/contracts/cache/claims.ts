import { begun, bytesOf, follow, lead, opened, put, settled, start, stored } from './steps.ts';
import type { Suite } from './suite.ts';

const KEY = { primary: '/claims' };

/** Who fetches. */
export function claims(suite: Suite): void {
  const { assert } = suite;

  suite.state('where nothing is stored, open and info find nothing', async (cache) => {
    assert.equal(await cache.open(KEY), undefined);
    assert.equal(await cache.info(KEY), undefined);
    for await (const info of cache.list()) assert.equal(info, undefined, 'an empty cache lists nothing');
    const { entries, bytes, fills, evictions, corrupt } = await cache.stats();
    assert.deepEqual([entries, bytes, fills, evictions, corrupt], [0, 0, 0, 0, 0]);
  });

  suite.state('the first claim leads, a second one follows', async (cache) => {
    const leader = await lead(cache, KEY);
    const { fill } = await follow(cache, KEY);
    await leader.abandon();
    assert.equal(await fill, undefined);
  });

  suite.state('of many claims at once exactly one leads', async (cache) => {
    const all = await Promise.all(Array.from({ length: 20 }, () => cache.claim(KEY)));
    const roles = all.map((claim) => claim?.role).sort();
    assert.deepEqual(roles, [...Array.from({ length: 19 }, () => 'follower'), 'leader']);
    for (const claim of all) if (claim?.role === 'leader') await claim.abandon();
    for (const claim of all) if (claim?.role === 'follower') assert.equal(await claim.fill, undefined);
  });

  suite.state('after abandon, followers get nothing and the next claim leads', async (cache) => {
    const leader = await lead(cache, KEY);
    const followers = [await follow(cache, KEY), await follow(cache, KEY)];
    await leader.abandon();
    const fills = await settled(Promise.all(followers.map(({ fill }) => fill)), 'the followers');
    assert.deepEqual(fills, [undefined, undefined]);
    const next = await lead(cache, KEY);
    await next.abandon();
    assert.equal((await cache.stats()).fills, 0);
  });

  suite.state('a claim for what is stored is given the entry', async (cache) => {
    const bytes = bytesOf(1000);
    await put(cache, KEY, bytes);
    const claim = await cache.claim(KEY);
    assert.equal(claim?.role, 'entry');
    if (claim?.role !== 'entry') return;
    assert.equal(claim.entry.size, 1000);
    claim.entry.release();
  });

  suite.state('claims of different keys, and of variants of one key, all lead', async (cache) => {
    const leaders = [
      await lead(cache, { primary: '/a' }),
      await lead(cache, { primary: '/b' }),
      await lead(cache, { primary: '/a', variant: '?x' }),
      await lead(cache, { primary: '/a', variant: '?y' }),
    ];
    assert.equal((await cache.stats()).fills, 4);
    for (const leader of leaders) await leader.abandon();
  });

  suite.state('a claim that may only join never leads', async (cache) => {
    assert.equal(await cache.claim(KEY, { join: true }), undefined, 'nothing runs');
    const leader = await lead(cache, KEY);
    const { fill } = await follow(cache, KEY, { join: true });
    const running = await begun(leader);
    const reader = await settled(fill, 'the fill to join');
    assert.equal(reader?.head.status, 200);
    reader?.release();
    await running.abort(new Error('enough'));
    assert.equal(await cache.claim(KEY, { join: true }), undefined, 'it has ended');
  });

  suite.state(
    'with newerThan, an entry that is not newer is none, and stays until it is replaced',
    async (cache) => {
      const [old, fresh] = [bytesOf(1000, 1), bytesOf(1000, 2)];
      await put(cache, KEY, old, { storedAt: 5_000 });

      const newer = await cache.claim(KEY, { newerThan: 4_999 });
      assert.equal(newer?.role, 'entry');
      if (newer?.role === 'entry') newer.entry.release();

      const abandoned = await lead(cache, KEY, { newerThan: 5_000 });
      await abandoned.abandon();
      assert.ok((await stored(cache, KEY))?.equals(old), 'the leader had nothing better');

      const fill = await start(cache, KEY, { storedAt: 6_000 }, { newerThan: 5_000 });
      fill.write(fresh);
      assert.ok((await stored(cache, KEY))?.equals(old), 'not replaced yet');
      await fill.commit({ length: 1000 });
      assert.ok((await stored(cache, KEY))?.equals(fresh), 'replaced');
      assert.equal((await cache.info(KEY))?.storedAt, 6_000);
    },
  );

  suite.state(
    'what is declined is not claimed: the next claim leads',
    async (cache) => {
      const leader = await lead(cache, KEY);
      const { fill } = await follow(cache, KEY);
      const answer = await leader.start({ status: 200, headers: [] }, { size: 2 ** 20 });
      assert.deepEqual(answer, { declined: 'too-large' });
      assert.equal(await settled(fill, 'the follower'), undefined);
      const next = await lead(cache, KEY);
      await next.abandon();
      assert.equal((await cache.stats()).bytes, 0, 'nothing stays reserved');
    },
    { maxBytes: 8 * 2 ** 20, maxEntryBytes: 2 ** 19 },
  );

  suite.state('a closed cache finds nothing and declines, and can be closed again', async (cache) => {
    await put(cache, KEY, bytesOf(1000));
    const held = await opened(cache, KEY);
    await cache.close();
    await cache.close();
    assert.equal(await cache.open(KEY), undefined);
    assert.deepEqual(await cache.claim(KEY), { role: 'declined', reason: 'closed' });
    assert.deepEqual(await cache.claim({ primary: '/new' }), { role: 'declined', reason: 'closed' });
    held.release();
  });
}
