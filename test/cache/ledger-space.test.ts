import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ledger } from '../../lib/cache/ledger.ts';
import { Reservation } from '../../lib/cache/reservation.ts';

describe('free space', () => {
  /** A file system with so many bytes above its floor. */
  const disk = (free: number) => ({
    free,
    wrote(bytes: number) {
      this.free -= bytes;
    },
    async missing(bytes: number) {
      return bytes - this.free;
    },
  });

  test('the least recently used go until the floor holds, each only once', async () => {
    const removed: string[] = [];
    const space = disk(10);
    const ledger = new Ledger(1000, async (each) => removed.push(each), { space });
    for (const each of ['a', 'b', 'c', 'd']) ledger.add(each, 30);
    assert.equal(await ledger.reserve(10), true);
    assert.deepEqual(removed, [], 'it fits as it is');
    assert.equal(await ledger.reserve(25), true);
    assert.deepEqual(removed, ['a']);
    assert.equal(space.free, 40, 'what it was promised is not written yet');
    const answers = await Promise.all([ledger.reserve(10), ledger.reserve(10), ledger.reserve(10)]);
    assert.deepEqual(answers, [true, true, true]);
    assert.deepEqual(removed, ['a', 'b'], 'one for all three');
  });

  test('nothing goes in vain', async () => {
    const space = disk(-100);
    const ledger = new Ledger(1000, async () => assert.fail('it was removed'), { space });
    ledger.add('a', 60);
    ledger.add('b', 60);
    ledger.pin('b', true);
    assert.equal(await ledger.reserve(1), false);
    assert.equal(ledger.bytes, 120, 'nothing stays reserved');
    space.free = 1;
    assert.equal(await ledger.reserve(1), true);
  });

  test('a fill is promised its room; what it writes is not counted twice', async () => {
    const space = disk(100);
    const ledger = new Ledger(1000, async () => undefined, { space });
    const [one, two] = [new Reservation(ledger), new Reservation(ledger)];
    assert.equal(await one.reach(60), true);
    assert.equal(await two.reach(41), false, 'promised to the first');
    assert.equal(await one.write(50), true);
    assert.equal(space.free, 50);
    assert.equal(await two.reach(40), true);
    assert.equal(await two.reach(41), false);
    one.release();
    assert.equal(await two.reach(50), true, 'what the first has not written is free again');
    assert.equal(await two.write(30), true);
    two.release(35);
    assert.equal(space.free, 15, 'its record came to be there as well');
  });

  test('where somebody else fills the disk, a fill loses its store, and its promise goes to the others', async () => {
    const space = disk(100);
    const ledger = new Ledger(1000, async () => undefined, { space });
    const [one, two] = [new Reservation(ledger), new Reservation(ledger)];
    assert.equal(await one.reach(50), true);
    assert.equal(await two.reach(50), true);
    space.free = 50;
    assert.equal(await one.write(10), false);
    assert.equal(space.free, 50, 'it was not written');
    assert.equal(await two.write(50), true);
    one.release();
    two.release();
    assert.equal(await one.write(10), false, 'a reservation that is over takes nothing');
    assert.equal(await ledger.reserve(1), false);
    assert.equal(ledger.bytes, 0);
  });
});
