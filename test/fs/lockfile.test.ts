/** A lock is removed by its holder, and by one of those who find it stale: never by anybody else. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { takeLock } from '../../lib/fs/lockfile.ts';
import { temporaryDirectory } from '../support/directory.ts';

function age(path: string, ms: number): void {
  const at = new Date(Date.now() - ms);
  utimesSync(path, at, at);
}

describe('a lock', () => {
  test('whoever has lost it to another, and does not know, leaves it to him', async (t) => {
    const path = join(temporaryDirectory(t), 'lock');
    const release = await takeLock(path);
    rmdirSync(path);
    mkdirSync(path);
    age(path, -10_000);
    await release?.();
    assert.equal(existsSync(path), true);
  });

  test('whoever was stopped for long finds out whether another one has taken it', async (t) => {
    const path = join(temporaryDirectory(t), 'lock');
    const release = await takeLock(path);
    assert.equal(await release?.isHeld(), true);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 60_000 });
    assert.equal(await release?.isHeld(), true, 'nobody has come');
    rmdirSync(path);
    assert.equal(await release?.isHeld(), false, 'somebody had it');
    mkdirSync(path);
    age(path, 0);
    assert.equal(await release?.isHeld(), false, 'somebody has it');
    await release?.();
    assert.equal(existsSync(path), true);
  });

  test('of many who find it stale at the same moment, one takes it', async (t) => {
    const directory = temporaryDirectory(t);
    const path = join(directory, 'lock');
    for (let round = 0; round < 20; round++) {
      mkdirSync(path);
      age(path, 6_000);
      const taken = await Promise.all(Array.from({ length: 10 }, () => takeLock(path)));
      const had = taken.filter((release) => release !== undefined);
      assert.ok(had.length <= 1, `${had.length} have it, in round ${round}`);
      await had[0]?.();
      // Nobody took it where all came while one was looking.
      if (existsSync(path)) rmdirSync(path);
    }
    assert.deepEqual(readdirSync(directory), []);
  });

  test('one who died while he removed a stale lock keeps nobody from it for long', async (t) => {
    const path = join(temporaryDirectory(t), 'lock');
    for (const left of [path, `${path}.removing`]) {
      mkdirSync(left);
      age(left, 6_000);
    }
    assert.equal(await takeLock(path), undefined, 'at first what he left is removed');
    const release = await takeLock(path);
    assert.ok(release);
    await release();
    assert.equal(existsSync(`${path}.removing`), false);
  });

  test('where nothing can be locked, that is an error', async (t) => {
    await assert.rejects(takeLock(join(temporaryDirectory(t), 'no', 'such', 'lock')), { code: 'ENOENT' });
  });
});
