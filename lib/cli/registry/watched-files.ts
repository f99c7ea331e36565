// docs/guides/registry-command.md

import { type BigIntStats, promises as fs } from 'node:fs';
import { errorText } from '../error-text.ts';
import { Failure } from '../failure.ts';

const INTERVAL_MS = 1_000;

/** Where it is told that files were read again, and that they could not be. */
export interface Say {
  log: (line: string) => void;
  warn: (line: string) => void;
}

export interface Watching extends Say {
  paths: readonly string[];
  /**
   * Puts to use what the files hold; says in a few words what that is. What it throws is told, and it goes on with what it took before.
   */
  take: (contents: readonly Buffer[]) => string;
}

/**
 * Files that are read again when they change. Looked at by their state, since what replaces a file by another one, or by a symbolic link to
 * another folder, is not told of by a watch on the file.
 */
export class WatchedFiles {
  readonly #watching: Watching;
  readonly #timer: NodeJS.Timeout;
  /** What the files were when they were last read. */
  #read: string;
  /** What they were at the last look. */
  #seen: string;
  #busy: Promise<void> | undefined;

  private constructor(watching: Watching, state: string) {
    this.#watching = watching;
    this.#read = state;
    this.#seen = state;
    this.#timer = setInterval(() => void this.#look(), INTERVAL_MS).unref();
  }

  /** Reads them for the first time. @throws Failure for what can't be read, and what `take` throws */
  static async open(watching: Watching): Promise<WatchedFiles> {
    const state = await stateOf(watching.paths);
    watching.take(await readAll(watching.paths));
    return new WatchedFiles(watching, state);
  }

  /** Reads them again at once, whether they have changed or not. */
  async reload(): Promise<void> {
    await this.#busy;
    await this.#once(async () => this.#readAgain(await stateOf(this.#watching.paths)));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#busy !== undefined) return;
    await this.#once(async () => {
      const state = await stateOf(this.#watching.paths);
      // Whoever writes a file, or a certificate and then its key, is given until the next look to end.
      const isStill = state === this.#seen;
      this.#seen = state;
      if (isStill && state !== this.#read) await this.#readAgain(state);
    });
  }

  async #once(work: () => Promise<void>): Promise<void> {
    this.#busy = work();
    await this.#busy;
    this.#busy = undefined;
  }

  async #readAgain(state: string): Promise<void> {
    const { paths, take, log, warn } = this.#watching;
    const names = paths.join(', ');
    this.#read = state;
    this.#seen = state;
    try {
      log(`cache-filter: read again: ${names}: ${take(await readAll(paths))}`);
    } catch (error) {
      warn(`cache-filter: can't use ${names}, what was read before stays in use: ${errorText(error)}`);
    }
  }
}

function readAll(paths: readonly string[]): Promise<Buffer[]> {
  return Promise.all(
    paths.map((path) =>
      fs.readFile(path).catch((error: Error) => {
        throw new Failure(`can't read ${path}: ${error.message}`, { cause: error });
      }),
    ),
  );
}

async function stateOf(paths: readonly string[]): Promise<string> {
  const states = paths.map((path) =>
    fs.stat(path, { bigint: true }).then(
      ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats) => [dev, ino, size, mtimeNs, ctimeNs].join(),
      (error: NodeJS.ErrnoException) => String(error.code),
    ),
  );
  return (await Promise.all(states)).join(' ');
}
