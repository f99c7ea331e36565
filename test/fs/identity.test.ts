import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type FileIdentity, identityOf, isSame, isSettled } from '../../lib/fs/identity.ts';
import { temporaryDirectory } from '../support/directory.ts';

const BORN = 1_700_000_000_123.5;
const FILE: FileIdentity = { ino: 7, size: 100, mtimeMs: BORN, ctimeMs: BORN, birthtimeMs: BORN };

describe('the identity of a file', () => {
  test('is what stat says, and nothing else', (t) => {
    const path = join(temporaryDirectory(t), 'file');
    writeFileSync(path, 'abc');
    const stat = statSync(path);
    assert.ok(isSame(identityOf(stat), stat));
    assert.deepEqual(Object.keys(identityOf(stat)).sort(), Object.keys(FILE).sort());
  });

  test('is another where any part of it is', () => {
    assert.ok(isSame(FILE, { ...FILE }));
    for (const part of Object.keys(FILE) as (keyof FileIdentity)[]) {
      assert.ok(!isSame(FILE, { ...FILE, [part]: FILE[part] + 0.25 }), part);
    }
  });

  test('is relied on once the file is a tick of the clock old', () => {
    assert.ok(!isSettled(FILE, BORN));
    assert.ok(!isSettled(FILE, BORN + 99));
    assert.ok(isSettled(FILE, BORN + 100));
    assert.ok(!isSettled(FILE, BORN - 3_600_000), 'the clock was set back');
  });

  test('does not depend on when it was last touched, where its birth is known', () => {
    assert.ok(isSettled({ ...FILE, ctimeMs: BORN + 5_000, mtimeMs: BORN + 5_000 }, BORN + 5_000));
  });

  test('counts from the last change where its birth is not known', () => {
    const unknown = { ...FILE, birthtimeMs: 0, ctimeMs: BORN + 5_000 };
    assert.ok(!isSettled(unknown, BORN + 5_099));
    assert.ok(isSettled(unknown, BORN + 5_100));
  });

  test('takes longer on a file system that keeps whole seconds', () => {
    const whole = { ...FILE, birthtimeMs: 1_700_000_000_000 };
    assert.ok(!isSettled(whole, 1_700_000_002_000));
    assert.ok(isSettled(whole, 1_700_000_002_100));
  });
});
