import { existsSync, statSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createNew, isMissing, unlink } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import { ORPHAN_MS } from './others.ts';

/**
 * The file by which processes that read a fill along tell the one that writes it: one for all of them, as fresh as the last sign that
 * one of them is there.
 */
export class ReaderMark {
  readonly #path: string;
  readonly #mode: number;

  constructor(layout: Layout, { name, fill }: { name: string; fill: string }, mode: number) {
    this.#path = layout.reader(name, fill);
    this.#mode = mode;
  }

  /** Says that somebody reads along. */
  async set(): Promise<void> {
    const now = new Date();
    try {
      await fs.utimes(this.#path, now, now);
    } catch (error) {
      if (!isMissing(error)) throw error;
      // Somebody else may be first.
      await createNew(this.#path, this.#mode).then((file) => file.close(), ignoreExisting);
    }
  }

  /** Whether somebody does. Without a wait. */
  get isSet(): boolean {
    try {
      const stat = statSync(this.#path, { throwIfNoEntry: false });
      return stat !== undefined && Date.now() - stat.mtimeMs < ORPHAN_MS;
    } catch {
      // Where the directory can't be looked at, nobody can read along.
      return false;
    }
  }

  async remove(): Promise<void> {
    if (existsSync(this.#path)) await unlink(this.#path);
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}
