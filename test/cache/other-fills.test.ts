import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { encodeClaim } from '../../lib/cache/fill/claim-text.ts';
import { OtherFills } from '../../lib/cache/other-fills.ts';
import { Disk } from './disk.ts';

const FILLS = ['0123456789abcdef', 'fedcba9876543210', '00112233445566aa'] as const;
const LOST_MS = 60_000;
const NOBODY: ReadonlySet<string> = new Set();

function made(t: TestContext) {
  const { layout } = new Disk(t);
  mkdirSync(layout.incomplete, { recursive: true });
  const name = layout.name('/a', undefined);
  const claim = (fill: string, more: { reserved?: number }) => {
    const text = { key: { primary: '/a' }, owner: { host: 'here', pid: 1 }, since: 1, ...more };
    writeFileSync(layout.claim(name, fill), encodeClaim(text));
  };
  return { layout, name, claim, others: new OtherFills(layout) };
}

describe('what other processes write', () => {
  test('takes what it has announced, or what is there of it where that is more', (t) => {
    const { layout, name, claim, others } = made(t);
    claim(FILLS[0], { reserved: 1_000_000 });
    claim(FILLS[1], { reserved: 4096 });
    writeFileSync(layout.incompleteBody(name, FILLS[1]), Buffer.alloc(10_000));
    assert.deepEqual(others.look(NOBODY, LOST_MS), []);
    assert.equal(others.bytes, 1_000_000 + 4 * 4096);
    assert.deepEqual([others.some, others.lost], [true, false]);
  });

  test('is not what this process writes', (t) => {
    const { claim, others } = made(t);
    claim(FILLS[0], { reserved: 1_000_000 });
    others.look(new Set([FILLS[0]]), LOST_MS);
    assert.deepEqual([others.bytes, others.some], [0, false]);
  });

  test('is not what turns out to be of this process: it is not over then', (t) => {
    const { claim, others } = made(t);
    claim(FILLS[0], {});
    others.look(NOBODY, LOST_MS);
    assert.equal(others.some, false, 'it has announced nothing');
    assert.deepEqual(others.look(new Set([FILLS[0]]), LOST_MS), []);
    assert.equal(others.bytes, 0);
  });

  test('says what it said while its claim is written anew', (t) => {
    const { claim, layout, name, others } = made(t);
    claim(FILLS[0], { reserved: 1_000_000 });
    others.look(NOBODY, LOST_MS);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 1_500 });
    writeFileSync(layout.claim(name, FILLS[0]), '');
    others.look(NOBODY, LOST_MS);
    assert.equal(others.bytes, 1_000_000);
    claim(FILLS[0], { reserved: 2_000_000 });
    others.look(NOBODY, LOST_MS);
    assert.equal(others.bytes, 2_000_000);
  });

  test('that is over counts until it is known what became of it', (t) => {
    const { claim, layout, name, others } = made(t);
    claim(FILLS[0], { reserved: 1_000_000 });
    others.look(NOBODY, LOST_MS);
    rmSync(layout.claim(name, FILLS[0]));
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(others.look(NOBODY, LOST_MS), [name]);
      assert.equal(others.bytes, 1_000_000);
    }
    others.settled(name);
    assert.deepEqual([others.look(NOBODY, LOST_MS), others.bytes], [[], 0]);
  });

  test('is what its files take once its process is dead, and lost after a while', (t) => {
    const { claim, layout, name, others } = made(t);
    claim(FILLS[0], { reserved: 1_000_000 });
    writeFileSync(layout.incompleteBody(name, FILLS[0]), Buffer.alloc(10));
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10_000 });
    others.look(NOBODY, LOST_MS);
    assert.deepEqual([others.bytes, others.lost], [2 * 4096, false]);
    t.mock.timers.setTime(Date.now() + 2 * LOST_MS);
    others.look(NOBODY, LOST_MS);
    assert.deepEqual([others.bytes, others.lost], [2 * 4096, true]);
  });

  test('is not a record on its way out: it may be this process that takes it away; one that stays is', (t) => {
    const { layout, name, others } = made(t);
    const path = layout.gone(name, FILLS[2]);
    writeFileSync(`${path}.making`, 'a record');
    renameSync(`${path}.making`, path);
    others.look(NOBODY, LOST_MS);
    assert.deepEqual([others.bytes, others.some], [0, false]);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10_000 });
    others.look(NOBODY, LOST_MS);
    assert.equal(others.bytes, 4096);
  });
});
