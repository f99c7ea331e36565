import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Ledger } from '../../lib/cache/ledger.ts';
import { Reservation } from '../../lib/cache/reservation.ts';
import { deferred } from '../support/deferred.ts';

interface Modelled {
  name: string;
  bytes: number;
  held: number;
}

/** The same as the ledger, as plainly as can be: a list, least recently used first. */
class Model {
  entries: Modelled[] = [];
  reserved = 0;
  evicted: string[] = [];

  get bytes(): number {
    return this.entries.reduce((sum, { bytes }) => sum + bytes, this.reserved);
  }

  get held(): number {
    return this.entries.reduce((sum, { bytes, held }) => sum + (held > 0 ? bytes : 0), 0);
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
      if (entry.held > 0) continue;
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
            model.drop(each.name);
            model.entries.push({ name: each.name, bytes: each.bytes, held: 0 });
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
            const entry = model.find(each.name) ?? { name: each.name, bytes: 0, held: 0 };
            entry.held++;
            holds.push({ entry, release: ledger.hold(each.name) });
          } else if (each.do === 'release') {
            const [hold] = holds.splice(each.pick % Math.max(1, holds.length), 1);
            if (hold === undefined) continue;
            hold.entry.held--;
            hold.release();
            released.push(hold.release);
          } else if (each.do === 'release again') {
            released[each.pick % Math.max(1, released.length)]?.();
          } else if (each.do === 'reserve') {
            const fits = each.bytes <= MAX - model.reserved - model.held;
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
      }),
      { numRuns: 500 },
    );
  });

  test('entries that it is told of later, but that were used before, go first, in their order', async () => {
    const removed: string[] = [];
    const ledger = new Ledger(100, async (each) => removed.push(each));
    ledger.add('used last', 10);
    ledger.add('used just now', 10);
    ledger.addOlder([
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

  test('holding what is not there holds nothing', async () => {
    const ledger = new Ledger(100, async () => undefined);
    const release = ledger.hold('a');
    ledger.add('a', 100);
    assert.deepEqual(await ledger.evict(0), { entries: 1, bytes: 100 });
    release();
    assert.equal(ledger.bytes, 0);
  });
});

describe('reservation', () => {
  test('it asks for what is missing, and for more where there is room', async () => {
    const ledger = new Ledger(100, async () => undefined);
    const reservation = new Reservation(ledger);
    assert.equal(await reservation.reach(10, 40), true);
    assert.equal(ledger.bytes, 40, 'in advance');
    assert.equal(await reservation.reach(40, 40), true);
    assert.equal(ledger.bytes, 40, 'already there');
    assert.equal(await reservation.reach(70, 90), true);
    assert.equal(ledger.bytes, 70, 'no room for more than is needed');
    assert.equal(await reservation.reach(101), false);
    assert.equal(ledger.bytes, 70, 'what it has it keeps');
    reservation.release();
    reservation.release();
    assert.equal(ledger.bytes, 0);
  });

  test('room that comes after the fill has ended is given back', async () => {
    const { promise: gone, resolve: finish } = deferred();
    const ledger = new Ledger(100, () => gone);
    ledger.add('a', 80);
    const reservation = new Reservation(ledger);
    const reached = reservation.reach(50);
    reservation.release();
    finish();
    assert.equal(await reached, false);
    assert.equal(ledger.bytes, 0);
  });

  test('what is expendable is charged, and goes before any entry; it is waited for', async () => {
    const gone: string[] = [];
    const disk = deferred();
    const expendable = {
      bytes: 30,
      free(bytes: number) {
        const freed = Math.min(this.bytes, bytes);
        this.bytes -= freed;
        gone.push(`${freed} expendable`);
        return { bytes: freed, gone: disk.promise };
      },
    };
    const ledger = new Ledger(100, async (name) => gone.push(name), expendable);
    ledger.add('a', 40);
    ledger.add('b', 30);
    assert.equal(ledger.bytes, 100);
    let reserved: boolean | undefined;
    const reserving = ledger.reserve(20).then((room) => {
      reserved = room;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([reserved, ledger.bytes], [undefined, 120], 'until it has left the disk');
    disk.resolve();
    await reserving;
    assert.deepEqual([reserved, ledger.bytes, gone.splice(0)], [true, 100, ['20 expendable']]);
    assert.equal(await ledger.reserve(30), true);
    assert.deepEqual(gone.splice(0), ['10 expendable', 'a']);
    assert.deepEqual([ledger.evictions, ledger.entries, ledger.bytes], [1, 1, 80]);
    assert.deepEqual(await ledger.evict(50), { entries: 1, bytes: 30 });
  });
});
