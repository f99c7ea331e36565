/** A process of its own with a Storage on disk, which stores a chunk of what its parent tells it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FilesystemBackend } from '../../lib/storage/backends/filesystem.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { kill, obey, tell } from '../support/told.ts';

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

type Tasks = typeof TASKS;

if (process.argv[1] === fileURLToPath(import.meta.url)) obey(TASKS);

export class UploadProcess {
  readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  static async open(t: TestContext, directory: string): Promise<UploadProcess> {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    t.after(() => kill(child));
    const opened = new UploadProcess(child);
    await opened.tell('open', directory);
    return opened;
  }

  tell<Name extends keyof Tasks & string>(
    task: Name,
    ...args: Parameters<Tasks[Name]>
  ): Promise<Awaited<ReturnType<Tasks[Name]>>> {
    return tell<Tasks[Name]>(this.child, task, args);
  }
}
