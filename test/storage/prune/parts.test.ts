/** What prune decides with, by itself. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BackendError } from '../../../lib/errors.ts';
import { Slices } from '../../../lib/fs/slices.ts';
import { getEither, putBack, removeEither, takeBack } from '../../../lib/storage/aside.ts';
import type { StorageBackend } from '../../../lib/storage/backends/backend.ts';
import { MemoryBackend } from '../../../lib/storage/backends/memory.ts';
import { Locks } from '../../../lib/storage/locks.ts';
import { digestsIn } from '../../../lib/storage/prune/mark.ts';
import { levels } from '../../../lib/storage/prune/order.ts';
import { expiredTags } from '../../../lib/storage/prune/retention.ts';
import { deferred } from '../../support/deferred.ts';
import { sha } from '../backends.ts';

describe('tags that go', () => {
  const tags = [
    { name: 'a', modifiedAt: 10, usedAt: 95 },
    { name: 'b', modifiedAt: 20 },
    { name: 'c', modifiedAt: 30 },
    { name: 'd', modifiedAt: 30, usedAt: 40 },
  ];
  const expired = async (limits: object) =>
    [...(await expiredTags(tags, limits, new Slices()))].sort().join('');

  test('are those that no rule keeps; without a limit of age or number there are none', async () => {
    assert.equal(await expired({}), '');
    assert.equal(await expired({ used: 90 }), '');
    assert.equal(await expired({ manifest: 30 }), 'ab');
    assert.equal(await expired({ manifest: 31 }), 'abcd');
    assert.equal(await expired({ keepTags: 1 }), 'abd');
    assert.equal(await expired({ keepTags: 9 }), '');
    assert.equal(await expired({ keepTags: 2, used: 90 }), 'b');
    assert.equal(await expired({ keepTags: 3, manifest: 100 }), 'a');
    assert.equal(await expired({ keepTags: 1, manifest: 20 }), 'a');
  });
});

describe('levels of a graph', () => {
  test('each node is in one of them, after all that lead to it', async () => {
    const edges = fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(edges, async (pairs) => {
        const graph = new Map(Array.from({ length: 21 }, (_, n) => [`${n}`, [] as string[]]));
        for (const [a, b] of pairs) if (a < b) graph.get(`${a}`)?.push(`${b}`, 'elsewhere');
        const found = await levels(graph, new Slices());
        assert.deepEqual(found.flat().sort(), [...graph.keys()].sort());
        const depth = (node: string) => found.findIndex((level) => level.includes(node));
        for (const [a, b] of pairs) if (a < b) assert.ok(depth(`${a}`) < depth(`${b}`), `${a} before ${b}`);
      }),
    );
  });

  test('circles end, and depth is no matter', async () => {
    const circle = await levels(
      new Map([
        ['a', ['b']],
        ['b', ['a', 'b']],
      ]),
      new Slices(),
    );
    assert.deepEqual(circle.flat().sort(), ['a', 'b']);
    const chain = new Map(Array.from({ length: 50_000 }, (_, n) => [`${n}`, [`${n + 1}`]]));
    assert.equal((await levels(chain, new Slices())).length, 50_000);
  });
});

describe('what has been moved aside', () => {
  const PLACE = { path: 'place', aside: 'aside' };

  test('comes back once; who comes too late is told whether it is there', async () => {
    const backend = new MemoryBackend();
    assert.equal(await takeBack(backend, PLACE), false);
    await backend.put('aside', Buffer.from('x'));
    assert.equal(await takeBack(backend, PLACE), true);
    assert.equal(await backend.size('place'), 1);
    const size = backend.size.bind(backend);
    backend.size = async (path) => (path === 'aside' ? 1 : size(path));
    assert.equal(await takeBack(backend, PLACE), true);
    await backend.delete('place');
    assert.equal(await takeBack(backend, PLACE), false);
    backend.move = async () => {
      throw new BackendError('the disk is gone');
    };
    await assert.rejects(takeBack(backend, PLACE), /the disk is gone/);
  });

  test('and is put back at that very moment is there, read and removed', async () => {
    const x = Buffer.from('x');
    for (const act of [takeBack, getEither, removeEither]) {
      const backend = new MemoryBackend();
      const racing = new Proxy(backend, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name);
          return async (path: string, ...more: unknown[]) => {
            const result: unknown = await (value as (...args: unknown[]) => unknown).call(
              target,
              path,
              ...more,
            );
            // Between the look at its own place and the one aside, or right before both.
            if (path === PLACE.path && result !== true) await backend.put('place', x);
            return result;
          };
        },
      });
      if (act === takeBack) await backend.put('place', x);
      assert.ok(await act(racing, PLACE), act.name);
    }
  });

  test('stays away where something has come in its place', async () => {
    const backend = new MemoryBackend();
    await backend.put('aside', Buffer.from('old'));
    await backend.put('place', Buffer.from('new'));
    await putBack(backend, PLACE);
    assert.equal(String(await backend.get('place')), 'new');
    assert.equal(await backend.size('aside'), undefined);
  });
});

test('of a text everything that could be a digest is found, once', () => {
  const [a, b] = [sha('a'), sha('b', 'sha512')];
  assert.deepEqual(digestsIn(Buffer.from(`${a},${b} ${a}\xff sha256:12`)), [a, b]);
  assert.deepEqual(digestsIn(Buffer.from('nothing')), []);
});

describe('a lock that is tried', () => {
  test('is not waited for, and who has it is not disturbed', async () => {
    const locks = new Locks(new MemoryBackend(), 10_000);
    const [held, over] = [deferred(), deferred()];
    let isWanted = false;
    const holder = locks.hold('path', { what: 'it' }, async ({ wanted }) => {
      held.resolve();
      await over.promise;
      isWanted = wanted.aborted;
    });
    await held.promise;
    assert.equal(await locks.tryHold('path', () => assert.fail('somebody has it')), false);
    assert.equal(await locks.tryHold('other', async () => undefined), true);
    over.resolve();
    await holder;
    assert.equal(isWanted, false);
    let isDone = false;
    assert.equal(
      await locks.tryHold('path', async () => {
        isDone = true;
      }),
      true,
    );
    assert.ok(isDone);
    await assert.rejects(
      locks.tryHold('path', async () => {
        throw new Error('it failed');
      }),
      /it failed/,
    );
    await locks.hold('path', { what: 'it' }, async () => undefined);
  });

  test('another process has it', async () => {
    const backend: StorageBackend = new MemoryBackend();
    backend.lock = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
        // The signal itself keeps no process alive.
        setTimeout(() => undefined, 1_000);
      });
    const locks = new Locks(backend, 10_000);
    assert.equal(await locks.tryHold('path', () => assert.fail('somebody has it')), false);
  });
});
