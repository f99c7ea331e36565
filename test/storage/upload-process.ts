/** A process of its own with a Storage on disk, which stores a chunk of what its parent tells it. */
import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';
import { FilesystemBackend } from '../../lib/storage/backends/filesystem.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { obeyIn, ToldProcess } from '../support/told.ts';

let storage: Storage | undefined;
let body = new PassThrough();
let chunk: Promise<string | undefined>;

/** What it can be told; each answers with something that JSON can hold. */
const TASKS = {
  async open(directory: string) {
    storage = new Storage(new FilesystemBackend({ directory, durability: 'none' }));
  },
  async begin(namespace: string, id: string) {
    body = new PassThrough();
    chunk = Promise.resolve(storage?.uploadChunk(namespace, id, body)).then(
      () => 'stored',
      (error: { code?: string }) => String(error.code ?? error),
    );
  },
  async piece(text: string) {
    body.write(text);
  },
  /** What became of the chunk. */
  async end() {
    body.end();
    return chunk;
  },
};

obeyIn(import.meta.url, TASKS);

export class UploadProcess extends ToldProcess<typeof TASKS> {
  static async open(t: TestContext, directory: string): Promise<UploadProcess> {
    const child = new UploadProcess(t, import.meta.url);
    await child.tell('open', directory);
    return child;
  }
}
