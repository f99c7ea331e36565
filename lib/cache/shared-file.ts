import { fstatSync } from 'node:fs';

/** An open file that several read. It is closed when the last of them has let go: a descriptor in use must not be closed. */
export class SharedFile {
  readonly fd: number;
  readonly #close: () => Promise<void>;
  #users = 0;
  #closed: Promise<void> | undefined;

  /** @param close closes it. Never rejects */
  constructor(fd: number, close: () => Promise<void>) {
    this.fd = fd;
    this.#close = close;
  }

  /** One more user. What is returned lets go, once; it resolves when that has closed the file. */
  use(): () => Promise<void> | undefined {
    this.#users++;
    let using = true;
    return () => {
      if (!using) return this.#closed;
      using = false;
      if (--this.#users === 0) this.#closed = this.#close();
      return this.#closed;
    };
  }

  /** Whether it still has a name, and this many bytes. */
  isWhole(size: number): boolean {
    const stat = fstatSync(this.fd);
    return stat.nlink > 0 && stat.size === size;
  }

  /** Whether its name has gone, so that only being open keeps its bytes on disk. */
  isUnlinked(): boolean {
    return fstatSync(this.fd).nlink === 0;
  }
}
