import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { readPackages } from './packages.ts';

/** What is known of the files of an archive, by their paths: those that were said or asked last. */
export class KnownFiles {
  /** Names and digests as 16 and 32 Latin-1 letters: about 200 bytes an entry, wherever they come from. */
  readonly #digests: LRUCache<string, string>;

  constructor(max = 200_000) {
    this.#digests = new LRUCache({ max });
  }

  /** `sha256:<hex>`; undefined where no index that was seen has the file. */
  digestOf(path: string): string | undefined {
    const digest = this.#digests.get(shortened(path));
    return digest && `sha256:${Buffer.from(digest, 'latin1').toString('hex')}`;
  }

  /** Reads a Packages index, plain or gzip, as far as it can be read. */
  async learn(index: Buffer): Promise<void> {
    await readPackages(index, (path, sha256) =>
      this.#digests.set(shortened(path), sha256.toString('latin1')),
    ).catch(() => undefined);
  }
}

function shortened(path: string): string {
  return createHash('sha256').update(path, 'latin1').digest().toString('latin1', 0, 16);
}
