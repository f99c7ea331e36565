/** The backends that tests of the storage run on. */
import { createHash } from 'node:crypto';
import { describe, type TestContext } from 'node:test';
import type { StorageBackend } from '../../lib/storage/backends/backend.ts';
import { FilesystemBackend } from '../../lib/storage/backends/filesystem.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { temporaryDirectory } from '../support/directory.ts';

export type MakeBackend = (t: TestContext) => StorageBackend;

const files: MakeBackend = (t) =>
  new FilesystemBackend({ directory: temporaryDirectory(t), durability: 'none' });

/** Uploads are growing objects. */
export const APPENDING: Record<string, MakeBackend> = {
  'in files': files,
  'in memory': () => new MemoryBackend(),
};

/** Uploads are kept in parts. */
export const IN_PARTS: Record<string, MakeBackend> = {
  'in memory, in parts': () => new MemoryBackend({ append: false }),
  'in files, in parts': (t) => withoutAppend(files(t)),
};

export function onEach(backends: Record<string, MakeBackend>, statements: (make: MakeBackend) => void): void {
  for (const [name, make] of Object.entries(backends)) describe(name, () => statements(make));
}

/** As an object store is. */
function withoutAppend(backend: StorageBackend): StorageBackend {
  return new Proxy(backend, {
    get(target, name) {
      if (name === 'append') return undefined;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export function sha(bytes: Uint8Array | string, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** A body that breaks off. */
export async function* cutAfter(...pieces: string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
  throw new Error('the client went away');
}

/** Paths of all objects, sorted; folders that are empty end in `/`. */
export async function pathsOf(backend: StorageBackend, below = ''): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isFolder } of backend.list(below)) {
    const path = below === '' ? name : `${below}/${name}`;
    const inside = isFolder ? await pathsOf(backend, path) : [];
    if (!isFolder) paths.push(path);
    else if (inside.length === 0) paths.push(`${path}/`);
    paths.push(...inside);
  }
  return paths.sort();
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
