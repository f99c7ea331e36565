import type { Cache, Entry, LeaderClaim, RefreshOptions } from '../../cache/cache.ts';
import type { HeaderPairs, ResponseHead } from '../../http/body.ts';
import { bytesOf, follow, lead, opened, put, Reading, settled, stored } from './steps.ts';
import type { Suite } from './suite.ts';

const KEY = { primary: '/renewal', variant: '?1' };
const BODY = bytesOf(100_000);

const FIRST: HeaderPairs = [
  ['Content-Type', 'application/x-test'],
  ['ETag', '"one"'],
  ['Cache-Control', 'max-age=1'],
  ['X-Kept', 'yes'],
];

/** What a source says of what has not changed. */
const NOT_MODIFIED: ResponseHead = {
  status: 304,
  headers: [
    ['ETag', '"one"'],
    ['cache-control', 'max-age=60'],
    ['Content-Length', '0'],
    ['X-New', 'too'],
  ],
};

/** Stores the body that is to be renewed. */
async function putOld(cache: Cache): Promise<void> {
  const claim = await lead(cache, KEY);
  const fill = await settled(
    claim.start(
      { status: 200, headers: FIRST },
      { size: BODY.byteLength, storedAt: 5_000, tags: ['t'], version: '1', algorithms: ['md5'] },
    ),
    'start',
  );
  if ('declined' in fill) throw new Error(`a fill was declined: ${fill.declined}`);
  fill.write(BODY);
  await settled(fill.commit({ length: BODY.byteLength }), 'commit');
}

/** Leads for what is stored already. */
function leadAgain(cache: Cache): Promise<LeaderClaim> {
  return lead(cache, KEY, { newerThan: 5_000 });
}

async function refresh(
  claim: LeaderClaim,
  head: ResponseHead = NOT_MODIFIED,
  options: RefreshOptions = { storedAt: 6_000 },
): Promise<Entry> {
  const entry = await settled(claim.refresh(head, options), 'refresh');
  if ('declined' in entry) throw new Error(`a refresh was declined: ${entry.declined}`);
  return entry;
}

/** What is found again to be what it was. */
export function renewal(suite: Suite): void {
  const { assert } = suite;

  suite.state('a claim that passes over an entry has it along, until it is decided', async (cache) => {
    await putOld(cache);
    const claim = await leadAgain(cache);
    const { previous } = claim;
    assert.equal(previous?.info.storedAt, 5_000);
    assert.ok(previous !== undefined && (await Reading.of(previous).whole()).equals(BODY));
    await claim.abandon();
    assert.ok((await stored(cache, KEY))?.equals(BODY), 'it stays');
    const fresh = await lead(cache, { primary: '/other' });
    assert.equal(fresh.previous, undefined, 'there is none');
    await fresh.abandon();
  });

  suite.state('a refresh brings the head up to date, and all else of the entry stays', async (cache) => {
    await putOld(cache);
    for (let i = 0; i < 3; i++) (await opened(cache, KEY)).release();
    await cache.pin(KEY.primary, true);
    const before = await cache.info(KEY);
    const entry = await refresh(await leadAgain(cache));
    assert.deepEqual(entry.head, {
      status: 200,
      headers: [
        ['Content-Type', 'application/x-test'],
        ['ETag', '"one"'],
        ['X-Kept', 'yes'],
        ['cache-control', 'max-age=60'],
        ['X-New', 'too'],
      ],
    });
    assert.ok((await Reading.of(entry).whole()).equals(BODY), 'the body');
    entry.release(false);
    const after = await cache.info(KEY);
    assert.deepEqual({ ...after, usedAt: 0 }, { ...before, storedAt: 6_000, usedAt: 0 });
    assert.equal(after?.hits, 3);
    assert.ok((await stored(cache, KEY))?.equals(BODY), 'whoever asks');
    const { entries, fills, pinned } = await cache.stats();
    assert.deepEqual([entries, fills, pinned], [1, 0, 1]);
  });

  suite.state('a refresh can be followed by another, and says the version', async (cache) => {
    await putOld(cache);
    (await refresh(await leadAgain(cache), NOT_MODIFIED, { storedAt: 6_000, version: '2' })).release();
    const second = await lead(cache, KEY, { newerThan: 6_000 });
    (await refresh(second, { status: 304, headers: [['X-New', 'again']] }, { storedAt: 7_000 })).release();
    const info = await cache.info(KEY);
    assert.deepEqual([info?.storedAt, info?.version], [7_000, '2']);
    const entry = await opened(cache, KEY);
    assert.deepEqual(
      entry.head.headers.filter(([name]) => name === 'X-New'),
      [['X-New', 'again']],
    );
    entry.release();
  });

  suite.state('whoever has waited for a refresh claims again, and finds the entry', async (cache) => {
    await putOld(cache);
    const claim = await leadAgain(cache);
    const follower = await follow(cache, KEY, { newerThan: 5_000 });
    (await refresh(claim)).release();
    assert.equal(await settled(follower.fill, 'the follower'), undefined);
    assert.equal(follower.again, true);
    const found = await settled(cache.claim(KEY, { newerThan: 5_000 }), 'claim');
    assert.equal(found?.role, 'entry');
    if (found?.role === 'entry') found.entry.release();
  });

  suite.state('a 304 about another representation changes nothing', async (cache) => {
    await putOld(cache);
    const claim = await leadAgain(cache);
    const follower = await follow(cache, KEY, { newerThan: 5_000 });
    const declined = await claim.refresh({ status: 304, headers: [['ETag', '"two"']] });
    assert.deepEqual(declined, { declined: 'changed' });
    assert.equal(await settled(follower.fill, 'the follower'), undefined);
    assert.equal(follower.again, true);
    assert.equal((await cache.info(KEY))?.storedAt, 5_000);
    assert.ok((await stored(cache, KEY))?.equals(BODY));
  });

  suite.state('what is purged while it is asked for again does not come back', async (cache) => {
    for (const what of [{ key: KEY.primary }, { tag: 't' }, { all: true }, { prefix: '/ren' }] as const) {
      await putOld(cache);
      const claim = await leadAgain(cache);
      assert.equal(await cache.invalidate(what), 1);
      assert.deepEqual(await claim.refresh(NOT_MODIFIED), { declined: 'superseded' });
      assert.equal(await cache.open(KEY), undefined, JSON.stringify(what));
    }
    const { entries, fills, bytes } = await cache.stats();
    assert.deepEqual([entries, fills, bytes], [0, 0, 0]);
  });

  suite.state('what there was nothing of can not be refreshed', async (cache) => {
    const claim = await lead(cache, KEY);
    assert.deepEqual(await claim.refresh(NOT_MODIFIED), { declined: 'superseded' });
    await (await lead(cache, KEY)).abandon();
  });

  suite.state('a closed cache refreshes nothing', async (cache) => {
    await putOld(cache);
    const claim = await leadAgain(cache);
    await cache.close();
    assert.deepEqual(await claim.refresh(NOT_MODIFIED), { declined: 'closed' });
  });

  suite.state('a fill in place of a refresh takes the place of the entry', async (cache) => {
    await putOld(cache);
    const next = bytesOf(1_000, 2);
    await put(cache, KEY, next, { storedAt: 6_000, claim: { newerThan: 5_000 } });
    assert.ok((await stored(cache, KEY))?.equals(next));
  });
}
