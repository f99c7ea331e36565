/** A process of its own with a FilesystemBackend, which does what its parent tells it. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  FilesystemBackend,
  type FilesystemBackendOptions,
} from '../../../lib/storage/backends/filesystem.ts';
import { kill, obey, tell } from '../../support/told.ts';

let backend: FilesystemBackend | undefined;
let release: (() => Promise<void>) | undefined;

/** What it can be told; each answers with something that JSON can hold. */
const TASKS = {
  async open(options: FilesystemBackendOptions) {
    backend = new FilesystemBackend({ durability: 'none', ...options });
  },
  async lock(path: string) {
    release = await backend?.lock?.(path);
  },
  async release() {
    await release?.();
  },
  /** Adds one to the number in an object, so many times; whoever does so without being alone loses some. */
  async count(path: string, times: number) {
    for (let i = 0; i < times; i++) {
      const letGo = await backend?.lock?.(path);
      const found = Number((await backend?.get(path)) ?? 0);
      await backend?.put(path, Buffer.from(String(found + 1)));
      await letGo?.();
    }
  },
  async put(path: string, bytes: number) {
    await backend?.put(path, Buffer.alloc(bytes));
  },
  /** Puts what never comes to an end. */
  async begin(path: string) {
    const endless = async function* () {
      yield Buffer.alloc(1000);
      await new Promise(() => undefined);
    };
    void backend?.put(path, endless());
  },
  async append(path: string, bytes: number) {
    const appending = await backend?.append(path, 0);
    await appending?.write(Buffer.alloc(bytes));
    await appending?.close();
  },
  umask: async () => process.umask(),
};

type Tasks = typeof TASKS;

if (process.argv[1] === fileURLToPath(import.meta.url)) obey(TASKS);

export class BackendProcess {
  readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  /** @param shell what a shell does before it becomes that process: `umask 077 && exec "$@"` */
  static async open(
    t: TestContext,
    options: FilesystemBackendOptions,
    shell = 'exec "$@"',
  ): Promise<BackendProcess> {
    const script = fileURLToPath(import.meta.url);
    const child = spawn('sh', ['-c', shell, 'sh', process.execPath, script], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    t.after(() => kill(child));
    const opened = new BackendProcess(child);
    await opened.tell('open', options);
    return opened;
  }

  tell<Name extends keyof Tasks & string>(
    task: Name,
    ...args: Parameters<Tasks[Name]>
  ): Promise<Awaited<ReturnType<Tasks[Name]>>> {
    return tell<Tasks[Name]>(this.child, task, args);
  }
}
