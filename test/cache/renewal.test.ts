/** An entry whose head is brought up to date, as it lies on disk. */
import assert from 'node:assert/strict';
import { linkSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Entry, LeaderClaim } from '../../lib/cache/cache.ts';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import {
  bytesOf,
  follow,
  lead,
  opened,
  put,
  Reading,
  settled,
  stored,
} from '../../lib/contracts/cache/steps.ts';
import type { ResponseHead } from '../../lib/http/body.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';
import { mountTmpfs } from './limits.ts';

const KEY = { primary: '/renewal' };
const BODY = bytesOf(2 ** 20 + 1);
const HEAD: ResponseHead = { status: 304, headers: [['X-New', 'yes']] };
const POINTS = new URL('../crash/points.mjs', import.meta.url).href;

/** Every step of a refresh that changes something on disk. */
const STEPS = [
  'create incomplete/claim',
  'write incomplete/claim',
  'link entries/blocks',
  'link entries/state',
  'link entries/body',
  'rename entries/json',
  'unlink entries/body',
  'unlink entries/blocks',
  'unlink entries/state',
];

async function putOld(cache: FileCache): Promise<void> {
  await put(cache, KEY, BODY, { storedAt: 5_000, tags: ['t'] });
  // So that there is a state.
  await cache.pin(KEY.primary, true);
}

function leadAgain(cache: FileCache): Promise<LeaderClaim> {
  return lead(cache, KEY, { newerThan: 5_000 });
}

async function refresh(claim: LeaderClaim): Promise<Entry> {
  const entry = await settled(claim.refresh(HEAD, { storedAt: 6_000 }), 'refresh');
  if ('declined' in entry) throw new Error(`declined: ${entry.declined}`);
  return entry;
}

function headOf(disk: Disk): string | undefined {
  return disk.record(KEY.primary).head.headers.find(([name]) => name === 'X-New')?.[1];
}

/** A process that ends at a step of the refresh that it is told. */
async function killedAt(t: TestContext, disk: Disk, step: string): Promise<string> {
  const settings = `CRASH_AT='${step}' NODE_OPTIONS="$NODE_OPTIONS --import=${POINTS}"`;
  const child = await CacheProcess.open(t, { directory: disk.directory }, `${settings} exec "$@"`);
  const told = async () => {
    await child.tell('lead', KEY, 5_000);
    return child.tell('refresh', HEAD, { storedAt: 6_000 });
  };
  return settled(
    told().then(String, (error: Error) => error.message),
    'the process',
  );
}

describe('an entry that is renewed, on disk', () => {
  test('its body is not copied, and nothing of the old entry is left', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await putOld(cache);
    const { ino } = statSync(disk.bodyPath(KEY.primary));
    const [files, { bytes }] = [disk.files(), await cache.stats()];
    (await refresh(await leadAgain(cache))).release();
    assert.equal(statSync(disk.bodyPath(KEY.primary)).ino, ino, 'the very same file');
    assert.equal(statSync(disk.bodyPath(KEY.primary)).nlink, 1);
    assert.deepEqual(disk.files(), files);
    const after = await cache.stats();
    assert.deepEqual([after.bytes, disk.used(), after.corrupt], [bytes, bytes, 0]);
    assert.equal(headOf(disk), 'yes');
  });

  test('who reads the entry meanwhile reads it to the end', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await putOld(cache);
    const held = await opened(cache, KEY);
    const stream = held.read();
    (await refresh(await leadAgain(cache))).release();
    assert.ok((await new Reading(stream).whole()).equals(BODY));
    assert.deepEqual((await cache.stats()).unlinked, { files: 0, bytes: 0 });
    held.release();
  });

  for (const step of STEPS) {
    for (const when of ['before', 'after']) {
      test(`killed ${when} "${step}", it is the old one or the new one, whole`, async (t) => {
        const disk = new Disk(t);
        const first = await disk.cache();
        await putOld(first);
        await first.close();
        const said = await killedAt(t, disk, `${when} ${step} 1`);
        assert.match(said, /SIGKILL/, 'it died there');
        const cache = await disk.cache();
        const wasRenewed = disk.record(KEY.primary).storedAt === 6_000;
        const isLate = step.startsWith('unlink') || `${when} ${step}` === 'after rename entries/json';
        assert.equal(wasRenewed, isLate);
        assert.equal(headOf(disk), wasRenewed ? 'yes' : undefined);
        assert.ok((await stored(cache, KEY))?.equals(BODY));
        const info = await cache.info(KEY);
        assert.deepEqual([info?.pinned, info?.tags], [true, ['t']]);
        // A claim without an owner goes once nobody can be about to go on with it.
        const claims = disk.incomplete().map((file) => join(disk.layout.incomplete, file));
        for (const path of claims) disk.age(path, 60_000);
        await (await disk.cache()).stats();
        const names = disk.files().map((file) => file.replace(/^.*\./, ''));
        assert.deepEqual(names.sort(), ['TAG', 'blocks', 'body', 'json', 'state'].sort());
        assert.equal((await cache.stats()).corrupt, 0);
      });
    }
  }

  test('one that another process evicts meanwhile does not come back without its body', async (t) => {
    const disk = new Disk(t);
    const [cache, other] = [await disk.cache(), await disk.cache()];
    await put(cache, KEY, BODY, { storedAt: 5_000 });
    (await opened(other, KEY)).release();
    const claim = await leadAgain(cache);
    assert.equal((await other.prune({ toBytes: 0 })).entries, 1);
    assert.deepEqual(await claim.refresh(HEAD), { declined: 'superseded' });
    assert.equal(await cache.open(KEY), undefined);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('a purge in another process wins', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache();
    await putOld(cache);
    const claim = await leadAgain(cache);
    assert.equal(await child.tell('invalidate', { tag: 't' }), 1);
    assert.deepEqual(await claim.refresh(HEAD), { declined: 'superseded' });
    assert.equal(await cache.open(KEY), undefined);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('one process refreshes, and whoever waits in another finds the entry', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache();
    await putOld(cache);
    await child.tell('lead', KEY, 5_000);
    const follower = await follow(cache, KEY, { newerThan: 5_000 });
    assert.equal(await child.tell('refresh', HEAD, { storedAt: 6_000 }), 'refreshed');
    const reader = await settled(follower.fill, 'the follower');
    // The claim that it watched has become the record: its body is there to be read, or it asks again.
    if (reader === undefined) assert.equal(follower.again, true);
    else assert.ok((await Reading.of(reader).whole()).equals(BODY));
    reader?.release();
    const found = await settled(cache.claim(KEY, { newerThan: 5_000 }), 'claim');
    assert.equal(found?.role, 'entry');
    if (found?.role !== 'entry') return;
    assert.equal(found.entry.info.storedAt, 6_000);
    found.entry.release();
  });

  test('a pin that another process sets or takes away meanwhile holds', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache();
    await putOld(cache);
    const claim = await leadAgain(cache);
    await child.tell('pin', KEY.primary, false);
    (await refresh(claim)).release();
    assert.equal((await cache.info(KEY))?.pinned, false);
  });

  test('a disk without room for one more name declines, and the entry stays', async (t) => {
    const path = mountTmpfs(t, 8 * 2 ** 20, 400);
    if (path === undefined) return t.skip('mounting is not allowed here');
    const disk = new Disk(t, join(path, 'cache'));
    const cache = await disk.cache();
    await put(cache, KEY, BODY, { storedAt: 5_000 });
    const claim = await leadAgain(cache);
    const fault = takeAllNames(path);
    assert.equal(fault, 'ENOSPC', 'the fault');
    assert.deepEqual(await claim.refresh(HEAD), { declined: 'store-down' });
    assert.equal(disk.record(KEY.primary).storedAt, 5_000);
    const info = await cache.info(KEY);
    assert.equal(info?.storedAt, 5_000);
    const entry = await opened(cache, KEY);
    assert.ok((await Reading.of(entry).whole()).equals(BODY));
    entry.release();
    assert.deepEqual(
      readdirSync(disk.layout.incomplete).filter((file) => file.endsWith('.claim')),
      [],
    );
  });
});

/** Until there is no room for another one; what was said then. */
function takeAllNames(path: string): string | undefined {
  const file = join(path, 'filler');
  writeFileSync(file, '');
  try {
    for (let i = 0; i < 1_000; i++) linkSync(file, `${file}.${i}`);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  rmSync(file);
  return undefined;
}
