/** Two who use one backend, whose steps a test puts in order: each operation of it is one. */
import type { ObjectInfo, StorageBackend } from '../../../lib/storage/backends/backend.ts';

/** After so many turns of the event loop without a new step, somebody waits for something else, or has ended. */
const QUIET_TURNS = 12;

class Actor {
  readonly backend: StorageBackend;
  readonly #waiting: (() => Promise<void>)[] = [];
  isOver = false;

  constructor(inner: StorageBackend) {
    this.backend = new Proxy(inner, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function' || name === 'lock') return name === 'lock' ? undefined : value;
        if (name === 'list') return (path: string) => this.#list(target, path);
        return (...args: unknown[]) => this.#step(() => value.apply(target, args) as Promise<unknown>);
      },
    });
  }

  /** Does its next step; whether there was one. */
  async step(): Promise<boolean> {
    for (let turn = 0; this.#waiting.length === 0; turn++) {
      if (this.isOver || turn > QUIET_TURNS) return false;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await this.#waiting.shift()?.();
    return true;
  }

  async *#list(target: StorageBackend, path: string): AsyncGenerator<ObjectInfo> {
    yield* await this.#step(async () => {
      const found: ObjectInfo[] = [];
      for await (const info of target.list(path)) found.push(info);
      return found;
    });
  }

  #step<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => work().then(resolve, reject));
    });
  }
}

/** Whose turn it is: the n-th step is one of the first or of the second, as long as they have any; `undefined`: whoever is left. */
export type Schedule = (n: number) => 0 | 1 | undefined;

/** Resolves to how many steps each of them took. */
export async function interleave(
  backend: StorageBackend,
  works: readonly [
    (backend: StorageBackend) => Promise<unknown>,
    (backend: StorageBackend) => Promise<unknown>,
  ],
  schedule: Schedule,
): Promise<[number, number]> {
  const actors = [new Actor(backend), new Actor(backend)] as const;
  const all = works.map((work, i) => {
    const actor = actors[i] as Actor;
    return work(actor.backend).finally(() => {
      actor.isOver = true;
    });
  });
  const settled = Promise.allSettled(all);
  const steps: [number, number] = [0, 0];
  for (let n = 0; !actors.every(({ isOver }) => isOver); n++) {
    const wanted = schedule(n) ?? 0;
    const order = wanted === 0 ? ([0, 1] as const) : ([1, 0] as const);
    for (const i of order) {
      if (!(await actors[i].step())) continue;
      steps[i]++;
      break;
    }
  }
  await settled;
  await Promise.all(all);
  return steps;
}
