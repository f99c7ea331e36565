import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ledger } from '../../lib/cache/ledger.ts';
import { Reservation } from '../../lib/cache/reservation.ts';
import { deferred } from '../support/deferred.ts';

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
    const ledger = new Ledger(100, async (name) => gone.push(name), { expendable });
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
