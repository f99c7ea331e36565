import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { createNew, unlink } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import type { Key } from '../cache.ts';

/**
 * The file that says that somebody fetches a key. It exists before the first byte is asked for, and becomes the record by the very
 * rename that publishes the entry: who removes it in between has made the fill unpublishable, in any process.
 */
export class ClaimFile {
  readonly name: string;
  readonly fill: string;
  readonly path: string;
  readonly #handle: FileHandle;
  #closed = false;

  private constructor(name: string, fill: string, path: string, handle: FileHandle) {
    this.name = name;
    this.fill = fill;
    this.path = path;
    this.#handle = handle;
  }

  static async create(layout: Layout, name: string, key: Key, mode: number): Promise<ClaimFile> {
    const fill = randomBytes(8).toString('hex');
    const path = layout.claim(name, fill);
    const handle = await createNew(path, mode);
    const claim = new ClaimFile(name, fill, path, handle);
    try {
      await handle.write(JSON.stringify({ key, owner: { host: hostname(), pid: process.pid }, since: Date.now() }), 0);
    } catch (error) {
      await claim.remove();
      throw error;
    }
    return claim;
  }

  /** Says that the owner lives. */
  async beat(): Promise<void> {
    const now = new Date();
    if (!this.#closed) await this.#handle.utimes(now, now);
  }

  /** Makes the record of it that the rename will publish. Through the open file: a claim that was removed must not come back. */
  async become(record: Uint8Array): Promise<void> {
    await this.#handle.truncate(0);
    await this.#handle.write(record, 0, record.byteLength, 0);
    await this.close();
  }

  async remove(): Promise<void> {
    await this.close();
    await unlink(this.path);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }
}
