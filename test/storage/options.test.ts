import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FilesystemBackend } from '../../lib/storage/backends/filesystem.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';

test('a storage needs a backend, and says so', () => {
  const cases: [backend: unknown, message: RegExp][] = [
    [
      undefined,
      /backend is required: .*, got undefined; write new Storage\(new FilesystemBackend\(\{ directory \}\)\)/,
    ],
    ['./images', /backend is required: .*, got ".\/images"/],
    [{ directory: './images' }, /backend is required/],
    [Object.assign(new MemoryBackend(), { move: undefined }), /backend must be a backend; it lacks move/],
  ];
  for (const [backend, message] of cases)
    assert.throws(() => new Storage(backend as MemoryBackend), { name: 'OptionError', message });
});

test('options are an object', () => {
  const wrong = { name: 'OptionError', message: /options must be an object, got / };
  for (const options of [undefined, null, './images']) {
    assert.throws(() => new FilesystemBackend(options as never), wrong);
    if (options !== undefined) assert.throws(() => new Storage(new MemoryBackend(), options as never), wrong);
  }
});
