/** A process of its own with a FilesystemBackend, which does what its parent tells it. */
import type { TestContext } from 'node:test';
import {
  FilesystemBackend,
  type FilesystemBackendOptions,
} from '../../../lib/storage/backends/filesystem.ts';
import { obeyIn, ToldProcess } from '../../support/told.ts';

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

obeyIn(import.meta.url, TASKS);

export class BackendProcess extends ToldProcess<typeof TASKS> {
  /** @param shell what a shell does before it becomes that process: `umask 077 && exec "$@"` */
  static async open(
    t: TestContext,
    options: FilesystemBackendOptions,
    shell?: string,
  ): Promise<BackendProcess> {
    const child = new BackendProcess(t, import.meta.url, shell === undefined ? {} : { shell });
    await child.tell('open', options);
    return child;
  }
}
