import { fstatSync } from 'node:fs';

/** The files that this process has open for readers, and what of them only takes room because they are. */
export class OpenFiles {
  readonly #fds = new Set<number>();

  /** What is returned has to be called before the descriptor is closed: its number may be another file's soon. */
  add(fd: number): () => void {
    this.#fds.add(fd);
    return () => this.#fds.delete(fd);
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
