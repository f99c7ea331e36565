/** A process that does what its parent tells it, by name: what goes there and back is what JSON can hold. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

type Task = (...args: never[]) => unknown;

interface Told {
  id: number;
  task: string;
  args: never[];
}

/** In a file whose process is told: what it does then, and that it ends with whoever tells it. Imported by others it does nothing. */
export function obeyIn(url: string, tasks: object): void {
  if (process.argv[1] === fileURLToPath(url) && process.argv[2] === TOLD) obey(tasks);
}

/** What says to a file that it is run to be told. */
const TOLD = 'told';

/** In that process: does what it is told. */
export function obey(tasks: object): void {
  process.once('disconnect', () => process.exit());
  process.on('message', ({ id, task, args }: Told) => {
    const run = (tasks as Record<string, (...args: never[]) => Promise<unknown>>)[task];
    Promise.resolve(run?.(...args)).then(
      (result) => process.send?.({ id, result }),
      (error: Error) => process.send?.({ id, error: String(error.stack) }),
    );
  });
}

const ids = new WeakMap<ChildProcess, number>();

/** Longer than this is a hang, in milliseconds. */
const DEADLINE_MS = 60_000;

/** In its parent: resolves to what the task came to. Rejects with what it threw, or where the process ends, or says nothing for too long. */
export function tell<T extends Task>(
  child: ChildProcess,
  task: string,
  args: unknown[],
): Promise<Awaited<ReturnType<T>>> {
  const id = ids.get(child) ?? 0;
  ids.set(child, id + 1);
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      clearTimeout(timer);
      child.off('message', listen).off('exit', gone);
      done();
    };
    const gone = () =>
      settle(() => reject(new Error(`it ended (${howItEnded(child)}) before it answered '${task}'`)));
    const listen = (message: { id?: number; result?: never; error?: string }) => {
      if (message.id !== id) return;
      settle(() =>
        message.error === undefined ? resolve(message.result as never) : reject(new Error(message.error)),
      );
    };
    const timer = setTimeout(gone, DEADLINE_MS);
    child.on('message', listen).once('exit', gone);
    if (!isAlive(child)) gone();
    else child.send({ id, task, args }, (error) => error && gone());
  });
}

export function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

/** A signal or a code; of one that lives `undefined`. */
function howItEnded({ exitCode, signalCode }: ChildProcess): string | undefined {
  return signalCode ?? exitCode?.toString();
}

/** Ends it at once, as the kernel does when memory runs out. Resolves to how it ended. */
export async function kill(child: ChildProcess): Promise<string | undefined> {
  if (isAlive(child)) {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }
  return howItEnded(child);
}

/** In its parent: a process of a file that calls `obeyIn` with these tasks. It is killed after the test. */
export class ToldProcess<Tasks extends Record<keyof Tasks, Task>> {
  readonly child: ChildProcess;

  /** @param how `shell` runs the command in its arguments (`ulimit -f 1 && exec "$@"`); `imports` are loaded first */
  constructor(
    t: TestContext,
    url: string,
    { shell, imports = [] }: { shell?: string; imports?: string[] } = {},
  ) {
    const loaded = imports.map((each) => `--import=${each}`);
    const command = [process.execPath, ...process.execArgv, ...loaded, fileURLToPath(url), TOLD];
    const [file = '', ...args] = shell === undefined ? command : ['sh', '-c', shell, 'sh', ...command];
    this.child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    t.after(() => this.kill());
  }

  get isAlive(): boolean {
    return isAlive(this.child);
  }

  tell<T extends keyof Tasks & string>(
    task: T,
    ...args: Parameters<Tasks[T]>
  ): Promise<Awaited<ReturnType<Tasks[T]>>> {
    return tell<Tasks[T]>(this.child, task, args);
  }

  /** At once, as the kernel does when memory runs out. Resolves to how it ended. */
  kill(): Promise<string | undefined> {
    return kill(this.child);
  }
}
