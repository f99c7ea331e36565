import type { FileHandle } from 'node:fs/promises';
import { createNew, unlink, writeWhole } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import { SELF } from '../../fs/living.ts';
import type { Key } from '../cache.ts';
import { type ClaimText, encodeClaim } from './claim-text.ts';

/**
 * The file that says that this process fetches a key. It exists before the first byte is asked for, and becomes the record by the very
 * rename that publishes the entry: who removes it in between has made the fill unpublishable, in any process. Those who follow the
 * fill from other processes keep it open: what is written to it reaches them even when its name has gone.
 */
export class ClaimFile {
  readonly name: string;
  readonly fill: string;
  readonly path: string;
  readonly #handle: FileHandle;
  #text: ClaimText;
  /** One write at a time. */
  #written: Promise<void> = Promise.resolve();
  #isFinal = false;
  #closed = false;

  private constructor(name: string, fill: string, path: string, handle: FileHandle, key: Key) {
    this.name = name;
    this.fill = fill;
    this.path = path;
    this.#handle = handle;
    this.#text = { key, owner: SELF, since: Date.now() };
  }

  /**
   * @param fill an id of its own
   * @param path where it is to be; default among those of fills
   */
  static async create(
    layout: Layout,
    { name, fill, path = layout.claim(name, fill) }: { name: string; fill: string; path?: string },
    key: Key,
    mode: number,
  ): Promise<ClaimFile> {
    const claim = new ClaimFile(name, fill, path, await createNew(path, mode), key);
    try {
      await claim.say({});
    } catch (error) {
      await claim.remove();
      throw error;
    }
    return claim;
  }

  get key(): Key {
    return this.#text.key;
  }

  /** Says what has become of the fill; `reserved`: how many bytes on disk it will take in all, so that others leave them to it. */
  say(news: Partial<Pick<ClaimText, 'leads' | 'reserved' | 'begun' | 'ended'>>): Promise<void> {
    this.#text = { ...this.#text, ...news };
    return this.#write(() => encodeClaim(this.#text));
  }

  /** Says that the owner lives. */
  async beat(): Promise<void> {
    const now = new Date();
    if (!this.#closed) await this.#handle.utimes(now, now);
  }

  /**
   * Makes the record of it that the rename will publish; it says nothing else any more. Through the open file: a claim that was removed
   * must not come back. It stays open: until the rename its owner goes on to say that it lives.
   */
  become(record: Uint8Array): Promise<void> {
    const written = this.#write(() => record);
    this.#isFinal = true;
    return written;
  }

  async remove(): Promise<void> {
    await this.close();
    await unlink(this.path);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#written.catch(() => undefined);
    await this.#handle.close();
  }

  #write(bytes: () => Uint8Array): Promise<void> {
    if (this.#isFinal) return this.#written;
    const write = async () => {
      if (this.#closed) return;
      const content = bytes();
      // Cut last: a block that is let go may not be there again on a disk that is full.
      await writeWhole(this.#handle, content);
      await this.#handle.truncate(content.byteLength);
    };
    this.#written = this.#written.then(write, write);
    return this.#written;
  }
}
