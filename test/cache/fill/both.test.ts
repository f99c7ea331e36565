/** In one process somebody reads along of a fill whose writer was lost, while somebody else comes for the same key. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Claim, FillReader, LeaderClaim } from '../../../lib/cache/cache.ts';
import type { FileCache } from '../../../lib/cache/file-cache.ts';
import { ClaimFile } from '../../../lib/cache/fill/claim.ts';
import { encodeClaim } from '../../../lib/cache/fill/claim-text.ts';
import { contest } from '../../../lib/cache/fill/others.ts';
import { OwnClaims } from '../../../lib/cache/fill/own-claims.ts';
import {
  bytesOf,
  HEAD,
  joined,
  lead,
  put,
  Reading,
  settled,
  start,
  write,
} from '../../../lib/contracts/cache/steps.ts';
import { IncompleteError } from '../../../lib/errors.ts';
import { SELF } from '../../../lib/fs/living.ts';
import { Disk } from '../disk.ts';

const KEY = { primary: '/both' };
const SIZE = 2 ** 20 + 1;
const BODY = bytesOf(SIZE);
const HALF = 2 ** 19;

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

describe('two keys that share a name in the directory', () => {
  const [odd, even] = [{ primary: '/\ud800' }, { primary: '/\udfff' }];

  test('are fetched side by side, in one process or two', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache(), await disk.cache()];
    assert.equal(disk.layout.name(odd.primary, undefined), disk.layout.name(even.primary, undefined));
    const first = await start(one, odd, { size: SIZE });
    assert.equal(await two.claim(even, { join: true }), undefined, 'there is nothing to join');
    for (const cache of [two, one]) await (await lead(cache, even)).abandon();
    await first.abort(new IncompleteError('gone'));
  });

  test('are not taken for each other where a claim says only later which it is for', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const path = disk.layout.claim(disk.layout.name(odd.primary, undefined), '0'.repeat(16));
    writeFileSync(path, '');
    const claim = await cache.claim(odd);
    assert.equal(claim?.role, 'follower');
    const begun = { head: HEAD, storedAt: Date.now(), tags: [] };
    writeFileSync(path, encodeClaim({ key: even, owner: SELF, since: Date.now(), leads: true, begun }));
    const fill = claim?.role === 'follower' ? await settled(claim.fill, 'nothing to share') : undefined;
    assert.equal(fill, undefined);
    assert.ok(claim?.role === 'follower' && claim.again);
    await (await lead(cache, odd)).abandon();
  });

  test('who reads the one along is not given the other, which was stored meanwhile', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [await disk.cache(), await disk.cache()];
    const fill = await start(one, odd, { size: SIZE });
    const reader = await joined(two, odd);
    const reading = Reading.of(reader);
    await write(fill, BODY.subarray(0, HALF));
    await reading.until(HALF);
    await put(one, even, BODY);
    const heir = new Promise<LeaderClaim>((resolve) => reader.inherit(resolve));
    await fill.orphan(new IncompleteError('gone'));
    await finish(await settled(heir, 'the claim of the heir'));
    assert.ok((await settled(reading.whole(), 'the whole')).equals(BODY));
    reader.release();
  });
});

test('a claim of this process counts however long it was silent, until it is purged', async (t) => {
  const { layout } = new Disk(t);
  mkdirSync(layout.incomplete, { recursive: true });
  const name = layout.name(KEY.primary, undefined);
  const create = (fill: string) => ClaimFile.create(layout, { name, fill }, KEY, 0o600);
  const [purged, claim] = [await create('0'.repeat(16)), await create('1'.repeat(16))];
  // As if this process had been asleep.
  utimesSync(purged.path, new Date(0), new Date(0));
  const [both, none] = [new Set([purged.fill, claim.fill]), new Set<string>()];
  const other = await contest(layout, claim, { own: both, revoked: none, dead: none });
  assert.equal(other?.fill, purged.fill, 'it is as long as it was not');
  other?.close();
  const revoked = new Set([purged.fill]);
  assert.equal(await contest(layout, claim, { own: both, revoked, dead: none }), undefined);
  for (const each of [purged, claim]) await each.remove();
});

test('of purged claims only those are remembered that may still be published', async (t) => {
  const { layout } = new Disk(t);
  mkdirSync(layout.incomplete, { recursive: true });
  const modes = { file: 0o600 };
  const claims = new OwnClaims({ layout, modes, attempt: (act) => act(), failed: () => undefined });
  const [running, over] = [await claims.create(KEY), await claims.create(KEY)];
  await claims.giveUp(over);
  for (const claim of [running, over]) await claims.revoke(claim);
  assert.deepEqual([...claims.revoked], [running.fill]);
  await claims.giveUp(running);
  assert.deepEqual([...claims.revoked], []);
});
