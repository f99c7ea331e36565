/** Whatever has become of a record on disk: the entry as it was, or a miss. Never a crash, never a wrong header. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Key } from '../../lib/cache/cache.ts';
import type { FileCache } from '../../lib/cache/file-cache.ts';
import { bytesOf, put, Reading } from '../../lib/contracts/cache/steps.ts';
import type { ResponseHead } from '../../lib/http/body.ts';
import { Disk } from './disk.ts';

const A: Key = { primary: '/a', variant: '?1' };
const B: Key = { primary: '/b', variant: '?1' };
const BYTES = bytesOf(100);

interface Prepared {
  disk: Disk;
  cache: FileCache;
  /** What lies at the key's place when nothing is wrong. */
  sound(key: Key): Buffer;
  /** Puts both entries back as they were. */
  restore(): void;
  inflict(key: Key, record: Uint8Array): void;
  head: ResponseHead;
}

async function prepared(t: TestContext): Promise<Prepared> {
  const disk = new Disk(t);
  const cache = await disk.cache();
  const paths = new Map<Key, { record: string; body: string; bytes: Buffer }>();
  for (const key of [A, B]) {
    await put(cache, key, BYTES, { tags: ['t'], storedAt: 1_700_000_000_000 });
    const record = disk.recordPath(key.primary, key.variant);
    paths.set(key, { record, body: disk.bodyPath(key.primary, key.variant), bytes: readFileSync(record) });
  }
  const of = (key: Key) => {
    const found = paths.get(key);
    assert.ok(found !== undefined);
    return found;
  };
  return {
    disk,
    cache,
    sound: (key) => of(key).bytes,
    restore: () => {
      for (const { record, body, bytes } of paths.values()) {
        writeFileSync(record, bytes);
        writeFileSync(body, BYTES);
      }
    },
    inflict: (key, record) => writeFileSync(of(key).record, record),
    head: disk.record(A.primary, A.variant).head,
  };
}

/** With `damaged` in the place of A's record, A is a miss, by open and by info, and B is what it was. */
async function isMiss({ cache, restore, inflict, head }: Prepared, damaged: Uint8Array): Promise<void> {
  restore();
  inflict(A, damaged);
  const { corrupt } = await cache.stats();
  const story = `${damaged.byteLength} bytes: ${Buffer.from(damaged)}`;
  assert.equal(await cache.open(A), undefined, story);
  assert.equal((await cache.stats()).corrupt, corrupt + 1, `it is counted: ${story}`);
  inflict(A, damaged);
  assert.equal(await cache.info(A), undefined, story);
  const other = await cache.open(B);
  assert.deepEqual([other?.head, other?.info.key, other?.info.tags], [head, B, ['t']], story);
  assert.ok((await new Reading((other as NonNullable<typeof other>).read()).whole()).equals(BYTES));
  other?.release();
}

describe('through open, a record', () => {
  test('with any bit flipped is a miss', async (t) => {
    const each = await prepared(t);
    const sound = each.sound(A);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: sound.byteLength * 8 - 1 }), async (bit) => {
        const damaged = Buffer.from(sound);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        await isMiss(each, damaged);
      }),
      { numRuns: 150 },
    );
  });

  test('that is cut short, or longer than it was, is a miss', async (t) => {
    const each = await prepared(t);
    const sound = each.sound(A);
    const tail = fc.uint8Array({ minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: sound.byteLength - 1 }), tail, async (length, more) => {
        await isMiss(each, sound.subarray(0, length));
        await isMiss(each, Buffer.concat([sound, more]));
        // As after a power failure, with the length written and the rest not.
        await isMiss(
          each,
          Buffer.concat([sound.subarray(0, length), Buffer.alloc(sound.byteLength - length)]),
        );
      }),
      { numRuns: 40 },
    );
  });

  test('that is spliced together of two is a miss', async (t) => {
    const each = await prepared(t);
    const [a, b] = [each.sound(A), each.sound(B)];
    assert.equal(a.byteLength, b.byteLength);
    const cut = fc.nat({ max: a.byteLength });
    let spliced = 0;
    await fc.assert(
      fc.asyncProperty(cut, cut, async (from, to) => {
        for (const damaged of [
          Buffer.concat([a.subarray(0, from), b.subarray(to)]),
          Buffer.concat([b.subarray(0, from), a.subarray(to)]),
          Buffer.concat([a.subarray(0, from), b.subarray(from, to), a.subarray(Math.max(from, to))]),
        ]) {
          if (damaged.equals(a) || damaged.equals(b)) continue;
          spliced++;
          await isMiss(each, damaged);
        }
      }),
      { numRuns: 50 },
    );
    assert.ok(spliced > 50, `${spliced} splices`);
  });

  test('of another key, whole and in the wrong place, is a miss, and stays', async (t) => {
    const each = await prepared(t);
    each.inflict(A, each.sound(B));
    assert.equal(await each.cache.open(A), undefined);
    assert.equal(await each.cache.info(A), undefined);
    const claim = await each.cache.claim(A);
    assert.equal(claim?.role, 'leader', 'and can be stored anew');
    if (claim?.role === 'leader') await claim.abandon();
  });

  test('of any bytes whatever is a miss', async (t) => {
    const each = await prepared(t);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.json().map((json) => Buffer.from(json)),
      fc.constantFrom(
        ...['', '{}', '[]', 'null', '"', '{"format":1}', '{"format":2}'].map((text) => Buffer.from(text)),
      ),
    );
    await fc.assert(
      fc.asyncProperty(bytes, (any) => isMiss(each, any)),
      { numRuns: 60 },
    );
  });

  test('is found to be damaged by the scan of a start, told, and counted', async (t) => {
    const each = await prepared(t);
    const sound = each.sound(A);
    for (const length of [0, 1, 100, sound.byteLength - 1]) {
      each.restore();
      each.inflict(A, sound.subarray(0, length));
      const lines: string[] = [];
      const logger = { warn: (line: string) => lines.push(line), error: (line: string) => lines.push(line) };
      const cache = await each.disk.cache({ logger });
      const { corrupt, entries } = await cache.stats();
      assert.deepEqual([corrupt, entries], [1, 1], `${length} bytes`);
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? '', /its record is damaged .*\[corrupt-entry\]$/);
      await cache.close();
    }
  });
});
