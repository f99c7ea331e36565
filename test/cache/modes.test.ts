/** Who may read what lies on disk: the options say so, not the umask. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { bytesOf, put } from '../../lib/contracts/cache/steps.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

const KEY = { primary: '/a' };

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

describe('modes', () => {
  for (const umask of ['000', '077', '027']) {
    for (const modes of [{}, { fileMode: 0o640, directoryMode: 0o750 }]) {
      const { fileMode = 0o600, directoryMode = 0o700 } = modes;
      const said = `${fileMode.toString(8)} and ${directoryMode.toString(8)}`;
      test(`with umask ${umask}, files and directories have ${said}`, async (t) => {
        if (process.platform === 'win32') return t.skip('there is no umask');
        const top = temporaryDirectory(t);
        const disk = new Disk(t, join(top, 'above', 'cache'));
        const options = { directory: disk.directory, ...modes };
        const child = await CacheProcess.open(t, options, `umask ${umask} && exec "$@"`);
        assert.equal(await child.tell('umask'), Number.parseInt(umask, 8), 'the fault');
        for (const [primary, proof, end] of [
          ['/a', {}, 'committed'],
          ['/wrong', { length: 1 }, 'ERR_CACHE_FILTER_INTEGRITY'],
        ] as const) {
          await child.tell('start', { primary }, {});
          await child.tell('write', 10_000, 1);
          assert.equal(await child.tell('commit', proof), end);
        }
        assert.equal(await child.tell('pin', '/a', true), 1);
        assert.equal(await child.tell('queue', { primary: '/queued' }), true);
        await child.tell('start', { primary: '/running' }, {});
        const found = readdirSync(top, { recursive: true, withFileTypes: true });
        const names = found.map(({ name }) => name.replace(/^.*\./, '.'));
        for (const name of [
          'CACHEDIR.TAG',
          'above',
          'cache',
          'v1',
          'invalid',
          'queue',
          'incomplete',
          'entries',
        ])
          assert.ok(names.includes(name === 'CACHEDIR.TAG' ? '.TAG' : name), `${name}: ${names}`);
        for (const kind of ['.claim', '.body', '.json', '.state'])
          assert.ok(names.includes(kind), `${kind}: ${names}`);
        for (const entry of found) {
          const expected = entry.isDirectory() ? directoryMode : fileMode;
          assert.equal(modeOf(join(entry.parentPath, entry.name)), expected.toString(8), entry.name);
        }
      });
    }
  }

  test('directories that were there before keep theirs', async (t) => {
    const disk = new Disk(t);
    const shard = disk.layout.shard(disk.layout.name('/a', undefined));
    mkdirSync(shard, { recursive: true });
    const before = [disk.directory, disk.layout.root, disk.layout.entries, shard];
    for (const path of before) chmodSync(path, 0o755);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(10));
    assert.deepEqual(before.map(modeOf), ['755', '755', '755', '755']);
    assert.deepEqual([disk.layout.incomplete, disk.bodyPath('/a')].map(modeOf), ['700', '600']);
  });

  test('the group that a directory inherits is inherited further', async (t) => {
    if (process.platform !== 'linux') return t.skip('directories inherit otherwise here');
    const disk = new Disk(t);
    mkdirSync(disk.directory);
    chmodSync(disk.directory, 0o2770);
    const cache = await disk.cache({ directoryMode: 0o770, fileMode: 0o660 });
    await put(cache, KEY, bytesOf(10));
    const shard = disk.layout.shard(disk.layout.name('/a', undefined));
    assert.deepEqual([disk.layout.root, disk.layout.incomplete, shard].map(modeOf), ['2770', '2770', '2770']);
    assert.equal(modeOf(disk.bodyPath('/a')), '660');
  });

  test('a mode that its owner could do nothing with is refused by name', (t) => {
    const disk = new Disk(t);
    for (const [option, mode] of [
      ['fileMode', 0o444],
      ['fileMode', 0o1600],
      ['fileMode', '600'],
      ['fileMode', -1],
      ['directoryMode', 0o600],
      ['directoryMode', 600],
      ['directoryMode', Number.NaN],
    ] as const) {
      assert.throws(() => disk.unscanned({ [option]: mode }), { code: 'ERR_CACHE_FILTER_OPTION', option });
    }
  });
});
