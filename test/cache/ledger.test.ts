import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Ledger } from '../../lib/cache/ledger.ts';
import { deferred } from '../support/deferred.ts';

interface Modelled {
  name: string;
  bytes: number;
  held: number;
  pinned: boolean;
}

/** The same as the ledger, as plainly as can be: a list, least recently used first. */
class Model {
  entries: Modelled[] = [];
  reserved = 0;
  evicted: string[] = [];

  get bytes(): number {
    return this.entries.reduce((sum, { bytes }) => sum + bytes, this.reserved);
  }

  /** Of what can't go. */
  get fixed(): number {
    return this.entries.reduce((sum, { bytes, held, pinned }) => sum + (held > 0 || pinned ? bytes : 0), 0);
  }

  find(name: string): Modelled | undefined {
    return this.entries.find((entry) => entry.name === name);
  }

  drop(name: string): void {
    this.entries = this.entries.filter((entry) => entry.name !== name);
  }

  evict(toBytes: number): void {
    for (const entry of [...this.entries]) {
      if (this.bytes <= toBytes) return;
      if (entry.held > 0 || entry.pinned) continue;
      this.drop(entry.name);
      this.evicted.push(entry.name);
    }
  }
}

const MAX = 100;
const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const bytes = fc.integer({ min: 0, max: 60 });

const operation = fc.oneof(
  fc.record({ do: fc.constant('add' as const), name, bytes }),
  fc.record({ do: fc.constant('touch' as const), name }),
  fc.record({ do: fc.constant('drop' as const), name }),
  fc.record({ do: fc.constant('hold' as const), name }),
  fc.record({ do: fc.constant('pin' as const), name, on: fc.boolean() }),
  fc.record({ do: fc.constant('release' as const), pick: fc.nat() }),
  fc.record({ do: fc.constant('release again' as const), pick: fc.nat() }),
  fc.record({ do: fc.constant('reserve' as const), bytes }),
  fc.record({ do: fc.constant('evict' as const), bytes }),
  fc.record({ do: fc.constant('unreserve' as const), pick: fc.nat() }),
);

describe('ledger', () => {
  test('it agrees with a list that is searched from end to end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
        const model = new Model();
        const removed: string[] = [];
        const ledger = new Ledger(MAX, async (each) => removed.push(each));
        const holds: { entry: Modelled; release: () => void }[] = [];
        const released: (() => void)[] = [];
        const reservations: number[] = [];
        for (const each of operations) {
          if (each.do === 'add') {
            const pinned = model.find(each.name)?.pinned ?? false;
            model.drop(each.name);
            model.entries.push({ name: each.name, bytes: each.bytes, held: 0, pinned });
            ledger.add(each.name, each.bytes);
          } else if (each.do === 'touch') {
            const entry = model.find(each.name);
            if (entry !== undefined)
              model.entries = [...model.entries.filter((other) => other !== entry), entry];
            ledger.touch(each.name);
          } else if (each.do === 'drop') {
            model.drop(each.name);
            ledger.drop(each.name);
          } else if (each.do === 'hold') {
            const entry = model.find(each.name) ?? { name: each.name, bytes: 0, held: 0, pinned: false };
            entry.held++;
            holds.push({ entry, release: ledger.hold(each.name) });
          } else if (each.do === 'pin') {
            const entry = model.find(each.name);
            if (entry !== undefined) entry.pinned = each.on;
            ledger.pin(each.name, each.on);
          } else if (each.do === 'release') {
            const [hold] = holds.splice(each.pick % Math.max(1, holds.length), 1);
            if (hold === undefined) continue;
            hold.entry.held--;
            hold.release();
            released.push(hold.release);
          } else if (each.do === 'release again') {
            released[each.pick % Math.max(1, released.length)]?.();
          } else if (each.do === 'reserve') {
            const fits = each.bytes <= MAX - model.reserved - model.fixed;
            if (fits) {
              model.reserved += each.bytes;
              model.evict(MAX);
              reservations.push(each.bytes);
            }
            assert.equal(await ledger.reserve(each.bytes), fits, `reserve ${each.bytes}`);
          } else if (each.do === 'unreserve') {
            const [back = 0] = reservations.splice(each.pick % Math.max(1, reservations.length), 1);
            model.reserved -= back;
            ledger.unreserve(back);
          } else {
            const before = { entries: model.entries.length, bytes: model.bytes };
            model.evict(each.bytes);
            const expected = {
              entries: before.entries - model.entries.length,
              bytes: before.bytes - model.bytes,
            };
            assert.deepEqual(await ledger.evict(each.bytes), expected, `evict to ${each.bytes}`);
          }
          assert.equal(ledger.bytes, model.bytes, `bytes after ${JSON.stringify(each)}`);
          assert.equal(ledger.entries, model.entries.length, `entries after ${JSON.stringify(each)}`);
          assert.deepEqual(removed, model.evicted, `evicted after ${JSON.stringify(each)}`);
          assert.equal(ledger.evictions, removed.length);
        }
        for (const { name: each } of model.entries) assert.ok(ledger.has(each));
        const pins = model.entries.filter(({ pinned }) => pinned).map(({ name: each }) => each);
        assert.deepEqual(ledger.pins().sort(), pins.sort());
        assert.equal(ledger.pinned, pins.length);
      }),
      { numRuns: 500 },
    );
  });

  test('entries that it is told of later, but that were used before, go first, in their order', async () => {
    const removed: string[] = [];
    const ledger = new Ledger(100, async (each) => removed.push(each));
    ledger.add('used last', 10);
    ledger.add('used just now', 10);
    await ledger.addOlder([
      { name: 'oldest', bytes: 10 },
      { name: 'used just now', bytes: 99 },
      { name: 'older', bytes: 10 },
    ]);
    assert.equal(ledger.bytes, 40, 'what it knew already it knows better');
    await ledger.evict(0);
    assert.deepEqual(removed, ['oldest', 'older', 'used last', 'used just now']);
  });

  test('bytes count until the files have gone, and whoever needs the room waits for that', async () => {
    const { promise: gone, resolve: finish } = deferred();
    const ledger = new Ledger(100, () => gone);
    ledger.add('a', 80);
    const order: string[] = [];
    const reserved = ledger.reserve(50).then((fits) => order.push(`reserved: ${fits}`));
    const left = ledger.left('a').then(() => order.push('left'));
    assert.equal(ledger.has('a'), false);
    assert.equal(ledger.bytes, 130, 'on disk as yet, and promised');
    order.push('gone');
    finish();
    await Promise.all([reserved, left]);
    assert.equal(order[0], 'gone');
    assert.deepEqual(order.slice(1).sort(), ['left', 'reserved: true']);
    assert.equal(ledger.bytes, 50);
  });

  test('where files can not be removed, the account goes on without them', async () => {
    let faults = 0;
    const ledger = new Ledger(100, async () => {
      faults++;
      throw new Error('no permission');
    });
    ledger.add('a', 80);
    assert.equal(await ledger.reserve(50), true);
    assert.equal(faults, 1);
    assert.equal(ledger.bytes, 50);
  });

  test('what turns out to be pinned stays, and others go in its place', async () => {
    const removed: string[] = [];
    const ledger = new Ledger(100, async (each) => {
      if (each === 'pinned elsewhere') return 'pinned';
      return removed.push(each);
    });
    for (const each of ['pinned elsewhere', 'b', 'c']) ledger.add(each, 30, each);
    assert.equal(await ledger.reserve(35), true);
    assert.deepEqual(removed, ['b']);
    assert.equal(ledger.bodyOf('pinned elsewhere'), 'pinned elsewhere');
    assert.deepEqual([ledger.pinned, ledger.evictions, ledger.bytes], [1, 1, 95]);
    assert.equal(await ledger.reserve(36), false, 'it takes its room');
    assert.deepEqual(await ledger.evict(0), { entries: 1, bytes: 30 });
    assert.deepEqual(removed, ['b', 'c']);
  });

  test('what is neither entry nor fill takes its room as well', async () => {
    const removed: string[] = [];
    const ledger = new Ledger(100, async (each) => removed.push(each));
    ledger.charge('queue', 99);
    ledger.charge('queue', 30);
    ledger.add('a', 60);
    assert.equal(ledger.bytes, 90, 'the last figure counts');
    assert.equal(await ledger.reserve(71), false);
    assert.deepEqual(removed, []);
    assert.equal(await ledger.reserve(70), true);
    assert.deepEqual(removed, ['a']);
  });

  test('what has not been used goes, least recently used first, up to the first that was', async () => {
    const gone: string[] = [];
    const ledger = new Ledger(100, async (each, { why, bytes }) => gone.push(`${why} ${each} ${bytes}`));
    await ledger.addOlder(
      [1, 2, 3, 4, 5].map((usedAt) => ({ name: `${usedAt}`, bytes: usedAt, usedAt, pinned: usedAt === 3 })),
    );
    const release = ledger.hold('2');
    const asked: string[] = [];
    const elsewhere = async (each: string) => {
      asked.push(each);
      return each === '4' ? 7 : undefined;
    };
    assert.deepEqual(await ledger.expire(6, elsewhere), { entries: 2, bytes: 6 });
    assert.deepEqual(gone, ['expire 1 1', 'expire 5 5']);
    assert.deepEqual(asked, ['1', '4', '5'], 'what can not go is not asked for');
    assert.equal(ledger.usedAt('4'), 7, 'used by somebody else');
    release();
    asked.length = 0;
    await ledger.expire(6, elsewhere);
    assert.deepEqual(asked, ['2'], 'it stops at the first that was used since');
    assert.deepEqual([ledger.expired, ledger.evictions, ledger.bytes], [3, 0, 7]);
  });

  test('what is used, held or pinned while it is asked for elsewhere stays', async () => {
    for (const rescue of [
      (ledger: Ledger) => ledger.touch('a', 9),
      (ledger: Ledger) => ledger.hold('a'),
      (ledger: Ledger) => ledger.pin('a', true),
    ]) {
      const ledger = new Ledger(100, async () => assert.fail('it was removed'));
      ledger.add('a', 10, '', { usedAt: 1 });
      let asked = 0;
      const removed = await ledger.expire(5, async () => {
        asked++;
        rescue(ledger);
        return undefined;
      });
      assert.deepEqual(removed, { entries: 0, bytes: 0 });
      assert.equal(asked, 1);
    }
  });

  test('holding what is not there holds nothing', async () => {
    const ledger = new Ledger(100, async () => undefined);
    const release = ledger.hold('a');
    ledger.add('a', 100);
    assert.deepEqual(await ledger.evict(0), { entries: 1, bytes: 100 });
    release();
    assert.equal(ledger.bytes, 0);
  });
});
