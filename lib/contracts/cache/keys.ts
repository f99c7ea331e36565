import type { Key } from '../../cache/cache.ts';
import { begun, bytesOf, lead, put, settled, show, stored, write } from './steps.ts';
import type { Suite } from './suite.ts';

/** Keys that are easily taken for each other, or for something else. */
const HOSTILE: Key[] = [
  { primary: '' },
  { primary: '/' },
  { primary: '.' },
  { primary: '..' },
  { primary: '../../escaped' },
  { primary: '/../escaped' },
  { primary: '/a' },
  { primary: '/A' },
  { primary: '/a/' },
  { primary: '/a?x' },
  { primary: '/a', variant: '?x' },
  { primary: '/a', variant: '?X' },
  { primary: '/a', variant: 'x' },
  { primary: '/a', variant: '\0' },
  { primary: '/a\0' },
  { primary: '\0' },
  { primary: '/a\n' },
  { primary: '/a"' },
  { primary: '/a\\' },
  { primary: '["/a",""]' },
  { primary: 'CON' },
  { primary: '~' },
  { primary: '/ä' },
  { primary: '/a\u0308' },
  { primary: '/%C3%A4' },
  { primary: '/\u{1f4be}' },
  { primary: '/\ufffd' },
  { primary: '__proto__' },
  { primary: 'constructor' },
  { primary: 'k'.repeat(10_000) },
  { primary: `${'k'.repeat(9_999)}l` },
  { primary: '/a', variant: 'v'.repeat(10_000) },
];

export function keys(suite: Suite): void {
  const { assert } = suite;

  suite.state('keys are kept apart, whatever is in them', async (cache) => {
    for (const [i, key] of HOSTILE.entries()) await put(cache, key, bytesOf(100, i));
    for (const [i, key] of HOSTILE.entries()) {
      assert.ok((await stored(cache, key))?.equals(bytesOf(100, i)), `the body of ${show(key)}`);
      assert.deepEqual((await cache.info(key))?.key, key);
    }
    let count = 0;
    for await (const { key } of cache.list()) if (HOSTILE.some((each) => show(each) === show(key))) count++;
    assert.equal(count, HOSTILE.length, 'all are listed');
    for (const primary of new Set(HOSTILE.map(({ primary }) => primary))) {
      const variants = HOSTILE.filter((each) => each.primary === primary).length;
      assert.equal(await cache.invalidate({ key: primary }), variants, `invalidating ${show({ primary })}`);
    }
    assert.equal((await cache.stats()).entries, 0);
  });

  suite.state('an empty variant is the same as none', async (cache) => {
    await put(cache, { primary: '/a', variant: '' }, bytesOf(10));
    assert.ok((await stored(cache, { primary: '/a' }))?.equals(bytesOf(10)));
    assert.ok((await stored(cache, { primary: '/a', variant: '' }))?.equals(bytesOf(10)));
    const claim = await cache.claim({ primary: '/a' });
    assert.equal(claim?.role, 'entry');
    if (claim?.role === 'entry') claim.entry.release();
    assert.equal((await cache.stats()).entries, 1);
  });

  suite.state(
    'keys that differ only in what Unicode can not spell never get each other’s bytes',
    async (cache) => {
      const [one, two] = [{ primary: '/\ud800' }, { primary: '/\udfff' }];
      const leaders = [await lead(cache, one), await lead(cache, two)];
      for (const [i, leader] of leaders.entries()) {
        const fill = await begun(leader);
        await write(fill, bytesOf(10, i));
        await settled(fill.commit({}), 'commit');
      }
      for (const [i, key] of [one, two].entries()) {
        const found = await stored(cache, key);
        assert.ok(found === undefined || found.equals(bytesOf(10, i)), `the body of ${show(key)}`);
      }
    },
  );
}
