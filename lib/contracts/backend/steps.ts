import type { StorageBackend } from '../../storage/backends/backend.ts';

export { bytesOf, hashOf, settled } from '../cache/steps.ts';

/** What an error has to have. */
export interface Expected {
  code: string;
  reason?: string;
}

export const BACKEND_ERROR: Expected = { code: 'ERR_CACHE_FILTER_BACKEND' };
export const DAMAGED: Expected = { ...BACKEND_ERROR, reason: 'damaged' };
export const MISSING: Expected = { ...BACKEND_ERROR, reason: 'missing' };
export const NAME_ERROR: Expected = { code: 'ERR_CACHE_FILTER_NAME' };

/** What a listing gives: the name and size of an object, the name of a folder with `/`; sorted. */
export async function listed(backend: StorageBackend, path = ''): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isFolder, size } of backend.list(path))
    found.push(isFolder ? `${name}/` : `${name} ${size}`);
  return found.sort();
}

/** Every object below a path, with its size; sorted. Folders in which nothing is are left out: not every backend has them. */
export async function everything(backend: StorageBackend, path = ''): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isFolder, size } of backend.list(path)) {
    const below = path === '' ? name : `${path}/${name}`;
    if (isFolder) found.push(...(await everything(backend, below)));
    else found.push(`${below} ${size}`);
  }
  return found.sort();
}

export async function modifiedAt(backend: StorageBackend, folder: string, name: string): Promise<number> {
  for await (const info of backend.list(folder)) if (info.name === name) return info.modifiedAt;
  throw new Error(`${name} is not listed in ${folder}`);
}

/** All that comes of a stream. */
export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Bytes as a source that brings them in pieces of so many, each when it is asked for. */
export async function* piecewise(bytes: Buffer, piece: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += piece) {
    await new Promise((resolve) => setImmediate(resolve));
    yield bytes.subarray(at, at + piece);
  }
}

export const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes).toString();

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
