/** What a process leaves behind that was killed. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { LeaderClaim } from '../../lib/cache/cache.ts';
import { encodeRecord } from '../../lib/cache/record.ts';
import {
  bytesOf,
  hashOf,
  joined,
  lead,
  put,
  Reading,
  settled,
  stored,
  write,
} from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/a' };

/** More than what a claim's owner may be silent for. */
const LONG_MS = 60_000;

/** A process is killed while it writes a body of 2 MiB, of which the first half has come. */
async function killedInMidFill(t: TestContext): Promise<{ disk: Disk; claim: string; body: string }> {
  const disk = new Disk(t);
  const child = await CacheProcess.open(t, { directory: disk.directory });
  await child.tell('start', KEY, { size: 2 * 2 ** 20, tags: ['t'] });
  await child.tell('write', 2 ** 20, 1);
  const [body = '', claim = ''] = disk.incomplete().map((file) => join(disk.layout.incomplete, file));
  while (statSync(body).size < 2 ** 20) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await child.kill(), 'SIGKILL', 'the fault');
  assert.equal(disk.incomplete().length, 2, 'a claim and half a body are left');
  return { disk, claim, body };
}

describe('after a process was killed in the middle of a fill', () => {
  test('a later start removes its claim and its body', async (t) => {
    const { disk, claim } = await killedInMidFill(t);
    disk.age(claim, LONG_MS);
    const cache = await disk.cache();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    const { entries, bytes, corrupt } = await cache.stats();
    assert.deepEqual([entries, bytes, corrupt], [0, 0, 0]);
    await put(cache, KEY, bytesOf(10));
    assert.ok(await stored(cache, KEY));
  });

  test('while it may still live, it is spared; who asks then goes on with it', async (t) => {
    const { disk } = await killedInMidFill(t);
    const cache = await disk.cache();
    assert.equal(disk.incomplete().length, 2);
    assert.equal(await cache.open(KEY), undefined);
    const reader = await joined(cache, KEY);
    const reading = Reading.of(reader);
    const claim = await settled(new Promise<LeaderClaim>((resolve) => reader.inherit(resolve)), 'the claim');
    const { inherited } = claim;
    assert.ok(inherited !== undefined && inherited.bytes > 0);
    const whole = bytesOf(2 * 2 ** 20);
    const fill = await claim.start(inherited.head, { size: whole.byteLength });
    if ('declined' in fill) throw new Error(fill.declined);
    await write(fill, whole);
    await fill.commit({});
    assert.ok((await reading.whole()).equals(whole));
    reader.release();
    assert.ok((await stored(cache, KEY))?.equals(whole));
    assert.deepEqual(disk.incomplete(), []);
  });

  test('a purge takes its claim with it', async (t) => {
    for (const what of [{ key: '/a' }, { prefix: '/' }, { tag: 't' }, { all: true }] as const) {
      const { disk, claim } = await killedInMidFill(t);
      const cache = await disk.cache();
      assert.equal(await cache.invalidate(what), 0);
      assert.ok(
        !readdirSync(disk.layout.incomplete).includes(claim.split('/').at(-1) ?? ''),
        JSON.stringify(what),
      );
    }
  });

  test('killed between the two renames of a commit, its body is removed from among the entries', async (t) => {
    const { disk, claim, body } = await killedInMidFill(t);
    const name = disk.layout.name('/a', undefined);
    const fill = body.split('.').at(-2) ?? '';
    await mkdir(disk.layout.shard(name), { recursive: true });
    renameSync(body, disk.layout.body(name, fill));
    const head = { status: 200, headers: [] };
    const digests = [
      { algorithm: 'sha256' as const, hex: hashOf('sha256', readFileSync(disk.layout.body(name, fill))) },
    ];
    writeFileSync(
      claim,
      encodeRecord({ key: KEY, head, size: 2 ** 20, digests, storedAt: 1, tags: [], fill }),
    );

    const early = await disk.cache();
    assert.ok(statSync(disk.layout.body(name, fill)), 'spared: it may be about to be published');
    assert.equal(await early.open(KEY), undefined, 'but no entry');

    disk.age(claim, LONG_MS);
    const late = await disk.cache();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    assert.equal(await late.open(KEY), undefined);
  });

  test('killed in the middle of a removal, the rest is removed', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    await put(first, KEY, bytesOf(10));
    await first.close();
    renameSync(
      disk.recordPath('/a'),
      disk.layout.gone(disk.layout.name('/a', undefined), '0123456789abcdef'),
    );

    const early = await disk.cache();
    assert.equal(await early.open(KEY), undefined);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + LONG_MS });
    await disk.cache();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('a body without its record, and a record without its body, are removed', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    for (const primary of ['/a', '/b', '/c']) await put(first, { primary }, bytesOf(10));
    await first.close();
    const [record, body] = [disk.recordPath('/a'), disk.bodyPath('/b')];
    const kept = disk
      .files(dirname(disk.recordPath('/c')))
      .filter((file) => file.includes(disk.layout.name('/c', undefined)));
    renameSync(record, join(disk.directory, 'a.json'));
    renameSync(body, join(disk.directory, 'b.body'));
    const second = await disk.cache();
    assert.equal((await second.stats()).entries, 1);
    assert.deepEqual(disk.files(disk.layout.entries), kept);
    assert.ok(await stored(second, { primary: '/c' }));
  });
});

describe('while a process lives', () => {
  test('the start of another spares what it writes, and it can publish it', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    await child.tell('start', KEY, {});
    await child.tell('write', 2 ** 20, 7);
    const cache = await disk.cache();
    assert.equal(disk.incomplete().length, 2);
    assert.equal(await child.tell('commit'), 'committed');
    assert.ok((await stored(cache, KEY))?.equals(bytesOf(2 ** 20, 7)));
  });

  test('its claims say so again and again', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const leader = await lead(cache, KEY);
    const claim = join(disk.layout.incomplete, disk.incomplete()[0] ?? '');
    disk.age(claim, LONG_MS);
    const aged = statSync(claim).mtimeMs;
    while (statSync(claim).mtimeMs === aged) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(Date.now() - statSync(claim).mtimeMs < 5_000);
    await leader.abandon();
  });
});
