/** Who joins a fill at the moment at which it ends. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { begun, bytesOf, lead, Reading, start, stored, write } from '../../../lib/contracts/cache/steps.ts';
import { Disk } from '../disk.ts';

const KEY = { primary: '/a' };

describe('joining a fill that ends', () => {
  test('who asks just before gets nothing of it, rather than a file that is being closed', async (t) => {
    const cache = await new Disk(t).cache();
    const fill = await start(cache, KEY);
    await write(fill, bytesOf(1000));
    const asked = cache.claim(KEY);
    const aborted = fill.abort(new Error('enough'));
    const claim = await asked;
    assert.equal(claim?.role, 'follower', 'it was still running when it was asked for');
    if (claim?.role === 'follower') assert.equal(await claim.fill, undefined);
    await aborted;
  });

  test('who waits for its beginning gets all of it, however short it is', async (t) => {
    const cache = await new Disk(t).cache();
    for (let i = 0; i < 20; i++) {
      const key = { primary: `/${i}` };
      const leader = await lead(cache, key);
      const asked = cache.claim(key);
      const fill = await begun(leader);
      fill.write(bytesOf(1000, i));
      const committed = fill.commit({});
      const claim = await asked;
      const reader = claim?.role === 'follower' ? await claim.fill : undefined;
      assert.ok(reader, 'it has joined');
      assert.ok((await Reading.of(reader).whole()).equals(bytesOf(1000, i)));
      reader.release();
      await committed;
      assert.ok(await stored(cache, key));
    }
  });

  test('what is not stored is not looked for on disk while it is being fetched; what it replaces is there', async (t) => {
    const cache = await new Disk(t).cache();
    const fill = await start(cache, KEY);
    assert.equal(cache.open(KEY), undefined, 'without a promise');
    await write(fill, bytesOf(1000, 1));
    await fill.commit({});
    const next = await begun(await lead(cache, KEY, { newerThan: Number.MAX_SAFE_INTEGER }));
    const entry = await cache.open(KEY);
    assert.equal(entry?.size, 1000);
    entry?.release();
    await next.abort(new Error('enough'));
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(1000, 1)));
  });
});
