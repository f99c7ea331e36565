import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  createNew,
  exists,
  list,
  makeDirectory,
  onDisk,
  readIfThere,
  unlink,
  writeWhole,
} from '../../lib/fs/files.ts';
import { temporaryDirectory } from '../support/directory.ts';

describe('files', () => {
  test('what is missing is no error, what can not be done is', async (t) => {
    const directory = temporaryDirectory(t);
    const file = join(directory, 'file');
    const missing = join(directory, 'missing', 'deeper');
    writeFileSync(file, 'content');
    assert.equal(await unlink(missing), false);
    assert.equal(await readIfThere(missing), undefined);
    assert.deepEqual(await list(missing), []);
    assert.deepEqual(await list(file), [], 'a file where a directory is looked for');
    assert.equal(await exists(missing), false);

    assert.deepEqual(await readIfThere(file), Buffer.from('content'));
    assert.deepEqual(await list(directory), ['file']);
    assert.equal(await exists(file), true);
    assert.equal(await unlink(file), true);
    assert.equal(await exists(file), false);

    mkdirSync(file);
    await assert.rejects(unlink(file));
    await assert.rejects(readIfThere(file), { code: 'EISDIR' });
    await assert.rejects(list('bad\0path'));
  });

  test('a new file has its mode, and is never one that was there before', async (t) => {
    const path = join(temporaryDirectory(t), 'file');
    const file = await createNew(path, 0o600);
    await file.close();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await assert.rejects(createNew(path, 0o600), { code: 'EEXIST' });
  });

  test('directories have their mode, whatever the umask; one that was there keeps its own', async (t) => {
    const top = temporaryDirectory(t);
    const before = process.umask(0o777);
    try {
      await makeDirectory(join(top, 'a', 'b'), 0o755);
      await (await createNew(join(top, 'a', 'file'), 0o644)).close();
    } finally {
      process.umask(before);
    }
    await makeDirectory(join(top, 'a', 'b'), 0o700);
    const modes = ['a', 'a/b', 'a/file'].map((path) => (statSync(join(top, path)).mode & 0o777).toString(8));
    assert.deepEqual(modes, ['755', '755', '644']);
    await assert.rejects(makeDirectory(join(top, 'a', 'file', 'b'), 0o700), { code: 'ENOTDIR' });
  });

  test('all bytes are written, whatever one write takes', async () => {
    const written: Buffer[] = [];
    const file = {
      write: async (bytes: Uint8Array, at: number, length: number, position: number) => {
        assert.equal(position, Buffer.concat(written).byteLength);
        const bytesWritten = Math.min(3, length);
        written.push(Buffer.from(bytes.subarray(at, at + bytesWritten)));
        return { bytesWritten, buffer: bytes };
      },
    };
    await writeWhole(file as never, Buffer.from('a whole record'));
    assert.equal(Buffer.concat(written).toString(), 'a whole record');
    assert.ok(written.length > 1, 'it took more than one write');
  });

  test('writing replaces what stood at the beginning', async (t) => {
    const path = join(temporaryDirectory(t), 'file');
    const file = await createNew(path, 0o600);
    await writeWhole(file, Buffer.from('first'));
    await writeWhole(file, Buffer.from('FIR'));
    await file.close();
    assert.equal(readFileSync(path, 'utf8'), 'FIRst');
  });

  test('space on disk is counted in whole blocks of 4 KiB', () => {
    const sizes = [0, 1, 4095, 4096, 4097, 2 ** 40];
    assert.deepEqual(sizes.map(onDisk), [0, 4096, 4096, 4096, 8192, 2 ** 40]);
  });
});
