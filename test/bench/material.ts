import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from './sizes.ts';

/** A file that servers serve, and what it has to be. */
export interface Material {
  url: string;
  path: string;
  size: number;
  /** In hex. */
  sha256: string;
  /** Handlers read it from disk, in pieces of 1 MiB; others they keep in memory, and write in one go. */
  streamed: boolean;
  /** How fast the handler writes it; default: as fast as it can. */
  bytesPerSecond?: number;
  /** After so many bytes an origin breaks off, unless it is asked for a range; default: never. */
  breaksAt?: number;
}

/** Random bytes in `<root>/files/`, one file for each size. */
export async function prepare(root: string, sizes: readonly number[]): Promise<Material[]> {
  mkdirSync(join(root, 'files'), { recursive: true });
  const made: Material[] = [];
  for (const size of sizes) {
    const url = `/files/${size}.bin`;
    const path = join(root, url);
    const hash = createHash('sha256');
    const file = await open(path, 'w');
    for (let at = 0; at < size; at += MIB) {
      const piece = randomBytes(Math.min(MIB, size - at));
      hash.update(piece);
      await file.write(piece);
    }
    // The runs are not to share the disk with the end of this.
    await file.sync();
    await file.close();
    made.push({ url, path, size, sha256: hash.digest('hex'), streamed: size > MIB });
  }
  return made;
}

/** The same file under another name, written at a pace. */
export function paced(file: Material, bytesPerSecond: number): Material {
  const url = file.url.replace('/files/', `/files/paced-${bytesPerSecond}-`);
  return { ...file, url, streamed: true, bytesPerSecond };
}

/** The same file under another name, which breaks off half-way. */
export function broken(file: Material): Material {
  const url = file.url.replace('/files/', '/files/broken-');
  return { ...file, url, streamed: true, breaksAt: Math.floor(file.size / 2) };
}

/** The same file under a key that no cache has seen. */
export function cold(file: Material): Material {
  return { ...file, url: `${file.url}?${randomBytes(8).toString('hex')}` };
}
