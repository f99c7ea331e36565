/** Where no thread can be started, everything works as well, only slower. */
import assert from 'node:assert/strict';
import { syncBuiltinESMExports } from 'node:module';
import { describe, test } from 'node:test';
import workerThreads from 'node:worker_threads';
import { bytesOf, hashOf, put, settled, start, stored, write } from '../../../lib/contracts/cache/steps.ts';
import { Disk } from '../disk.ts';

const KEY = { primary: '/a' };

let faults = 0;
workerThreads.Worker = class {
  constructor() {
    faults++;
    throw Object.assign(new Error('Access to this API has been restricted'), { code: 'ERR_ACCESS_DENIED' });
  }
} as unknown as typeof workerThreads.Worker;
syncBuiltinESMExports();

describe('without a verification thread', () => {
  test('a large body is verified and stored', async (t) => {
    const cache = await new Disk(t).cache();
    const bytes = bytesOf(8 * 2 ** 20);
    const { digests } = await put(cache, KEY, bytes, { algorithms: ['md5'] });
    assert.ok(faults > 0, 'the fault');
    assert.deepEqual(
      digests.map(({ hex }) => hex),
      [hashOf('sha256', bytes), hashOf('md5', bytes)],
    );
    assert.ok((await stored(cache, KEY))?.equals(bytes));
  });

  test('a wrong digest is found', async (t) => {
    const cache = await new Disk(t).cache();
    const before = faults;
    const fill = await start(cache, KEY);
    await write(fill, bytesOf(2 ** 20));
    const digests = [{ algorithm: 'sha256', hex: hashOf('sha256', bytesOf(1)) } as const];
    await assert.rejects(settled(fill.commit({ digests }), 'commit'), { code: 'ERR_CACHE_FILTER_INTEGRITY' });
    assert.ok(faults > before, 'the fault');
  });

  test('a body that outgrows the budget is verified to its end', async (t) => {
    const cache = await new Disk(t).cache({ maxBytes: 4 * 2 ** 20, maxEntryBytes: 2 ** 20 });
    const bytes = bytesOf(8 * 2 ** 20);
    for (const of of [bytes, bytesOf(1)]) {
      const fill = await start(cache, KEY);
      for (let at = 0; at < bytes.byteLength; at += 65_536)
        await write(fill, bytes.subarray(at, at + 65_536));
      const digests = [{ algorithm: 'sha256', hex: hashOf('sha256', of) } as const];
      const code = of === bytes ? 'ERR_CACHE_FILTER_STORE' : 'ERR_CACHE_FILTER_INTEGRITY';
      await assert.rejects(settled(fill.commit({ digests }), 'commit'), { code });
    }
  });
});
