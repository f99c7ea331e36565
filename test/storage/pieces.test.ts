/** What comes in small pieces is stored in large ones. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Cut, gather } from '../../lib/storage/pieces.ts';
import { barrier } from '../support/filtered.ts';

const ALL = { limit: Number.MAX_SAFE_INTEGER, tooMuch: () => new Error('too much') };
const SMALL = 64 * 1024;

function options(more: object = {}) {
  return { ...ALL, signal: new AbortController().signal, ...more };
}

async function* counted(count: number, taken: { pieces: number }): AsyncGenerator<Uint8Array> {
  for (; taken.pieces < count; taken.pieces++) yield Buffer.alloc(SMALL, taken.pieces);
}

describe('gather', () => {
  test('puts pieces together while the ones before are being stored, and reads no further ahead than one of them', async () => {
    const taken = { pieces: 0 };
    const sizes: number[] = [];
    const cut: Cut = {};
    let most = 0;
    for await (const piece of gather(counted(200, taken), cut, options())) {
      sizes.push(piece.length);
      for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, taken.pieces * SMALL - sizes.reduce((a, b) => a + b));
    }
    assert.equal(
      sizes.reduce((a, b) => a + b),
      200 * SMALL,
    );
    assert.ok(sizes.length < 30, `${sizes.length} pieces`);
    assert.ok(most <= 2 ** 20 + SMALL, `${most} bytes ahead`);
    assert.equal(cut.error, undefined);
  });

  test('takes nothing of what is too much from the beginning', async () => {
    for (const limit of [0, -2]) {
      const cut: Cut = {};
      for await (const piece of gather(Buffer.from('hello'), cut, options({ limit })))
        assert.fail(`${piece} at a limit of ${limit}`);
      assert.match(String(cut.error), /too much/);
    }
  });

  test('gives what came before a failure, and says so', async () => {
    const cut: Cut = {};
    const failing = async function* () {
      yield Buffer.from('a');
      yield Buffer.from('b');
      throw new Error('gone');
    };
    let text = '';
    for await (const piece of gather(failing(), cut, options())) text += String(piece);
    assert.equal(text, 'ab');
    assert.match(String(cut.error), /gone/);
  });

  test('takes no more than the limit', async () => {
    const cut: Cut = {};
    let text = '';
    for await (const piece of gather(Buffer.from('hello'), cut, options({ limit: 4 }))) text += String(piece);
    assert.equal(text, 'hell');
    assert.match(String(cut.error), /too much/);
  });

  test('ends by its signal though nothing comes, and lets the source go', async () => {
    const cut: Cut = {};
    const abort = new AbortController();
    const waiting = barrier<void>();
    let returned = false;
    const source: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          waiting.reach();
          return new Promise(() => undefined);
        },
        return: async () => {
          returned = true;
          return { done: true, value: undefined };
        },
      }),
    };
    const pieces = gather(source, cut, options({ signal: abort.signal })).next();
    await waiting.reached;
    abort.abort(new Error('enough'));
    assert.equal((await pieces).done, true);
    assert.match(String(cut.error), /enough/);
    assert.ok(returned);
  });

  test('who leaves early lets the source go', async () => {
    const taken = { pieces: 0 };
    for await (const _ of gather(counted(1000, taken), {}, options())) break;
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(taken.pieces < 50);
  });
});
