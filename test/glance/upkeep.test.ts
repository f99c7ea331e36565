/** Behaviours 79 to 87 of Glance's cache: what keeps the directory in order. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { Disk } from '../cache/disk.ts';
import { barrier, said } from '../support/filtered.ts';
import { begun, type CachedGlance, cached, rest } from './cached.ts';
import { anImage, type Image } from './image-service.ts';

const KIB = 1024;
const NOTHING = { entries: 0, bytes: 0 };

/** Images of 10 KiB each. */
function images(...ids: string[]): Record<string, Image> {
  return Object.fromEntries(ids.map((id, seed) => [id, anImage({ data: bytesOf(10 * KIB, seed + 1) })]));
}

async function download({ get }: Pick<CachedGlance, 'get'>, ...ids: string[]): Promise<void> {
  for (const id of ids) assert.equal((await get(id)).status, 200);
}

test('79. pruning removes nothing below the limit, nor at it', async (t) => {
  const under = await cached(t, images('one', 'two', 'three'));
  await download(under, 'one', 'two', 'three');
  const { bytes } = await under.cache.stats();
  assert.deepEqual(await under.cache.prune(), NOTHING);
  assert.deepEqual(await under.cache.prune({ toBytes: bytes }), NOTHING, 'exactly as much');
  assert.equal((await under.stored()).length, 3);
  const { entries } = await under.cache.prune({ toBytes: bytes - 1 });
  assert.deepEqual([entries, (await under.stored()).length], [1, 2], 'a byte less');
});

test('80. who was used least recently goes first; what is new counts as used when it was stored', async (t) => {
  const under = await cached(t, images('one', 'two', 'three', 'new'));
  await download(under, 'one', 'two', 'three');
  // Read again, the first of them last; then one more comes, which nobody reads.
  await download(under, 'two', 'three', 'one', 'new');
  const each = (await under.cache.stats()).bytes / 4;
  const order: string[] = [];
  for (let left = 3; left >= 0; left--) {
    const before = await under.stored();
    assert.equal((await under.cache.prune({ toBytes: left * each })).entries, 1);
    const after = await under.stored();
    order.push(...before.filter((key) => !after.includes(key)));
  }
  assert.deepEqual(order, ['glance:two', 'glance:three', 'glance:one', 'glance:new']);
});

test('81. a limit of 0 empties the cache, and does not fail', async (t) => {
  const under = await cached(t, images('one', 'two'));
  await download(under, 'one', 'two');
  assert.equal((await under.cache.prune({ toBytes: 0 })).entries, 2);
  assert.deepEqual([await under.stored(), (await under.cache.stats()).bytes], [[], 0]);
  const none = await cached(t, images('one'), { store: { maxBytes: 0 } });
  assert.equal(said(await none.get()), 'fwd=uri-miss; detail=too-large');
  assert.deepEqual([await none.cache.prune(), await none.stored()], [NOTHING, []]);
});

test('82. a file that has gone is no trouble when its entry is pruned: it goes, too', async (t) => {
  const under = await cached(t, images('one', 'two'));
  await download(under, 'one', 'two');
  rmSync(under.disk.bodyPath('glance:one'));
  assert.equal(existsSync(under.disk.recordPath('glance:one')), true, 'the fault');
  await under.cache.prune({ toBytes: 0 });
  assert.deepEqual([await under.stored(), under.disk.used(), (await under.cache.stats()).bytes], [[], 0, 0]);
});

test('83. size and victims come from one account: what nobody knows is taken over, or removed, at the start', async (t) => {
  const first = await cached(t, images('one', 'two'));
  await download(first, 'one', 'two');
  await first.filter.close();
  await first.cache.close();
  const { disk } = first;
  // A body that no record names; a record whose body is gone; and what was never finished.
  const name = disk.layout.name('glance:orphan', undefined);
  const orphan = disk.layout.body(name, '0123456789abcdef');
  mkdirSync(disk.layout.shard(name), { recursive: true });
  for (const path of [orphan, disk.layout.incompleteBody(name, '0123456789abcdef')]) {
    writeFileSync(path, bytesOf(100 * KIB));
    utimesSync(path, 0, 0);
  }
  rmSync(disk.bodyPath('glance:two'));
  const second = await cached(t, images('one', 'two'), { disk });
  assert.deepEqual([existsSync(orphan), disk.incomplete()], [false, []]);
  assert.deepEqual(await second.stored(), ['glance:one']);
  const { bytes, entries } = await second.cache.stats();
  assert.deepEqual([bytes, entries], [disk.used(), 1], 'what is counted is what is there');
  assert.deepEqual(await second.cache.prune({ toBytes: 0 }), { entries: 1, bytes });
  assert.equal(disk.used(), 0);
});

test('84. pruning ends, also where nothing that it could remove is left', async (t) => {
  const data = bytesOf(32 * KIB * KIB);
  const under = await cached(t, { one: anImage({ data }) });
  assert.deepEqual(await under.cache.prune({ toBytes: 0 }), NOTHING, 'an empty cache');
  writeFileSync(join(under.disk.layout.entries, 'somebody else’s'), bytesOf(KIB));
  await under.get();
  const reading = await begun(under);
  assert.deepEqual(await under.cache.prune({ toBytes: 0 }), NOTHING, 'somebody reads the only entry');
  assert.ok((await rest(reading)).equals(data));
  await under.filter.idle();
  assert.equal((await under.cache.prune({ toBytes: 0 })).entries, 1);
  assert.deepEqual(await under.cache.prune({ toBytes: 0 }), NOTHING);
});

test('85. every byte of ours counts: what is stored, what is being written, what came out wrong', async (t) => {
  const [half, go] = [barrier(), barrier()];
  const slow = anImage({ data: bytesOf(100 * KIB) });
  slow.download = async (_req, res, { data }) => {
    res.writeHead(200, { 'Content-Length': data?.length });
    res.write(data?.subarray(0, 50 * KIB));
    half.reach();
    await go.reached;
    res.end(data?.subarray(50 * KIB));
  };
  const wrong = anImage({ data: bytesOf(200 * KIB), checksum: '0'.repeat(32) });
  const under = await cached(t, { ...images('one'), slow, wrong });
  const { cache, filter, disk } = under;
  const count = async () => (await cache.stats()).bytes;
  await under.get();
  const stored = await count();
  assert.equal(stored, disk.used());
  assert.equal((await under.get('wrong')).complete, false);
  await filter.idle();
  const withInvalid = await count();
  assert.equal(withInvalid, disk.used());
  assert.ok(withInvalid >= stored + 200 * KIB);
  const reading = await begun(under, 'slow');
  await half.reached;
  assert.ok((await count()) >= withInvalid + 100 * KIB, 'all of what will come, from the start');
  go.reach();
  await rest(reading);
  await filter.idle();
  assert.equal(await count(), disk.used());
  assert.ok((await count()) < withInvalid + 120 * KIB, 'and once');
});

test('86. no id becomes a path: the names of our own files, and ways out of the directory, are ids like any other', async (t) => {
  const ids = [
    'cache.db',
    'queue',
    'incomplete',
    'invalid',
    'entries',
    'v1',
    '..',
    '.',
    '../../x',
    'CACHEDIR.TAG',
    'a\0b',
    'C:\\x',
  ];
  const under = await cached(
    t,
    Object.fromEntries(ids.map((id) => [id, anImage({ data: Buffer.from(id) })])),
  );
  const { filter, disk, cache } = under;
  const before = { outside: readdirSync(join(disk.directory, '..')), own: disk.files() };
  for (const id of ids) {
    assert.equal(await cache.info({ primary: `glance:${id}` }), undefined, `${id} is not stored`);
    assert.equal(await filter.purge({ id }), 0, id);
    assert.equal(await cache.invalidate({ key: id }), 0, id);
  }
  assert.deepEqual(disk.files(), before.own, 'nothing of ours has gone');
  for (const id of ids) {
    // Clients resolve dots; a client that means harm does not.
    const escaped = encodeURIComponent(id).replaceAll('.', '%2e');
    const line = `GET /v1/images/${escaped}`;
    assert.equal(said(await under.request(line)), 'fwd=uri-miss; stored', id);
    const hit = await under.request(line);
    assert.deepEqual([said(hit), hit.body.toString()], ['hit', id]);
  }
  assert.deepEqual(await under.stored(), ids.map((id) => `glance:${id}`).sort());
  for (const file of disk.files())
    assert.match(file, /^v1\/(CACHEDIR\.TAG|entries\/[0-9a-f]{2}\/[0-9a-f]{64}\.(json|<fill>\.body))$/);
  assert.deepEqual(readdirSync(join(disk.directory, '..')), before.outside);
  for (const id of ids) assert.equal(await filter.purge({ id }), 1, id);
  assert.deepEqual(disk.files(), before.own);
});

test('87. deleting twice is deleting once, and a file that has gone already is none the worse', async (t) => {
  const disk = new Disk(t);
  const { get, filter, cache, stored } = await cached(t, images('one', 'two'), { disk });
  await get('one');
  await get('two');
  assert.deepEqual([await filter.purge({ id: 'one' }), await filter.purge({ id: 'one' })], [1, 0]);
  rmSync(disk.bodyPath('glance:two'));
  assert.equal(await filter.purge({ id: 'two' }), 1);
  assert.equal(await cache.invalidate({ all: true }), 0);
  assert.deepEqual([await stored(), disk.used(), (await cache.stats()).bytes], [[], 0, 0]);
});
