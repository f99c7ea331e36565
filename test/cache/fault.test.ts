/** What an error says about the store, and what it takes for the store to count as failing. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Doing, faultOf, Judge, type Verdict } from '../../lib/cache/fault.ts';
import { IntegrityError, StoreError } from '../../lib/errors.ts';

function failing(code: string): Error {
  return Object.assign(new Error(`${code}: deliberate`), { code });
}

function verdicts(code: string, doing: Doing, times: number): Verdict[] {
  const judge = new Judge();
  return Array.from({ length: times }, () => judge.verdict(faultOf(failing(code)), doing));
}

describe('faults of the store', () => {
  test('an error is known by its code, however it is wrapped', () => {
    const inner = failing('ENOSPC');
    assert.equal(faultOf(inner), 'full');
    assert.equal(faultOf(new StoreError('wrapped', { cause: new Error('again', { cause: inner }) })), 'full');
    for (const error of [
      failing('EFBIG'),
      failing('constructor'),
      new IntegrityError('wrong'),
      'text',
      undefined,
    ])
      assert.equal(faultOf(error), 'none', String(error));
    const circular = new Error('circular');
    circular.cause = circular;
    assert.equal(faultOf(circular), 'none');
  });

  test("what is new and can not be stored is the store's fault at once", () => {
    for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EPERM', 'ESTALE', 'ENXIO', 'EBADF'])
      assert.deepEqual(verdicts(code, 'store', 1), ['no-writes'], code);
  });

  test('something that is missing is looked for', () => {
    for (const code of ['ENOENT', 'ENOTDIR'])
      for (const doing of ['store', 'change', 'read'] as const)
        assert.deepEqual(verdicts(code, doing, 4), ['look', 'look', 'look', 'look'], `${code} ${doing}`);
  });

  test('of what can not be read, changed or removed, it takes three', () => {
    assert.deepEqual(verdicts('EIO', 'read', 4), ['nothing', 'nothing', 'down', 'nothing']);
    assert.deepEqual(verdicts('EACCES', 'read', 3), ['nothing', 'nothing', 'try']);
    assert.deepEqual(verdicts('EIO', 'change', 3), ['nothing', 'nothing', 'no-writes']);
    assert.deepEqual(verdicts('EPERM', 'change', 4), ['nothing', 'nothing', 'nothing', 'nothing']);
    assert.deepEqual(verdicts('EROFS', 'change', 1), ['no-writes']);
    assert.deepEqual(verdicts('ENOSPC', 'change', 1), ['no-writes']);
  });

  test('a success between them starts the row anew', () => {
    const judge = new Judge();
    for (let i = 0; i < 5; i++) {
      assert.equal(judge.verdict('broken', 'read'), 'nothing');
      assert.equal(judge.verdict('broken', 'read'), 'nothing');
      judge.worked('read');
    }
    judge.verdict('broken', 'read');
    judge.verdict('broken', 'read');
    judge.worked('store');
    assert.equal(judge.verdict('broken', 'read'), 'down', 'one of another kind says nothing');
  });

  test('too many open files are a fault where it happens thrice, whatever works between', () => {
    const judge = new Judge();
    const fault = faultOf(failing('EMFILE'));
    assert.equal(judge.verdict(fault, 'store'), 'nothing');
    judge.worked('store');
    assert.equal(judge.verdict(fault, 'read'), 'nothing');
    judge.worked('read');
    assert.equal(judge.verdict(fault, 'store'), 'no-writes');
    assert.equal(judge.verdict(fault, 'store'), 'nothing');
  });
});
