/** A process that has its hands full still lives: nobody removes what it writes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf, hashOf } from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/a' };

/** More than a claim may be silent for. */
const BUSY_MS = 7_000;

describe('a process under load', () => {
  test('keeps what it writes, whoever clears up meanwhile', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    await child.tell('start', KEY, {});
    await child.tell('write', 2 ** 20, 7);
    const cache = await disk.cache();
    const busy = child.tell('toil', BUSY_MS);
    let over = false;
    void busy.finally(() => {
      over = true;
    });
    let sweeps = 0;
    while (!over) {
      assert.deepEqual(await cache.clean({ stalledMs: 0 }), { entries: 0, bytes: 0 }, `sweep ${sweeps}`);
      assert.equal(disk.incomplete().length, 2);
      const another = await disk.cache();
      assert.equal(disk.incomplete().length, 2, 'after a start');
      await another.close();
      sweeps++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { blocks, jobs } = await busy;
    assert.ok(blocks > 0 && jobs > 0, 'its loop and its thread pool were held up');
    assert.ok(sweeps > 0);
    assert.equal(await child.tell('commit'), 'committed');
    assert.equal(await child.tell('stored', KEY), hashOf('sha256', bytesOf(2 ** 20, 7)));
  });
});
