import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { CacheFilterOptions, CacheStats } from '../../lib/index.ts';
import { isAlive, tell } from '../support/told.ts';

/** What a server of the campaign is started with. */
export type ServerOptions = Pick<CacheFilterOptions, 'maxBytes' | 'durability' | 'memory'> & {
  directory: string;
};

/** What a process holds at a moment. */
export interface Sample {
  rssBytes: number;
  heapBytes: number;
  /** 0 where the system does not say. */
  descriptors: number;
  /** Of the server, its process, and what keeps it alive. */
  listeners: number;
  resources: number;
  /** Of the event loop since the last sample, the longest, in milliseconds. */
  delayMs: number;
}

/** What it can be told. */
export interface Tasks {
  stats(): CacheStats;
  idle(): void;
  pin(path: string, on: boolean): number;
  isPinned(path: string): boolean;
  queue(path: string): boolean;
  clean(): void;
  prune(toBytes: number): void;
  /** Takes everything away, and waits until what was open of it is closed. */
  clear(): void;
  /** What the process holds. */
  sample(): Sample;
  /** How often each step was taken so far. */
  points(): Record<string, number>;
}

/** Longer than this is a hang. */
const DEADLINE_MS = 30_000;

const preloads = ['points.mjs', 'plants.mjs'].map((name) => new URL(name, import.meta.url).href);

/** A server in a process of its own. */
export class ServerProcess {
  readonly port: number;
  /** How it ended: a signal or a code. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #stderr: Buffer[];

  private constructor(child: ChildProcess, port: number, stderr: Buffer[]) {
    this.#child = child;
    this.port = port;
    this.#stderr = stderr;
    this.ended = ended(child);
  }

  /**
   * Resolves when its start-up scan is over; to undefined where it was ended before that.
   * @param crashAt a step, as points.mjs has them, and the how manieth of its kind
   */
  static async start(
    options: ServerOptions,
    { crashAt = '', plant = '' }: { crashAt?: string; plant?: string } = {},
  ): Promise<ServerProcess | undefined> {
    const script = fileURLToPath(new URL('server.ts', import.meta.url));
    const imports = preloads.flatMap((url) => ['--import', url]);
    const child = spawn(
      process.execPath,
      [
        ...process.execArgv.filter((flag) => !flag.startsWith('--test')),
        '--expose-gc',
        ...imports,
        script,
        JSON.stringify(options),
      ],
      {
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
        env: { ...process.env, CRASH_AT: crashAt, CRASH_PLANT: plant },
      },
    );
    const stderr: Buffer[] = [];
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    const first = await Promise.race([
      once(child, 'message').then(([message]) => (message as { port: number }).port),
      ended(child),
    ]);
    if (typeof first === 'number') return new ServerProcess(child, first, stderr);
    if (first === 'SIGKILL' && crashAt !== '') return undefined;
    throw new Error(`the server ended with ${first} before it was ready: ${Buffer.concat(stderr)}`);
  }

  /** What it has complained about. */
  get complaints(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  get isAlive(): boolean {
    return isAlive(this.#child);
  }

  /** Whether it has ended, though perhaps nobody has heard of it yet. */
  endsSoon(): Promise<boolean> {
    return Promise.race([this.ended.then(() => true), sleep(500, false, { ref: false })]);
  }

  /** Rejects where it ends meanwhile. */
  tell<T extends keyof Tasks>(task: T, ...args: Parameters<Tasks[T]>): Promise<ReturnType<Tasks[T]>> {
    return tell<(...args: Parameters<Tasks[T]>) => ReturnType<Tasks[T]>>(this.#child, task, args) as Promise<
      ReturnType<Tasks[T]>
    >;
  }

  /** At once, as the kernel does when memory runs out. */
  async kill(): Promise<void> {
    if (this.isAlive) this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** As a process manager does. Resolves to how it ended: `0` where it stopped by itself. */
  async stop(): Promise<string> {
    if (this.isAlive) this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), DEADLINE_MS);
    const how = await this.ended;
    clearTimeout(timer);
    return how;
  }
}

async function ended(child: ChildProcess): Promise<string> {
  if (isAlive(child)) await once(child, 'exit');
  return String(child.signalCode ?? child.exitCode);
}
