import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Longer than this is a hang. */
const DEADLINE_MS = 120_000;

type Reply = { id: number; answer?: unknown; error?: string };

/** A process of the benchmark that answers questions: `server.mjs` or one of the clients. */
export class Process {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>();
  #asked = 0;
  #ended: Error | undefined;

  private constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.error === undefined) waiting?.resolve(reply.answer);
      else waiting?.reject(new Error(reply.error));
    });
    child.once('exit', (code, signal) => {
      this.#ended = new Error(`${name} has ended (${signal ?? code})`);
      for (const { reject } of this.#waiting.values()) reject(this.#ended);
      this.#waiting.clear();
    });
  }

  /** @returns the process, and what it said when it was ready */
  static async start<Ready>(
    name: string,
    script: 'server.mjs' | 'client.mjs' | 'flights.mjs' | 'registry-client.mjs',
    given: { config?: unknown; env?: NodeJS.ProcessEnv; execArgv?: string[] } = {},
  ): Promise<{ process: Process; ready: Ready }> {
    const child = fork(
      fileURLToPath(new URL(script, import.meta.url)),
      given.config === undefined ? [] : [JSON.stringify(given.config)],
      {
        // What the orchestrator was started with (a loader) is not what is to be measured.
        execArgv: given.execArgv ?? [],
        env: { ...process.env, NODE_OPTIONS: '', NODE_ENV: 'production', ...given.env },
      },
    );
    const started = new Process(name, child);
    const [first] = await Promise.race([
      once(child, 'message') as Promise<[{ ready: Ready }]>,
      once(child, 'exit').then(([code]) => {
        throw new Error(`${name} ended with ${code} before it was ready`);
      }),
    ]);
    return { process: started, ready: first.ready };
  }

  async ask<Answer>(ask: string, more: object = {}, deadlineMs: number = DEADLINE_MS): Promise<Answer> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = ++this.#asked;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#waiting.set(id, { resolve: (answer) => resolve(answer as Answer), reject });
        timer = setTimeout(
          () => reject(new Error(`${this.#name} has not answered '${ask}' in ${deadlineMs / 1000} s`)),
          deadlineMs,
        );
        this.#child.send({ ...more, id, ask });
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  async stop(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exited = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await exited;
    clearTimeout(timer);
  }
}
