import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Space } from '../../lib/fs/space.ts';
import { temporaryDirectory } from '../support/directory.ts';

const GIB = 2 ** 30;

/** A file system that says what it is told to say, and a clock that stands still. */
function measured(
  t: TestContext,
  minFreeBytes: number | undefined,
  disk: { blocks: number; bavail: number },
) {
  let now = 1_000_000;
  let asked = 0;
  t.mock.method(performance, 'now', () => now);
  const space = new Space('/cache', minFreeBytes, async (path) => {
    assert.equal(path, '/cache');
    asked++;
    return { bsize: 4096, ...disk };
  });
  return {
    space,
    asked: () => asked,
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe('free space', () => {
  test('what is missing is what would be left below the floor', async (t) => {
    const { space } = measured(t, 1000, { blocks: 100, bavail: 1 });
    assert.equal(await space.missing(0), 1000 - 4096);
    assert.equal(await space.missing(3096), 0);
    assert.equal(await space.missing(3097), 1);
  });

  test('unless said otherwise, 1 GiB is left, or 5 % where that is more', async (t) => {
    for (const [total, floor] of [
      [GIB, GIB],
      [20 * GIB, GIB],
      [40 * GIB, 2 * GIB],
    ] as const) {
      const { space } = measured(t, undefined, { blocks: total / 4096, bavail: 0 });
      assert.equal(await space.missing(0), floor, `of ${total / GIB} GiB`);
    }
  });

  test('0 is no floor, and the file system is not asked', async (t) => {
    const { space, asked } = measured(t, 0, { blocks: 100, bavail: 0 });
    assert.equal(await space.missing(Number.MAX_SAFE_INTEGER), 0);
    assert.equal(asked(), 0);
  });

  test('it is asked once a second; in between, what is written and removed is counted', async (t) => {
    const disk = { blocks: 100, bavail: 10 };
    const { space, asked, pass } = measured(t, 4096, disk);
    assert.deepEqual(await Promise.all([space.missing(0), space.missing(0)]), [-36_864, -36_864]);
    assert.equal(asked(), 1, 'once for both');
    disk.bavail = 5;
    pass(999);
    space.wrote(36_864);
    assert.equal(await space.missing(0), 0);
    space.wrote(-1000);
    assert.equal(await space.missing(0), -1000);
    assert.equal(asked(), 1);
    pass(1);
    assert.equal(await space.missing(0), -4 * 4096);
    assert.equal(asked(), 2);
  });

  test('where nothing can be learned, there is no floor', async (t) => {
    let faults = 0;
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const space = new Space('/cache', undefined, async () => {
      faults++;
      if (faults === 2) return { bsize: 4096, blocks: 100, bavail: 0 };
      throw new Error('ENOSYS');
    });
    const fits = async () => (await space.missing(GIB)) <= 0;
    assert.equal(await fits(), true);
    now += 1000;
    assert.equal(await fits(), false, 'it knows now');
    now += 1000;
    assert.equal(await fits(), true, 'and no longer');
    assert.equal(faults, 3);
  });

  test('a real file system can be asked', async (t) => {
    const directory = temporaryDirectory(t);
    assert.ok((await new Space(directory, 1).missing(0)) < 0, 'there is a byte');
    assert.ok((await new Space(directory, Number.MAX_SAFE_INTEGER).missing(0)) > 0, 'but not as many');
  });
});
