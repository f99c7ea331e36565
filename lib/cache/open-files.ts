import { fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

/** The files that this process has open for readers, and what of them only takes room because they are. */
export class OpenFiles {
  readonly #fds = new Set<number>();
  readonly #closing = new Set<Promise<void>>();

  /** What is returned closes the file, to be called once. It resolves when that is done, and never rejects. */
  add(handle: FileHandle): () => Promise<void> {
    const { fd } = handle;
    this.#fds.add(fd);
    return () => {
      // Before: its number may be another file's as soon as it is closed.
      this.#fds.delete(fd);
      const closing = handle
        .close()
        .catch(() => undefined)
        .finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
      return closing;
    };
  }

  /** Resolves when those are closed that nobody reads any more. */
  async closed(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  /** Those that have no name any more, each counted once. 1 µs for each that is open. */
  get unlinked(): { files: number; bytes: number } {
    const seen = new Set<string>();
    let bytes = 0;
    for (const fd of this.#fds) {
      const { nlink, dev, ino, size } = fstatSync(fd);
      const id = `${dev}:${ino}`;
      if (nlink > 0 || seen.has(id)) continue;
      seen.add(id);
      bytes += size;
    }
    return { files: seen.size, bytes };
  }
}
