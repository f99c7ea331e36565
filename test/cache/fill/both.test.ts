/** In one process somebody reads along of a fill whose writer was lost, while somebody else comes for the same key. */
import assert from 'node:assert/strict';
import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Claim, FillReader, LeaderClaim } from '../../../lib/cache/cache.ts';
import type { FileCache } from '../../../lib/cache/file-cache.ts';
import { bytesOf, joined, lead, Reading, settled, start, write } from '../../../lib/contracts/cache/steps.ts';
import { IncompleteError } from '../../../lib/errors.ts';
import { Disk } from '../disk.ts';

const KEY = { primary: '/both' };
const SIZE = 2 ** 20 + 1;
const BODY = bytesOf(SIZE);
const HALF = 2 ** 19;
const HEAD = { status: 200, headers: [['Content-Type', 'application/x-test']] as [string, string][] };

interface Orphaned {
  cache: FileCache;
  reader: FillReader;
  reading: Reading;
  heir: Promise<LeaderClaim>;
  heirs: () => number;
  /** Its writer is lost, and another process has removed what said that it wrote. */
  lose(): Promise<void>;
}

/** A reader of what another process has begun. */
async function halfWay(t: TestContext): Promise<Orphaned> {
  const disk = new Disk(t);
  const [other, cache] = [await disk.cache(), await disk.cache()];
  const fill = await start(other, KEY, { size: SIZE });
  const reader = await joined(cache, KEY);
  const reading = Reading.of(reader);
  await write(fill, BODY.subarray(0, HALF));
  await reading.until(HALF);
  let heirs = 0;
  const heir = new Promise<LeaderClaim>((resolve) =>
    reader.inherit((claim) => {
      heirs++;
      resolve(claim);
    }),
  );
  const lose = async () => {
    const { incomplete } = disk.layout;
    for (const file of readdirSync(incomplete))
      if (file.endsWith('.claim')) unlinkSync(join(incomplete, file));
    await fill.orphan(new IncompleteError('gone'));
  };
  return { cache, reader, reading, heir, heirs: () => heirs, lose };
}

async function finish(claim: LeaderClaim): Promise<void> {
  const fill = await claim.start(HEAD, { size: SIZE });
  if ('declined' in fill) throw new Error(`declined: ${fill.declined}`);
  await write(fill, BODY);
  await fill.commit({ length: SIZE });
}

describe('of those who come for a key that lost its writer, and those who read along, one leads', () => {
  test('who comes leads: the others go on with what that one fetches', async (t) => {
    const { cache, reader, reading, heirs, lose } = await halfWay(t);
    const lost = lose();
    const leader = await lead(cache, KEY);
    await lost;
    await finish(leader);
    assert.ok((await settled(reading.whole(), 'the whole')).equals(BODY));
    assert.equal(heirs(), 0, 'nobody else was to fetch it');
    reader.release();
  });

  for (const after of [0, 2, 5, 10, 20, 40]) {
    test(`whoever is first, when they come ${after} ms after the loss`, async (t) => {
      const { cache, reader, reading, heir, lose } = await halfWay(t);
      const leaders: LeaderClaim[] = [];
      const first = new Promise<void>((resolve) => {
        const leads = (claim: Claim | undefined) => {
          if (claim?.role !== 'leader') return;
          leaders.push(claim);
          resolve();
        };
        void heir.then(leads);
        void lose()
          .then(() => new Promise((come) => setTimeout(come, after)))
          .then(() => Promise.all(Array.from({ length: 20 }, () => cache.claim(KEY))))
          .then((claims) => claims.map(leads));
      });
      await settled(first, 'somebody who leads');
      await finish(leaders[0] as LeaderClaim);
      assert.ok((await settled(reading.whole(), 'the whole')).equals(BODY));
      assert.equal(leaders.length, 1);
      reader.release();
    });
  }
});

test('two keys that share a name in the directory are fetched side by side, in one process or two', async (t) => {
  const disk = new Disk(t);
  const [one, two] = [await disk.cache(), await disk.cache()];
  const [odd, even] = [{ primary: '/\ud800' }, { primary: '/\udfff' }];
  assert.equal(disk.layout.name(odd.primary, undefined), disk.layout.name(even.primary, undefined));
  const first = await start(one, odd, { size: SIZE });
  assert.equal(await two.claim(even, { join: true }), undefined, 'there is nothing to join');
  for (const cache of [two, one]) await (await lead(cache, even)).abandon();
  await first.abort(new IncompleteError('gone'));
});
