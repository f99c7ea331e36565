/** What is left behind, what is cut off, and a disk that fails. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readlinkSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { everything, listed } from '../../../lib/contracts/backend/steps.ts';
import type { FilesystemBackend } from '../../../lib/storage/backends/filesystem.ts';
import { mountTmpfs } from '../../cache/limits.ts';
import { kill } from '../../support/told.ts';
import { BackendProcess } from './backend-process.ts';
import { onDisk } from './on-disk.ts';

const MIB = 2 ** 20;
const BACKEND_ERROR = { code: 'ERR_CACHE_FILTER_BACKEND' };
const FULL = { ...BACKEND_ERROR, reason: 'full', status: 507 };

async function* pieces(count: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(MIB);
}

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
