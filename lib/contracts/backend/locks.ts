import { listed, pause, settled } from './steps.ts';
import type { BackendSuite } from './suite.ts';

/** Who holds a lock is alone. */
export function locks(suite: BackendSuite): void {
  const { assert } = suite;
  const state: BackendSuite['state'] = (statement, check) => suite.state(statement, check, 'lock');

  state('a lock is had by one, and by the next when that lets go', async (_, { lock, other }) => {
    const release = await lock('a/b');
    let has = false;
    const next = other.lock?.('a/b').then((releaseNext) => {
      has = true;
      return releaseNext;
    });
    await pause(300);
    assert.equal(has, false, 'while it is held');
    await release();
    await (await settled(next ?? Promise.reject(new Error('no lock')), 'the next lock'))();
    await (await settled(lock('a/b'), 'the third lock'))();
  });

  state(
    'locks of different paths do not exclude each other, nor do they objects',
    async (backend, { lock }) => {
      const paths = ['a', 'a/b', 'a/b/c', 'b', 'A:@ x'];
      const releases = await Promise.all(paths.map((path) => settled(lock(path), path)));
      await backend.put('a/b/c', Buffer.from('c'));
      await backend.move('a/b/c', 'd');
      assert.deepEqual(
        (await listed(backend)).filter((name) => name !== 'a/'),
        ['d 1'],
      );
      for (const release of releases) await release();
      assert.deepEqual(
        (await listed(backend)).filter((name) => name !== 'a/'),
        ['d 1'],
      );
    },
  );

  state('whoever waits gives up by his signal, and rejects with its reason', async (_, { lock, other }) => {
    const release = await lock('a');
    const reason = new Error('no patience');
    const waiting = new AbortController();
    const outcome = other.lock?.('a', waiting.signal).catch((error: unknown) => error);
    await pause(100);
    waiting.abort(reason);
    assert.ok((await settled(Promise.resolve(outcome), 'giving up')) === reason, 'while waiting');
    const before = await lock('a', AbortSignal.abort(reason)).catch((error: unknown) => error);
    assert.ok(before === reason, 'before waiting');
    await release();
    await (await settled(lock('a', new AbortController().signal), 'the next lock'))();
  });

  state('while it is had, it says so, where it can say', async (_, { lock }) => {
    const release = await lock('a');
    assert.ok((await release.isHeld?.()) !== false);
    await release();
  });

  state('letting go again takes nothing from the next', async (_, { lock, other }) => {
    const release = await lock('a');
    await release();
    const releaseNext = await lock('a');
    await release();
    const outcome = await other.lock?.('a', AbortSignal.timeout(300)).catch(() => 'given up');
    assert.equal(outcome, 'given up');
    await releaseNext();
  });

  state('of many who want it, one has it at a time, and each has it once', async (_, { lock, other }) => {
    let [holders, most, turns] = [0, 0, 0];
    const turn = async (take: typeof lock): Promise<void> => {
      const release = await settled(take('a'), 'lock');
      most = Math.max(most, ++holders);
      await pause(5);
      holders--;
      turns++;
      await release();
    };
    const otherLock = other.lock?.bind(other) ?? lock;
    await Promise.all(Array.from({ length: 12 }, (_, i) => turn(i % 2 === 0 ? lock : otherLock)));
    assert.deepEqual({ most, turns }, { most: 1, turns: 12 });
  });
}
