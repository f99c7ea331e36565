/** A process of its own with a FileCache, which does what its parent tells it. */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Fill, FillOptions, Invalidation, Key } from '../../lib/cache/cache.ts';
import { FileCache, type FileCacheOptions } from '../../lib/cache/file-cache.ts';
import { bytesOf, start, stored, write } from '../../lib/contracts/cache/steps.ts';

/** What it can be told; each answers with something that JSON can hold. */
const TASKS = {
  async open(options: FileCacheOptions) {
    cache = new FileCache(options);
    return cache.stats();
  },
  async start(key: Key, options: FillOptions) {
    fill = await start(opened(), key, options);
  },
  /** Resolves once a reader has got the bytes from the disk or from memory. */
  async write(length: number, seed: number) {
    await write(running(), bytesOf(length, seed));
  },
  /** `committed`, or the code of the error. */
  async commit() {
    return running()
      .commit({})
      .then(
        () => 'committed',
        (error: { code: string }) => error.code,
      );
  },
  async invalidate(what: Invalidation) {
    return opened().invalidate(what);
  },
  /** The SHA-256 of what is stored. */
  async stored(key: Key) {
    const bytes = await stored(opened(), key);
    return bytes === undefined ? null : createHash('sha256').update(bytes).digest('hex');
  },
};

type Tasks = typeof TASKS;

let cache: FileCache | undefined;
let fill: Fill | undefined;

function opened(): FileCache {
  if (cache === undefined) throw new Error('not opened yet');
  return cache;
}

function running(): Fill {
  if (fill === undefined) throw new Error('no fill has begun');
  return fill;
}

if (process.argv[2] === 'cache-process') {
  process.on('message', ({ id, task, args }: { id: number; task: keyof Tasks; args: never[] }) => {
    const run = TASKS[task] as (...args: never[]) => Promise<unknown>;
    run(...args).then(
      (result) => process.send?.({ id, result }),
      (error: Error) => process.send?.({ id, error: String(error.stack) }),
    );
  });
}

export class CacheProcess {
  readonly #child: ReturnType<typeof fork>;
  #id = 0;

  constructor(t: TestContext) {
    this.#child = fork(fileURLToPath(import.meta.url), ['cache-process']);
    t.after(() => this.kill());
  }

  static async open(t: TestContext, options: FileCacheOptions): Promise<CacheProcess> {
    const child = new CacheProcess(t);
    await child.tell('open', options);
    return child;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  tell<T extends keyof Tasks>(task: T, ...args: Parameters<Tasks[T]>): ReturnType<Tasks[T]> {
    const id = this.#id++;
    const answer = new Promise((resolve, reject) => {
      const listen = (message: { id: number; result?: unknown; error?: string }) => {
        if (message.id !== id) return;
        this.#child.off('message', listen);
        if (message.error === undefined) resolve(message.result);
        else reject(new Error(message.error));
      };
      this.#child.on('message', listen);
      this.#child.once('exit', (code, signal) => reject(new Error(`it ended with ${code ?? signal}`)));
    });
    this.#child.send({ id, task, args });
    return answer as ReturnType<Tasks[T]>;
  }

  /** At once, as the kernel does when memory runs out. */
  async kill(): Promise<NodeJS.Signals | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.signalCode;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    const [, signal] = await exit;
    return signal;
  }
}
