import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import createDebug from 'debug';
import { createNew, list, unlink, writeAt } from '../../../fs/files.ts';
import type { Bytes } from '../backend.ts';
import type { Step } from '../fault.ts';
import { storePieces } from '../pieces.ts';

const debug = createDebug('cache-filter:storage');

/** A file that nobody has written to for so long is nobody's any more, in milliseconds. */
const LEFT_MS = 24 * 3_600_000;

/** What is written beside the objects, and becomes one when it is whole. */
export class Temporary {
  readonly #directory: string;
  readonly #fileMode: number;
  readonly #durable: boolean;

  /** @param directory must be there */
  constructor(directory: string, { fileMode, durable }: { fileMode: number; durable: boolean }) {
    this.#directory = directory;
    this.#fileMode = fileMode;
    this.#durable = durable;
  }

  /**
   * Writes bytes to a file of its own, and hands that over when it is complete: `place` renames it. It is gone afterwards, whatever happens.
   * @param step for the errors of writing; what the source throws is thrown as it is
   * @returns the size in bytes
   */
  async write(bytes: Bytes, step: Step, place: (file: string) => Promise<void>): Promise<number> {
    const path = join(this.#directory, randomUUID());
    const file = await step.run(() => createNew(path, this.#fileMode));
    let placed = false;
    try {
      let size: number;
      try {
        size = await storePieces(bytes, (piece, position) => step.run(() => writeAt(file, piece, position)));
        if (this.#durable) await step.run(() => file.sync());
      } finally {
        await file.close();
      }
      await step.run(() => place(path));
      placed = true;
      return size;
    } finally {
      if (!placed) await unlink(path).catch((error: unknown) => debug('%s stays: %o', path, error));
    }
  }

  /** Removes what processes that died have left here more than a day ago. Never rejects. */
  async removeLeftovers(): Promise<void> {
    const names = await list(this.#directory).catch(() => []);
    for (const name of names) {
      const path = join(this.#directory, name);
      try {
        const { mtimeMs } = await fs.lstat(path);
        if (mtimeMs < Date.now() - LEFT_MS) await unlink(path);
      } catch (error) {
        debug('%s stays: %o', path, error);
      }
    }
  }
}
