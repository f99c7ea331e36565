/** One writer at a time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Locks } from '../../lib/storage/locks.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { barrier } from '../support/filtered.ts';
import { sha } from './backends.ts';

const WHAT = { what: 'it' };

describe('a lock', () => {
  test('is had by one at a time, in the order in which they came', async () => {
    const locks = new Locks(new MemoryBackend(), 1_000);
    const order: number[] = [];
    let inside = 0;
    await Promise.all(
      [1, 2, 3].map((n) =>
        locks.hold('a', WHAT, async () => {
          assert.equal(++inside, 1);
          order.push(n);
          await new Promise((resolve) => setImmediate(resolve));
          inside--;
        }),
      ),
    );
    assert.deepEqual(order, [1, 2, 3]);
  });

  test('of one path is none of another', async () => {
    const locks = new Locks(new MemoryBackend(), 1_000);
    await locks.hold('a', WHAT, () => locks.hold('b', WHAT, async () => undefined));
  });

  test('is let go by work that fails', async () => {
    const locks = new Locks(new MemoryBackend(), 1_000);
    await assert.rejects(
      locks.hold('a', WHAT, () => Promise.reject(new Error('failed'))),
      /failed/,
    );
    assert.equal(await locks.hold('a', WHAT, async () => 'had'), 'had');
  });

  test('is waited for only so long, and who gives up is not in the way', async () => {
    const locks = new Locks(new MemoryBackend(), 20);
    const done = barrier<void>();
    const alive = setInterval(() => undefined, 1_000);
    const first = locks.hold('a', WHAT, () => done.reached);
    const abort = new AbortController();
    const second = locks.hold('a', { what: 'it', signal: abort.signal }, async () => undefined);
    abort.abort(new Error('left'));
    await assert.rejects(second, /left/);
    await assert.rejects(
      locks.hold('a', WHAT, async () => undefined),
      { code: 'ERR_CACHE_FILTER_BUSY' },
    );
    const last = locks.hold('a', WHAT, async () => 'had');
    done.reach();
    await first;
    assert.equal(await last, 'had');
    clearInterval(alive);
  });

  test('says to who has it that somebody waits', async () => {
    const locks = new Locks(new MemoryBackend(), 1_000);
    const told = barrier<void>();
    const first = locks.hold('a', WHAT, async ({ wanted }) => {
      if (wanted.aborted) told.reach();
      wanted.addEventListener('abort', () => told.reach());
      await told.reached;
    });
    const others = [1, 2].map(() => locks.hold('a', WHAT, async ({ wanted }) => wanted.aborted));
    await first;
    assert.deepEqual(await Promise.all(others), [true, false]);
  });
});

test('a chunk whose connection is half open gives way to the one that goes on', async () => {
  const storage = new Storage(new MemoryBackend());
  const id = await storage.startUpload('ns');
  const sent = barrier<void>();
  const alive = setInterval(() => undefined, 1_000);
  const halfOpen = async function* () {
    yield Buffer.from('hello');
    sent.reach();
    await new Promise(() => undefined);
  };
  const first = storage.uploadChunk('ns', id, halfOpen());
  const cut = assert.rejects(first, { code: 'ERR_CACHE_FILTER_BUSY' });
  await sent.reached;
  assert.deepEqual(await storage.uploadChunk('ns', id, Buffer.from('!'), { offset: 5 }), {
    start: 5,
    end: 6,
  });
  await cut;
  await storage.storeUpload('ns', id, sha('hello!'));
  clearInterval(alive);
});
