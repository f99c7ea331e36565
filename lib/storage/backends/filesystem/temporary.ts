import { createHash, randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import createDebug from 'debug';
import { createNew, list, unlink, writeAt } from '../../../fs/files.ts';
import { isRunning, SELF } from '../../../fs/living.ts';
import type { Bytes } from '../backend.ts';
import type { Step } from '../fault.ts';
import { storePieces } from '../pieces.ts';

const debug = createDebug('cache-filter:storage');

/** Where it can't be told whether its process runs, a file that nobody has written to for so long is nobody's any more; in milliseconds. */
const LEFT_MS = 24 * 3_600_000;

/** Where a pid means a process, as the part of a name that says which process a file is of. */
const SPACE = createHash('sha256')
  .update(SELF.space ?? '')
  .digest('hex')
  .slice(0, 16);

function newName(): string {
  return [SELF.pid, SELF.started ?? '', SPACE, randomUUID()].join('.');
}

/** Whether the process that writes it is known to have died. */
function isLost(name: string): boolean {
  const [pid, started, space] = name.split('.');
  const { host, space: own } = SELF;
  return (
    own !== undefined &&
    space === SPACE &&
    isRunning({ host, pid: Number(pid), started: started ?? '', space: own }) === false
  );
}

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
   * Writes bytes to a file of its own, and hands that over when it is complete: `place` renames it. Where anything fails, it is gone afterwards.
   * @param step for the errors of writing; what the source throws is thrown as it is
   * @returns the size in bytes
   */
  async write(bytes: Bytes, step: Step, place: (file: string) => Promise<void>): Promise<number> {
    const path = join(this.#directory, newName());
    const file = await step.run(() => createNew(path, this.#fileMode));
    try {
      const size = await storePieces(bytes, (piece, position) =>
        step.run(() => writeAt(file, piece, position)),
      );
      if (this.#durable) await step.run(() => file.sync());
      // A file system of another host may say only now that it has no room.
      await step.run(() => file.close());
      await step.run(() => place(path));
      return size;
    } catch (error) {
      await file.close().catch(() => undefined);
      await unlink(path).catch((left: unknown) => debug('%s stays: %o', path, left));
      throw error;
    }
  }

  /** Removes what processes that died have left here. Never rejects. */
  async removeLeftovers(): Promise<void> {
    const names = await list(this.#directory).catch(() => []);
    for (const name of names) {
      const path = join(this.#directory, name);
      try {
        const { mtimeMs } = await fs.lstat(path);
        if (isLost(name) || mtimeMs < Date.now() - LEFT_MS) await unlink(path);
      } catch (error) {
        debug('%s stays: %o', path, error);
      }
    }
  }
}
