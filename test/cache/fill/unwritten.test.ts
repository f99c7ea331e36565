import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Unwritten } from '../../../lib/cache/fill/unwritten.ts';

const KIB = 1024;

/** One that has had its first write. */
function begun(t: TestContext): Unwritten {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const unwritten = new Unwritten();
  unwritten.push(Buffer.alloc(1));
  unwritten.written([Buffer.alloc(1)]);
  return unwritten;
}

/** Whether it has settled by the next turn. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const turn = new Promise((resolve) => setImmediate(resolve, 'not yet'));
  return (await Promise.race([promise, turn])) !== 'not yet';
}

describe('what is still to be written', () => {
  test('the first piece does not wait', async () => {
    const unwritten = new Unwritten();
    unwritten.push(Buffer.alloc(10));
    assert.deepEqual(
      (await unwritten.next()).map(({ length }) => length),
      [10],
    );
  });

  test('small pieces wait for each other', async (t) => {
    const unwritten = begun(t);
    unwritten.push(Buffer.alloc(64 * KIB));
    const next = unwritten.next();
    for (let i = 0; i < 2; i++) {
      unwritten.push(Buffer.alloc(64 * KIB));
      assert.equal(await isSettled(next), false, `${(i + 2) * 64} KiB`);
    }
    unwritten.push(Buffer.alloc(64 * KIB));
    assert.equal((await next).length, 4);
  });

  test('but not for long', async (t) => {
    const unwritten = begun(t);
    unwritten.push(Buffer.alloc(10));
    const next = unwritten.next();
    assert.equal(await isSettled(next), false);
    t.mock.timers.tick(5);
    assert.equal((await next).length, 1);
  });

  test('nor where somebody waits for them, until all of them are written', async (t) => {
    const unwritten = begun(t);
    unwritten.push(Buffer.alloc(10));
    const next = unwritten.next();
    unwritten.hurry();
    const pieces = await next;
    assert.equal(pieces.length, 1);
    unwritten.push(Buffer.alloc(20));
    unwritten.written(pieces);
    const rest = await unwritten.next();
    assert.deepEqual(
      rest.map(({ length }) => length),
      [20],
    );
    unwritten.written(rest);
    assert.ok(unwritten.isEmpty);
    unwritten.push(Buffer.alloc(30));
    assert.equal(await isSettled(unwritten.next()), false);
  });

  test('what is dropped is waited for no longer', async (t) => {
    const unwritten = begun(t);
    unwritten.push(Buffer.alloc(10));
    const next = unwritten.next();
    assert.equal(unwritten.drop().length, 1);
    assert.deepEqual(await next, []);
    assert.ok(unwritten.isEmpty);
  });
});
