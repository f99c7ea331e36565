/** What only a disk has: links, modes, a directory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { everything, listed } from '../../../lib/contracts/backend/steps.ts';
import {
  FilesystemBackend,
  type FilesystemBackendOptions,
} from '../../../lib/storage/backends/filesystem.ts';
import { temporaryDirectory } from '../../support/directory.ts';
import { BackendProcess } from './backend-process.ts';
import { onDisk } from './on-disk.ts';

const BACKEND_ERROR = { code: 'ERR_CACHE_FILTER_BACKEND' };

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

describe('FilesystemBackend: options', () => {
  test('what can’t be meant is refused by name', (t) => {
    const directory = temporaryDirectory(t);
    for (const [option, value] of [
      ['directory', ''],
      ['directory', undefined],
      ['durability', 'always'],
      ['fileMode', 0o400],
      ['directoryMode', 0o600],
      ['locks', 1],
      ['directry', directory],
    ] as const) {
      const options = { directory, [option]: value } as unknown as FilesystemBackendOptions;
      assert.throws(() => new FilesystemBackend(options), { code: 'ERR_CACHE_FILTER_OPTION', option });
    }
  });

  test('a directory is made at the first use, and a backend of the same one finds what is there', async (t) => {
    const { backend, directory } = onDisk(t);
    assert.equal(existsSync(directory), false);
    await backend.put('a/b', Buffer.from('b'));
    assert.deepEqual(readdirSync(join(directory, 'v1')).sort(), ['locks', 'objects', 'temporary']);
    assert.equal(backend.name, directory);
    const { backend: again } = onDisk(t, { directory });
    assert.deepEqual(await everything(again), ['a/b 1']);
  });

  test('a directory that can’t be made fails each operation, until it can', async (t) => {
    const top = temporaryDirectory(t);
    writeFileSync(join(top, 'file'), '');
    const { backend } = onDisk(t, { directory: join(top, 'file', 'storage') });
    await assert.rejects(backend.put('a', Buffer.from('a')), BACKEND_ERROR);
    await assert.rejects(backend.size('a'), BACKEND_ERROR);
    await assert.rejects(backend.lock?.('a') ?? Promise.resolve(), BACKEND_ERROR);
    await assert.rejects(listed(backend), BACKEND_ERROR);
    rmSync(join(top, 'file'));
    assert.equal(await backend.put('a', Buffer.from('a')), 1);
  });
});

describe('FilesystemBackend: containment', () => {
  test('no operation follows a symbolic link', async (t) => {
    const { backend, objects, directory } = onDisk(t);
    await backend.put('real/inside', Buffer.from('inside'));
    const outside = join(directory, '..', 'outside');
    mkdirSync(join(outside, 'below'), { recursive: true });
    writeFileSync(join(outside, 'secret'), 'secret');
    symlinkSync(outside, join(objects, 'away'));
    symlinkSync('real', join(objects, 'within'));
    symlinkSync(join(outside, 'missing'), join(objects, 'dangling'));
    symlinkSync('loop', join(objects, 'loop'));
    const before = readdirSync(outside, { recursive: true }).sort();
    for (const folder of ['away', 'within', 'dangling', 'loop']) {
      const isDangling = folder === 'dangling';
      const name = folder === 'within' ? 'inside' : 'secret';
      for (const path of [`${folder}/${name}`, `${folder}/below/new`]) {
        for (const [operation, run] of [
          ['put', () => backend.put(path, Buffer.from('x'))],
          ['append', () => backend.append(path, 0)],
          ['move to', () => backend.move('real/inside', path)],
          ['concatenate', () => backend.concatenate([], path)],
        ] as const)
          await assert.rejects(run(), BACKEND_ERROR, `${operation} ${path}`);
        if (isDangling) continue;
        for (const [operation, run] of [
          ['get', () => backend.get(path)],
          ['size', () => backend.size(path)],
          ['stream', () => backend.stream(path)],
          ['delete', () => backend.delete(path)],
          ['move from', () => backend.move(path, 'stolen')],
        ] as const)
          await assert.rejects(run(), BACKEND_ERROR, `${operation} ${path}`);
      }
      if (!isDangling) await assert.rejects(listed(backend, folder), BACKEND_ERROR, `list ${folder}`);
    }
    assert.deepEqual(readdirSync(outside, { recursive: true }).sort(), before);
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    assert.deepEqual(await everything(backend), ['real/inside 6'], 'links are not listed');
  });

  test('a link in the place of an object is none; a put takes its place', async (t) => {
    const { backend, objects, directory } = onDisk(t);
    await backend.put('a/b', Buffer.from('b'));
    const secret = join(directory, '..', 'secret');
    writeFileSync(secret, 'secret');
    for (const name of ['one', 'two', 'three']) symlinkSync(secret, join(objects, 'a', name));
    assert.equal(await backend.get('a/one'), undefined);
    assert.equal(await backend.size('a/one'), undefined);
    assert.equal(await backend.stream('a/one'), undefined);
    await assert.rejects(backend.append('a/one', 0), BACKEND_ERROR);
    await assert.rejects(backend.move('a/one', 'a/stolen'), { ...BACKEND_ERROR, reason: 'missing' });
    await assert.rejects(backend.concatenate([{ path: 'a/one', size: 6 }], 'a/stolen'), BACKEND_ERROR);
    await backend.put('a/one', Buffer.from('put'));
    await backend.move('a/b', 'a/two');
    assert.equal(await backend.delete('a/three'), true);
    assert.equal(readFileSync(secret, 'utf8'), 'secret');
    assert.deepEqual(await everything(backend), ['a/one 3', 'a/two 1']);
    assert.throws(() => readlinkSync(join(objects, 'a', 'one')), { code: 'EINVAL' });
  });

  test('the directory itself may be a link', async (t) => {
    const top = temporaryDirectory(t);
    mkdirSync(join(top, 'disk'));
    symlinkSync('disk', join(top, 'link'));
    const { backend } = onDisk(t, { directory: join(top, 'link', 'storage') });
    await backend.put('a/b', Buffer.from('b'));
    assert.deepEqual(await everything(backend), ['a/b 1']);
  });

  test('what is neither file nor folder is not there, and keeps nobody waiting', async (t) => {
    const { backend, objects } = onDisk(t);
    await backend.put('a/b', Buffer.from('b'));
    if (spawnSync('mkfifo', [join(objects, 'a', 'pipe')]).status !== 0) return t.skip('no mkfifo here');
    assert.equal(await backend.get('a/pipe'), undefined);
    assert.equal(await backend.stream('a/pipe'), undefined);
    await assert.rejects(backend.append('a/pipe', 0), BACKEND_ERROR);
    assert.deepEqual(await everything(backend), ['a/b 1']);
  });

  test('whatever path is asked for, nothing beside the objects changes', async (t) => {
    const { backend, directory } = onDisk(t);
    await backend.put('a/b', Buffer.from('b'));
    const all = () => readdirSync(join(directory, '..'), { recursive: true }).map(String).sort();
    const before = all();
    for (const path of ['../x', '../../../x', 'a/../../../x', '/x', '..', 'a/../../temporary/x']) {
      await assert.rejects(backend.put(path, Buffer.from('x')), {
        code: 'ERR_CACHE_FILTER_NAME',
        what: 'path',
      });
      await assert.rejects(backend.move('a/b', path), { code: 'ERR_CACHE_FILTER_NAME' });
      await assert.rejects(backend.delete(path), { code: 'ERR_CACHE_FILTER_NAME' });
    }
    assert.deepEqual(all(), before);
  });
});

describe('FilesystemBackend: modes', () => {
  for (const umask of ['000', '077', '027']) {
    for (const modes of [{}, { fileMode: 0o640, directoryMode: 0o750 }]) {
      const { fileMode = 0o600, directoryMode = 0o700 } = modes;
      const said = `${fileMode.toString(8)} and ${directoryMode.toString(8)}`;
      test(`with umask ${umask}, files and directories have ${said}`, async (t) => {
        if (process.platform === 'win32') return t.skip('there is no umask');
        const directory = join(temporaryDirectory(t), 'above', 'storage');
        const child = await BackendProcess.open(t, { directory, ...modes }, `umask ${umask} && exec "$@"`);
        assert.equal(await child.tell('umask'), Number.parseInt(umask, 8), 'the fault');
        await child.tell('put', 'a/b/c', 10);
        await child.tell('append', 'd/e', 10);
        await child.tell('lock', 'a');
        const found = readdirSync(join(directory, '..'), { recursive: true, withFileTypes: true });
        const names = found.map(({ name }) => name);
        for (const name of ['storage', 'v1', 'objects', 'locks', 'temporary', 'a', 'b', 'c', 'd', 'e'])
          assert.ok(names.includes(name), `${name}: ${names}`);
        for (const entry of found) {
          // A lock is empty: nobody can learn anything from it, nor take it away without writing to the folder above.
          if (entry.parentPath.endsWith('locks')) continue;
          const expected = entry.isDirectory() ? directoryMode : fileMode;
          assert.equal(modeOf(join(entry.parentPath, entry.name)), expected.toString(8), entry.name);
        }
      });
    }
  }

  test('folders that were there before keep theirs', async (t) => {
    const { backend, directory, objects } = onDisk(t);
    mkdirSync(join(objects, 'a'), { recursive: true });
    for (const path of [directory, objects, join(objects, 'a')]) chmodSync(path, 0o755);
    await backend.put('a/b/c', Buffer.from('c'));
    assert.deepEqual([directory, objects, join(objects, 'a'), join(objects, 'a', 'b')].map(modeOf), [
      '755',
      '755',
      '755',
      '700',
    ]);
  });
});
