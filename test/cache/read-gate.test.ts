import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ReadGate, threadPoolSize } from '../../lib/cache/read-gate.ts';
import { bytesOf, opened, put, Reading } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';

describe('the gate for reads', () => {
  test('lets as many in as it has places, the others in the order they came', () => {
    const gate = new ReadGate(2);
    const started: number[] = [];
    const starts = [0, 1, 2, 3, 4].map((i) => () => void started.push(i));
    for (const start of starts) gate.enter(start);
    assert.deepEqual(started, [0, 1]);
    gate.leave();
    assert.deepEqual(started, [0, 1, 2]);
    assert.equal(gate.cancel(starts[3] as () => void), true);
    assert.equal(gate.cancel(starts[2] as () => void), false, 'it is in already');
    gate.leave();
    assert.deepEqual(started, [0, 1, 2, 4]);
    gate.leave();
    gate.leave();
    for (const start of starts) gate.enter(start);
    assert.deepEqual(started, [0, 1, 2, 4, 0, 1], 'both places are free again');
  });

  test('the size of the thread pool is read as libuv reads it', () => {
    assert.equal(threadPoolSize(undefined), Number(process.env['UV_THREADPOOL_SIZE'] ?? 4));
    for (const [setting, size] of [
      ['1', 1],
      ['16', 16],
      ['0', 1],
      ['many', 1],
      ['-3', 1],
      ['100000', 1024],
    ] as const) {
      assert.equal(threadPoolSize(setting), size, setting);
    }
  });

  test('many readers at once all get their bytes, and those that leave while they wait take no place', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const bytes = bytesOf(3 * 2 ** 20);
    await put(cache, { primary: '/a' }, bytes);
    for (let round = 0; round < 3; round++) {
      const entries = await Promise.all(Array.from({ length: 24 }, () => opened(cache, { primary: '/a' })));
      await Promise.all(
        entries.map(async (entry, i) => {
          const stream = entry.read();
          if (i % 2 === 0) {
            assert.ok((await new Reading(stream).whole()).equals(bytes));
          } else {
            stream.read(0);
            stream.destroy();
          }
          entry.release();
        }),
      );
    }
    assert.ok((await Reading.of(await opened(cache, { primary: '/a' })).whole()).equals(bytes));
  });
});
