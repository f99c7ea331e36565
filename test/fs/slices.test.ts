import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Slices, sortInSlices } from '../../lib/fs/slices.ts';

/** Until it is time to pause. */
function work(slices: Slices): void {
  while (!slices.over);
}

describe('work in slices', () => {
  test('between two of them everybody else has a turn', async () => {
    const slices = new Slices();
    let [turns, fresh] = [0, 0];
    const count = () => {
      turns++;
      setImmediate(count).unref();
    };
    setImmediate(count).unref();
    for (let i = 0; i < 10; i++) {
      work(slices);
      await slices.next();
      // A busy machine may take the whole of a slice away.
      if (!slices.over) fresh++;
    }
    assert.ok(turns >= 9, `${turns} turns`);
    assert.ok(fresh > 0, 'another slice begins');
  });

  test('where others wait it gives way, but not for ever', async () => {
    let asked = 0;
    let waits = true;
    const slices = new Slices(() => {
      asked++;
      return waits;
    });
    await slices.next();
    assert.ok(asked > 1, 'they still wait');
    asked = 0;
    waits = false;
    await slices.next();
    assert.equal(asked, 1);
  });

  test('what is sorted in slices is what is sorted at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 5000 }), fc.integer(), async (length, seed) => {
        const items = Array.from({ length }, (_, i) => ({ i, key: ((i + 1) * 7919 * (seed | 1)) % 1000 }));
        const compare = (one: { key: number }, other: { key: number }) => one.key - other.key;
        assert.deepEqual(await sortInSlices(items, compare, new Slices()), [...items].sort(compare));
      }),
      { numRuns: 30 },
    );
  });
});
