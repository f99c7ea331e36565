/** Whatever happens at once, disk and account agree in the end, and nobody is given bytes that are not those of the key. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Cache } from '../../lib/cache/cache.ts';
import { MemoryCache } from '../../lib/cache/memory-cache.ts';
import { bytesOf, HEAD, Reading, settled } from '../../lib/contracts/cache/steps.ts';
import { IncompleteError } from '../../lib/errors.ts';
import { Disk } from './disk.ts';

const KIB = 1024;

interface Fetch {
  do: 'fetch';
  key: number;
  size: number;
  declared: boolean;
  ends: 'commit' | 'abort' | 'unfinished' | 'short';
}

type Step =
  | Fetch
  | { do: 'read'; key: number }
  | { do: 'replace'; key: number }
  | { do: 'purge'; key: number }
  | { do: 'prune' }
  | { do: 'clean' }
  | { do: 'tag' };

const key = fc.nat({ max: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('fetch' as const),
      key,
      size: fc.nat({ max: 150 * KIB }),
      declared: fc.boolean(),
      ends: fc.constantFrom<Fetch['ends'][]>('commit', 'commit', 'abort', 'unfinished', 'short'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('replace' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const), key }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'prune' }, { do: 'clean' }, { do: 'tag' }) },
);

/** Several clients, each of which does one thing after the other. */
const storm = fc.array(fc.array(step, { minLength: 1, maxLength: 12 }), { minLength: 2, maxLength: 6 });

/** Bodies of different keys differ from the first byte on. */
function bodyOf(each: number, size: number): Buffer {
  return bytesOf(Math.max(4, size), each);
}

function check(each: number, found: Buffer): void {
  assert.ok(found.equals(bodyOf(each, found.byteLength)), `${found.byteLength} bytes for key ${each}`);
}

async function perform(cache: Cache, each: Step): Promise<void> {
  switch (each.do) {
    case 'fetch':
      return fetch(cache, each);
    case 'replace':
      return fetch(
        cache,
        { ...each, do: 'fetch', size: 50 * KIB, declared: true, ends: 'commit' },
        Date.now(),
      );
    case 'purge':
      await cache.invalidate({ key: `/${each.key}` });
      return;
    case 'tag':
      await cache.invalidate({ tag: 'even' });
      return;
    case 'prune':
      await cache.prune({ toBytes: 100 * KIB });
      return;
    case 'clean':
      await cache.clean({ stalledMs: 0 });
      return;
    case 'read': {
      const entry = await cache.open({ primary: `/${each.key}` });
      if (entry === undefined) return;
      check(each.key, await Reading.of(entry).whole());
      entry.release();
    }
  }
}

async function fetch(cache: Cache, each: Fetch, newerThan?: number): Promise<void> {
  const claim = await cache.claim({ primary: `/${each.key}` }, newerThan === undefined ? {} : { newerThan });
  if (claim?.role === 'entry') {
    check(each.key, await Reading.of(claim.entry).whole());
    claim.entry.release();
  } else if (claim?.role === 'follower') {
    const reader = await claim.fill;
    if (reader === undefined) return;
    const reading = Reading.of(reader);
    if ((await reading.failure()) === undefined) check(each.key, reading.bytes);
    reader.release();
  } else if (claim?.role === 'leader') {
    const bytes = bodyOf(each.key, each.size);
    const tags = each.key % 2 === 0 ? ['even'] : [];
    const fill = await claim.start(HEAD, { tags, ...(each.declared ? { size: bytes.byteLength } : {}) });
    if ('declined' in fill) return;
    const reader = fill.reader();
    const reading = Reading.of(reader);
    const whole = each.ends === 'commit';
    for (let at = 0; at < bytes.byteLength; at += 20 * KIB) {
      if (!fill.write(bytes.subarray(at, at + 20 * KIB))) await fill.drained();
      if (!whole && at > bytes.byteLength / 2) break;
    }
    if (each.ends === 'abort') await fill.abort(new Error('the source stopped'));
    else if (each.ends === 'unfinished') await fill.abort(new IncompleteError('the source stopped'));
    else
      await fill.commit({ length: whole ? bytes.byteLength : bytes.byteLength + 1 }).catch(() => undefined);
    const failure = await reading.failure();
    if (whole) assert.equal(failure, undefined, 'its own reader gets the whole');
    if (failure === undefined) check(each.key, reading.bytes);
    reader.release();
  }
}

async function rage(cache: Cache, clients: Step[][]): Promise<void> {
  await Promise.all(
    clients.map(async (steps) => {
      for (const each of steps) await settled(perform(cache, each), JSON.stringify(each));
    }),
  );
}

describe('a storm of requests', () => {
  test('on disk, records, bodies and the account agree afterwards', async (t) => {
    await fc.assert(
      fc.asyncProperty(storm, async (clients) => {
        const disk = new Disk(t);
        const cache = await disk.cache({ maxBytes: 400 * KIB });
        await rage(cache, clients);
        const { entries, bytes, fills, corrupt, maxBytes, invalid } = await cache.stats();
        const failed = disk.invalid();
        assert.equal(failed.filter((file) => file.endsWith('.json')).length, invalid.files, 'notes');
        assert.equal(failed.filter((file) => file.endsWith('.body')).length, invalid.files, 'invalid bodies');
        const files = disk.files(disk.layout.entries);
        assert.deepEqual(disk.incomplete(), [], 'nothing is left of a fill');
        assert.equal(files.filter((file) => file.endsWith('.json')).length, entries, 'records');
        assert.equal(files.filter((file) => file.endsWith('.body')).length, entries, 'bodies');
        assert.equal(bytes, disk.used(), 'bytes');
        assert.ok(bytes <= maxBytes, `${bytes} bytes`);
        assert.deepEqual([fills, corrupt], [0, 0], 'fills, corrupt');
        for await (const { key } of cache.list()) {
          await perform(cache, { do: 'read', key: Number(key.primary.slice(1)) });
        }
        await cache.close();
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });

  test('in memory, the account is right afterwards', async () => {
    await fc.assert(
      fc.asyncProperty(storm, async (clients) => {
        const cache = new MemoryCache({ maxBytes: 400 * KIB });
        await rage(cache, clients);
        const { entries, bytes, fills } = await cache.stats();
        let charged = 0;
        let count = 0;
        for await (const { key, size } of cache.list()) {
          await perform(cache, { do: 'read', key: Number(key.primary.slice(1)) });
          charged += size + 512;
          count++;
        }
        assert.deepEqual([entries, bytes, fills], [count, charged, 0], 'entries, bytes, fills');
      }),
      { numRuns: 100, endOnFailure: true },
    );
  });
});
