/** A probe of the disk leaves nothing behind, and what a killed one leaves is removed. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { removeLeftovers } from '../../lib/cache/leftovers.ts';
import { parseFileName } from '../../lib/fs/layout.ts';
import { prepareDirectory } from '../../lib/fs/prepare.ts';
import { Presence } from '../../lib/fs/presence.ts';
import { probe, readBack } from '../../lib/fs/probe.ts';
import { Disk } from '../cache/disk.ts';

const MODES = { file: 0o600, directory: 0o700 };

function prepared(t: TestContext): Disk {
  const disk = new Disk(t);
  prepareDirectory(disk.directory, disk.layout, MODES);
  return disk;
}

describe('a probe', () => {
  test('where all works, nothing is left', async (t) => {
    const disk = prepared(t);
    await probe(disk.layout, MODES);
    await readBack(disk.layout);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('where it fails halfway, nothing is left either', async (t) => {
    const disk = prepared(t);
    rmSync(disk.layout.entries, { recursive: true });
    writeFileSync(disk.layout.entries, 'in the way');
    await assert.rejects(probe(disk.layout, MODES), { code: 'ENOTDIR' }, 'the fault');
    assert.deepEqual(disk.incomplete(), []);
    await assert.rejects(readBack(disk.layout), { code: 'EACCES' });
  });

  test('what a killed one leaves is known to the sweep', async (t) => {
    const disk = prepared(t);
    const { layout } = disk;
    const path = layout.gone(layout.name('any', undefined), '0123456789abcdef');
    writeFileSync(path, 'of a probe');
    assert.equal(parseFileName(path.slice(layout.incomplete.length + 1))?.kind, 'gone');
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 60_000 });
    await removeLeftovers(layout, new Set());
    assert.deepEqual(disk.incomplete(), []);
  });

  test('the tag is written in place: a full disk leaves no empty one', (t) => {
    const disk = prepared(t);
    const { ino, size } = statSync(disk.layout.tag);
    prepareDirectory(disk.directory, disk.layout, MODES);
    assert.deepEqual([statSync(disk.layout.tag).ino, statSync(disk.layout.tag).size], [ino, size]);
  });
});

describe('whether directories are still there', () => {
  test('they are, whatever comes to be in them', async (t) => {
    const { layout } = prepared(t);
    const presence = new Presence([layout.entries, layout.incomplete]);
    presence.remember();
    assert.equal(await presence.changed(), undefined);
    mkdirSync(join(layout.entries, 'ab'));
    chmodSync(layout.entries, 0o750);
    assert.equal(await presence.changed(), undefined);
  });

  for (const name of ['entries', 'incomplete'] as const) {
    test(`one that is removed, or made anew, is not: ${name}`, async (t) => {
      const { layout } = prepared(t);
      const presence = new Presence([layout.entries, layout.incomplete]);
      presence.remember();
      mkdirSync(join(layout[name], 'ab'));
      assert.equal(await presence.changed(), undefined);
      rmSync(layout[name], { recursive: true });
      assert.equal(((await presence.changed()) as NodeJS.ErrnoException).code, 'ENOENT');
      mkdirSync(layout[name]);
      assert.match(String(await presence.changed()), /has been replaced/);
      rmSync(layout[name], { recursive: true });
      symlinkSync('/', layout[name]);
      assert.match(String(await presence.changed()), /has been replaced/);
      assert.ok(existsSync(layout.root));
    });
  }
});
