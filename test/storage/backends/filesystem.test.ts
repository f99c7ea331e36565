/** What only a disk has: links, modes, other processes, no room. */
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
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { everything, listed } from '../../../lib/contracts/backend/steps.ts';
import {
  FilesystemBackend,
  type FilesystemBackendOptions,
} from '../../../lib/storage/backends/filesystem.ts';
import { mountTmpfs } from '../../cache/limits.ts';
import { temporaryDirectory } from '../../support/directory.ts';
import { kill } from '../../support/told.ts';
import { BackendProcess } from './backend-process.ts';

const MIB = 2 ** 20;
const BACKEND_ERROR = { code: 'ERR_CACHE_FILTER_BACKEND' };
const FULL = { ...BACKEND_ERROR, reason: 'full', status: 507 };

interface OnDisk {
  backend: FilesystemBackend;
  directory: string;
  objects: string;
  temporary: string;
}

function onDisk(t: TestContext, options: Partial<FilesystemBackendOptions> = {}): OnDisk {
  const directory = options.directory ?? join(temporaryDirectory(t), 'storage');
  return {
    backend: new FilesystemBackend({ durability: 'none', ...options, directory }),
    directory,
    objects: join(directory, 'v1', 'objects'),
    temporary: join(directory, 'v1', 'temporary'),
  };
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

async function* pieces(count: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(MIB);
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

describe('FilesystemBackend: what is unfinished', () => {
  test('a put that fails leaves no file behind', async (t) => {
    const { backend, temporary } = onDisk(t);
    const failing = async function* () {
      yield* pieces(3);
      assert.equal(readdirSync(temporary).length, 1, 'while it is written');
      throw new Error('the source failed');
    };
    await assert.rejects(backend.put('a', failing()), /^Error: the source failed$/);
    await backend.put('file', Buffer.from('x'));
    await assert.rejects(backend.put('file/a', pieces(1)), BACKEND_ERROR);
    await assert.rejects(
      backend.concatenate(
        [
          { path: 'file', size: 1 },
          { path: 'none', size: 1 },
        ],
        'b',
      ),
      BACKEND_ERROR,
    );
    assert.deepEqual(readdirSync(temporary), []);
  });

  test('what a process that died has left is removed after a day, never before', async (t) => {
    const { backend, directory, temporary } = onDisk(t);
    await backend.put('a', Buffer.from('a'));
    const [old, young] = [join(temporary, 'old'), join(temporary, 'young')];
    for (const path of [old, young]) writeFileSync(path, 'left');
    const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000);
    utimesSync(old, ago(25), ago(25));
    utimesSync(young, ago(23), ago(23));
    await onDisk(t, { directory }).backend.size('a');
    assert.deepEqual(readdirSync(temporary), ['young']);
  });

  test('what a process that is known to have died has left goes at once: its files, and its locks', async (t) => {
    const { backend, directory, temporary } = onDisk(t);
    await backend.put('a', Buffer.from('a'));
    const [dead, alive] = [
      await BackendProcess.open(t, { directory }),
      await BackendProcess.open(t, { directory }),
    ];
    for (const each of [dead, alive]) {
      await each.tell('lock', `upload of ${each.child.pid}`);
      await each.tell('begin', 'b');
    }
    const locks = join(directory, 'v1', 'locks');
    while (readdirSync(temporary).length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await kill(dead.child);
    assert.equal(readdirSync(locks).length, 2, 'the fault');
    const [lock = ''] = readdirSync(locks);
    const ago = new Date(Date.now() - 60_000);
    utimesSync(join(locks, lock), ago, ago);
    await onDisk(t, { directory }).backend.size('a');
    assert.equal(readdirSync(locks).includes(lock), false);
    assert.deepEqual(
      [readdirSync(locks).length, readdirSync(temporary).length],
      [1, 1],
      'the other one’s stay',
    );
  });

  test('large objects are written as they come, and no more of them is in memory', async (t) => {
    const { backend, temporary } = onDisk(t);
    let [pulled, ahead] = [0, 0];
    const source = async function* () {
      for (; pulled < 200 * MIB; pulled += 64 * 1024) {
        const [file] = readdirSync(temporary).map((name) => statSync(join(temporary, name)).size);
        ahead = Math.max(ahead, pulled - (file ?? 0));
        yield Buffer.alloc(64 * 1024);
      }
    };
    assert.equal(await backend.put('a', source()), 200 * MIB);
    assert.ok(ahead <= 256 * 1024, `${ahead} bytes were in memory`);
  });

  test('a stream that is left, or never begun and left, holds no file open', async (t) => {
    if (process.platform !== 'linux') return t.skip('only Linux tells which files are open');
    const { backend, objects } = onDisk(t);
    await backend.put('a', Buffer.alloc(3 * MIB));
    const open = () => {
      const links = readdirSync('/proc/self/fd').map((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`);
        } catch {
          return '';
        }
      });
      return links.filter((link) => link.startsWith(objects)).length;
    };
    const streams = await Promise.all([backend.stream('a'), backend.stream('a'), backend.stream('a')]);
    assert.equal(open(), 3);
    const [left, unread, read] = streams.map((stream) => stream?.bytes ?? assert.fail('no stream'));
    for await (const piece of left ?? []) if (piece.byteLength > 0) break;
    await unread?.[Symbol.asyncIterator]().return?.();
    for await (const piece of read ?? []) assert.ok(piece.byteLength <= MIB);
    assert.equal(open(), 0);
    await backend.stream('a', { start: 5, end: 5 });
    await assert.rejects(backend.stream('a', { start: 0, end: 3 * MIB + 1 }), {
      ...BACKEND_ERROR,
      reason: 'damaged',
    });
    assert.equal(open(), 0, 'nothing is held for what will not be read');
    await assert.rejects(backend.append('a', 4 * MIB), BACKEND_ERROR);
    assert.equal(open(), 0, 'nor for what can not be appended to');
  });

  test('a stream of an object that was cut off fails, and does not end early', async (t) => {
    const { backend, objects } = onDisk(t);
    await backend.put('a', Buffer.alloc(3 * MIB));
    const stream = await backend.stream('a');
    writeFileSync(join(objects, 'a'), 'short');
    await assert.rejects(
      async () => {
        for await (const piece of stream?.bytes ?? []) assert.ok(piece);
      },
      { ...BACKEND_ERROR, reason: 'damaged' },
    );
  });
});

describe('FilesystemBackend: a disk that fails', () => {
  test('one that is full says so; nothing has changed, and it goes on when there is room', async (t) => {
    const path = mountTmpfs(t, 8 * MIB);
    if (path === undefined) return t.skip('mounting is not allowed here');
    for (const durability of ['none', 'commit'] as const) {
      const { backend, temporary } = onDisk(t, { directory: join(path, durability), durability });
      await backend.put('a', Buffer.from('old'));
      await assert.rejects(backend.put('a', pieces(16)), FULL);
      await assert.rejects(backend.put('a', Buffer.alloc(16 * MIB)), FULL);
      assert.deepEqual(readdirSync(temporary), []);
      assert.equal(String(await backend.get('a')), 'old');
      await backend.put('part', pieces(5));
      const part = { path: 'part', size: 5 * MIB };
      await assert.rejects(backend.concatenate([part], 'whole'), FULL);
      assert.deepEqual(await everything(backend), ['a 3', `part ${5 * MIB}`]);
      const appending = await backend.append('upload', 0);
      await appending.write(Buffer.from('begun'));
      await assert.rejects(appending.write(Buffer.alloc(8 * MIB)), FULL);
      assert.deepEqual(
        [appending.offset, await backend.size('upload')],
        [5, 5],
        'cut back to what was stored',
      );
      await backend.delete('part');
      await appending.write(Buffer.alloc(2 * MIB));
      await appending.close({ durable: true });
      assert.equal(await backend.size('upload'), 2 * MIB + 5);
      for (const left of ['a', 'upload']) await backend.delete(left);
    }
  });

  test('its errors name the operation, the object and the cause', async (t) => {
    const { backend, directory } = onDisk(t);
    await backend.put('a', Buffer.from('a'));
    const error = await backend.put('a/b', Buffer.from('b')).catch((reason: unknown) => reason as Error);
    assert.ok(error instanceof Error);
    assert.match(error.message, /^ERR_CACHE_FILTER_BACKEND: put of a\/b in .*: ENOTDIR/);
    assert.ok(error.message.includes(directory), error.message);
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOTDIR');
  });

  test('what may not be read or written is an error, not an absence', async (t) => {
    if (process.getuid?.() === 0) {
      // Root may do anything, but write where nothing may be written.
      const path = mountTmpfs(t, MIB);
      if (path === undefined) return t.skip('root may read and write everything here');
      const { backend } = onDisk(t, { directory: join(path, 'storage') });
      await backend.put('a/b', Buffer.from('b'));
      assert.equal(spawnSync('mount', ['-o', 'remount,ro', path]).status, 0, 'the fault');
      await assertUnwritable(backend);
      assert.equal(String(await backend.get('a/b')), 'b');
      return undefined;
    }
    const { backend, objects } = onDisk(t);
    await backend.put('a/b', Buffer.from('b'));
    chmodSync(join(objects, 'a'), 0o000);
    try {
      await assertUnwritable(backend);
      await assert.rejects(backend.get('a/b'), BACKEND_ERROR);
      await assert.rejects(backend.size('a/b'), BACKEND_ERROR);
      await assert.rejects(listed(backend, 'a'), BACKEND_ERROR);
    } finally {
      chmodSync(join(objects, 'a'), 0o700);
    }
    return undefined;
  });
});

async function assertUnwritable(backend: FilesystemBackend): Promise<void> {
  await assert.rejects(backend.put('a/c', Buffer.from('c')), BACKEND_ERROR);
  await assert.rejects(backend.append('a/b', 1), BACKEND_ERROR);
  await assert.rejects(backend.move('a/b', 'a/c'), BACKEND_ERROR);
  await assert.rejects(backend.delete('a/b'), BACKEND_ERROR);
}

describe('FilesystemBackend: several processes', () => {
  test('a lock excludes another process until it lets go', async (t) => {
    const { backend, directory } = onDisk(t);
    const child = await BackendProcess.open(t, { directory });
    await child.tell('lock', 'a');
    const failed = await backend.lock?.('a', AbortSignal.timeout(500)).catch((error: Error) => error.name);
    assert.equal(failed, 'TimeoutError');
    const waiting = backend.lock?.('a');
    await child.tell('release');
    await (await waiting)?.();
  });

  test('a process that dies loses its lock within seconds', async (t) => {
    const { backend, directory } = onDisk(t);
    const child = await BackendProcess.open(t, { directory });
    await child.tell('lock', 'a');
    assert.equal(await kill(child.child), 'SIGKILL', 'the fault');
    const begun = Date.now();
    const release = await backend.lock?.('a', AbortSignal.timeout(20_000));
    assert.ok(Date.now() - begun > 2_000, 'it was not respected at all');
    await release?.();
    assert.deepEqual(readdirSync(join(directory, 'v1', 'locks')), []);
  });

  test('what is done under a lock is done by one at a time, in whatever process', async (t) => {
    const { backend, directory } = onDisk(t);
    const children = await Promise.all([1, 2, 3].map(() => BackendProcess.open(t, { directory })));
    await Promise.all(children.map((child) => child.tell('count', 'a/number', 20)));
    assert.equal(String(await backend.get('a/number')), '60');
  });

  test('of many who find a lock of the dead, one has it at a time', async (t) => {
    const { backend, directory } = onDisk(t);
    const locks = join(directory, 'v1', 'locks');
    for (let round = 0; round < 5; round++) {
      const release = await backend.lock?.('a');
      const [name] = readdirSync(locks);
      await release?.();
      const dead = join(locks, name ?? assert.fail('no lock'));
      mkdirSync(dead);
      utimesSync(dead, new Date(Date.now() - 6_000), new Date(Date.now() - 6_000));
      let [holders, most] = [0, 0];
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const letGo = await new FilesystemBackend({ directory }).lock?.('a');
          most = Math.max(most, ++holders);
          await new Promise((resolve) => setTimeout(resolve, 5));
          holders--;
          await letGo?.();
        }),
      );
      assert.equal(most, 1, `round ${round}`);
      assert.deepEqual(readdirSync(locks), []);
    }
  });

  test('switched off, there is no lock, and nothing is written for it', (t) => {
    assert.equal(onDisk(t, { locks: false }).backend.lock, undefined);
  });
});
