import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { WorkLock } from '../../lib/fs/lock.ts';
import { temporaryDirectory } from '../support/directory.ts';

describe('the lock for work that one of several has to do', () => {
  test('one holds it, the others are told so at once', async (t) => {
    const path = join(temporaryDirectory(t), 'work.lock');
    const [one, other] = [new WorkLock(path, true), new WorkLock(path, true)];
    const release = await one.take();
    assert.ok(release);
    assert.equal(await other.take(), undefined);
    assert.equal(await other.run(async () => assert.fail('it ran')), false);
    assert.equal(other.isTaken, true);
    await release();
    await release();
    assert.equal(other.isTaken, false);
    let runs = 0;
    assert.equal(await other.run(async () => runs++), true);
    assert.equal(runs, 1);
    assert.equal(existsSync(path), false);
  });

  test('work that fails lets go of it', async (t) => {
    const path = join(temporaryDirectory(t), 'work.lock');
    const lock = new WorkLock(path, true);
    await assert.rejects(
      lock.run(async () => {
        throw new Error('no');
      }),
      /^Error: no$/,
    );
    assert.equal(existsSync(path), false);
  });

  test('one that was left behind is nobody’s, once it has shown no life for five seconds', async (t) => {
    const path = join(temporaryDirectory(t), 'work.lock');
    mkdirSync(path);
    const lock = new WorkLock(path, true);
    assert.equal(await lock.take(), undefined, 'its owner may live');
    const before = new Date(Date.now() - 5_001);
    utimesSync(path, before, before);
    assert.equal(lock.isTaken, true);
    const release = await lock.take();
    assert.ok(release);
    await release();
  });

  test('where nothing can be locked, the work is done', async (t) => {
    const lock = new WorkLock(join(temporaryDirectory(t), 'no', 'such', 'work.lock'), true);
    let runs = 0;
    assert.equal(await lock.run(async () => runs++), true);
    assert.equal(runs, 1);
  });

  test('one that is taken away while it is held ends nothing', async (t) => {
    const path = join(temporaryDirectory(t), 'work.lock');
    const lock = new WorkLock(path, true);
    const release = await lock.take();
    rmdirSync(path);
    assert.ok(await lock.run(async () => undefined), 'somebody else had it meanwhile');
    await release?.();
    assert.equal(existsSync(path), false);
  });

  test('switched off, everybody does the work, and nothing is written', async (t) => {
    const path = join(temporaryDirectory(t), 'work.lock');
    const [one, other] = [new WorkLock(path, false), new WorkLock(path, false)];
    const release = await one.take();
    assert.ok(await other.run(async () => assert.equal(existsSync(path), false)));
    assert.equal(other.isTaken, false);
    await release?.();
  });

  test('no handler of signals comes with it', async (t) => {
    const lock = new WorkLock(join(temporaryDirectory(t), 'work.lock'), true);
    await lock.run(async () => assert.equal(statSync(join(temporaryDirectory(t))).isDirectory(), true));
    // The test runner of Node 24 has one of its own.
    const signals = process
      .eventNames()
      .filter((name) => String(name).startsWith('SIG') && name !== 'SIGUSR2');
    assert.deepEqual(signals, []);
  });
});
