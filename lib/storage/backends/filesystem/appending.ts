import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory, writeAt } from '../../../fs/files.ts';
import type { Appending } from '../backend.ts';
import type { Step } from '../fault.ts';

/** A file that is being appended to. */
export class AppendingFile implements Appending {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #step: Step;
  readonly #durable: boolean;
  #offset: number;
  #isWriting = false;
  #closing: Promise<void> | undefined;

  /**
   * @param file ends at `offset`
   * @param durable false: nothing is synced, whatever is asked for
   */
  constructor(file: FileHandle, path: string, offset: number, durable: boolean, step: Step) {
    this.#file = file;
    this.#path = path;
    this.#offset = offset;
    this.#durable = durable;
    this.#step = step;
  }

  get offset(): number {
    return this.#offset;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isWriting) throw this.#step.error('the write before has not ended', 'failed');
    this.#isWriting = true;
    try {
      await writeAt(this.#file, bytes, this.#offset);
      this.#offset += bytes.byteLength;
    } catch (error) {
      // What was written of it is no part of the object. Where it stays, whoever appends next cuts it off.
      await this.#file.truncate(this.#offset).catch(() => undefined);
      throw this.#step.fault(error);
    } finally {
      this.#isWriting = false;
    }
  }

  close({ durable = false }: { durable?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#step.run(() => this.#close(durable && this.#durable));
    return this.#closing;
  }

  async #close(durable: boolean): Promise<void> {
    try {
      if (durable) await this.#file.sync();
    } finally {
      await this.#file.close();
    }
    // Its name, where it is new.
    if (durable) await syncDirectory(dirname(this.#path));
  }
}
