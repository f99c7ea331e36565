/** The moment between a verified body and its entry, seen from another process. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { LeaderClaim } from '../../../lib/cache/cache.ts';
import { ClaimFile } from '../../../lib/cache/fill/claim.ts';
import { bytesOf, joined, Reading, settled, stored, write } from '../../../lib/contracts/cache/steps.ts';
import { CacheProcess } from '../cache-process.ts';
import { Disk } from '../disk.ts';

const KEY = { primary: '/publishing' };
const SIZE = 2 ** 20 + 1;
const BODY = bytesOf(SIZE);

/** Just before the one rename that makes the entry. */
const LAST_STEP = 'before rename entries/json 1';
const POINTS = new URL('../../crash/points.mjs', import.meta.url).href;

/** A child that is stopped or ended at that step, and somebody here who reads along. */
async function publishing(t: TestContext, signal: 'SIGSTOP' | 'SIGKILL') {
  const disk = new Disk(t);
  const cache = await disk.cache();
  const settings = `CRASH_AT='${LAST_STEP}' CRASH_SIGNAL=${signal} NODE_OPTIONS="$NODE_OPTIONS --import=${POINTS}"`;
  const child = await CacheProcess.open(t, { directory: disk.directory }, `${settings} exec "$@"`);
  await child.tell('start', KEY, { size: SIZE });
  const reader = await joined(cache, KEY);
  const reading = Reading.of(reader);
  await child.tell('write', SIZE, 1);
  const offer = new Promise<LeaderClaim>((resolve) => reader.inherit(resolve));
  const commit = child.tell('commit', { length: SIZE });
  commit.catch(() => undefined);
  await reading.until(SIZE - 1);
  const shard = dirname(disk.recordPath(KEY.primary));
  await until(() => existsSync(shard) && readdirSync(shard).some((file) => file.endsWith('.body')));
  // Time to look, for whoever is mistaken.
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(reading.length, SIZE - 1, 'the last byte waits for the entry');
  assert.equal(existsSync(disk.recordPath(KEY.primary)), false, 'which is not there');
  return { disk, cache, child, reader, reading, commit, offer };
}

async function until(holds: () => boolean): Promise<void> {
  const wait = async () => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await settled(wait(), String(holds));
}

function claimIn(disk: Disk): string {
  const [file = ''] = disk.incomplete().filter((name) => name.endsWith('.claim'));
  return join(disk.layout.incomplete, file);
}

describe('a body that is verified, and not yet an entry', () => {
  test('is not at its end for those who read it elsewhere', async (t) => {
    const { cache, child, reader, reading, commit } = await publishing(t, 'SIGSTOP');
    process.kill(child.pid as number, 'SIGCONT');
    assert.ok((await reading.whole()).equals(BODY));
    assert.equal(await reader.ended, 'complete');
    assert.ok((await stored(cache, KEY))?.equals(BODY), 'who has been given all of it finds it');
    assert.equal(await commit, 'committed');
    reader.release();
  });

  test('is gone on with where its process dies', async (t) => {
    const { cache, reader, reading, offer } = await publishing(t, 'SIGKILL');
    const claim = await settled(offer, 'the claim on an orphan');
    const head = { status: 200, headers: [['Content-Type', 'application/x-test']] as [string, string][] };
    const next = await claim.start(head, { size: SIZE });
    if ('declined' in next) throw new Error(`going on was declined: ${next.declined}`);
    await write(next, BODY);
    await next.commit({ length: SIZE });
    assert.ok((await reading.whole()).equals(BODY));
    assert.ok((await stored(cache, KEY))?.equals(BODY));
    reader.release();
  });

  test('is whole for those who read it, though a purge comes before the entry', async (t) => {
    const { disk, cache, child, reader, reading, commit } = await publishing(t, 'SIGSTOP');
    rmSync(claimIn(disk));
    assert.ok((await reading.whole()).equals(BODY));
    assert.equal(await reader.ended, 'superseded');
    process.kill(child.pid as number, 'SIGCONT');
    assert.equal(await commit, 'ERR_CACHE_FILTER_SUPERSEDED');
    assert.equal(await stored(cache, KEY), undefined);
    reader.release();
  });

  test('has an owner that says it lives until the rename, and nothing else', async (t) => {
    const { layout } = new Disk(t);
    mkdirSync(layout.incomplete, { recursive: true });
    const place = { name: layout.name(KEY.primary, undefined), fill: '0123456789abcdef' };
    const claim = await ClaimFile.create(layout, place, KEY, 0o600);
    await claim.become(Buffer.from('the record'));
    const [long, now] = [new Date(0), Date.now() - 10_000];
    utimesSync(claim.path, long, long);
    await claim.beat();
    assert.ok(statSync(claim.path).mtimeMs > now, 'a sync of a large body may take minutes');
    await claim.say({ ended: 'orphaned' });
    assert.equal(readFileSync(claim.path, 'utf8'), 'the record');
    await claim.close();
    utimesSync(claim.path, long, long);
    await claim.beat();
    assert.equal(statSync(claim.path).mtimeMs, 0, 'the record of an entry is left alone');
  });
});
