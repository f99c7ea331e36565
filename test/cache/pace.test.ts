import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Pace } from '../../lib/cache/pace.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a pace', () => {
  test('without a limit nothing waits', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    const pace = new Pace({});
    for (let i = 0; i < 1000; i++) await pace.spend(2 ** 30);
  });

  test('so many bytes a second, the first ones at once', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    const pace = new Pace({ maxBytesPerSecond: 1000 });
    await pace.spend(500);
    let done = 0;
    const rest = (async () => {
      for (const bytes of [1000, 1, 0]) {
        await pace.spend(bytes);
        done++;
      }
    })();
    for (const [ms, expected] of [
      [499, 0],
      [1, 1],
      [999, 1],
      [1, 2],
      [1, 3],
    ] as const) {
      t.mock.timers.tick(ms);
      await turn();
      assert.equal(done, expected);
    }
    await rest;
  });

  test('time in which nothing was wanted is not saved up', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    const pace = new Pace({ maxBytesPerSecond: 1000 });
    await pace.spend(1000);
    t.mock.timers.tick(60_000);
    await pace.spend(1000);
    let done = false;
    const second = pace.spend(1000).then(() => {
      done = true;
    });
    t.mock.timers.tick(999);
    await turn();
    assert.equal(done, false);
    t.mock.timers.tick(1);
    await second;
  });

  test('either signal ends the wait with its reason, and leaves no timer', async () => {
    const [one, other] = [new AbortController(), new AbortController()];
    for (const controller of [one, other]) {
      const pace = new Pace({ maxBytesPerSecond: 1, signal: one.signal }).until(other.signal);
      if (controller === other) break;
      await pace.spend(1_000_000);
      const waiting = pace.spend(1);
      const reason = new Error('enough');
      other.abort(reason);
      await assert.rejects(waiting, reason);
      await assert.rejects(pace.spend(0), reason);
      await assert.rejects(pace.done(new Promise(() => undefined)), reason);
    }
    // A timer that was left would keep this process alive for days: the run would not end.
    assert.deepEqual(
      process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout'),
      [],
    );
  });
});
