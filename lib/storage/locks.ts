import { BusyError } from '../errors.ts';
import type { StorageBackend } from './backends/backend.ts';

/** A lock that nobody has is taken within that time, in milliseconds. */
const TRY_MS = 250;

/** One who has a lock, and those who wait for it. */
interface Line {
  /** Aborted when somebody else waits. */
  wanted: AbortController;
  waiting: (() => void)[];
}

/** What one who has a lock is told. */
export interface Turn {
  /** Aborted when somebody else waits. */
  wanted: AbortSignal;
  /** @throws BusyError where another process has come to have it: this one was stopped for long */
  requireHeld(): Promise<void>;
}

/** One writer at a time for each path: in this process by a queue, between processes by what the backend offers. */
export class Locks {
  readonly #backend: StorageBackend;
  readonly #timeoutMs: number;
  readonly #lines = new Map<string, Line>();

  constructor(backend: StorageBackend, timeoutMs: number) {
    this.#backend = backend;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Does the work while nobody else does any under the same path.
   * @param what for the message of the error
   * @throws BusyError where it did not come to its turn in time
   */
  async hold<T>(
    path: string,
    { what, signal }: { what: string; signal?: AbortSignal | undefined },
    work: (turn: Turn) => Promise<T>,
  ): Promise<T> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(new BusyError(what)), this.#timeoutMs);
    const patience = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
    try {
      const line = await this.#turn(path, patience);
      try {
        const unlock = await this.#backend.lock?.(path, patience);
        clearTimeout(timer);
        try {
          return await work({
            wanted: line.wanted.signal,
            async requireHeld() {
              if ((await unlock?.isHeld?.()) === false) throw new BusyError(what);
            },
          });
        } finally {
          await unlock?.();
        }
      } finally {
        this.#next(path, line);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Does the work unless somebody has the lock or waits for it, here or in another process, who is not disturbed; whether it was done. */
  async tryHold(path: string, work: () => Promise<void>): Promise<boolean> {
    if (this.#lines.has(path)) return false;
    const line = await this.#turn(path, new AbortController().signal);
    const patience = AbortSignal.timeout(TRY_MS);
    try {
      const unlock = await this.#backend.lock?.(path, patience);
      try {
        await work();
      } finally {
        await unlock?.();
      }
      return true;
    } catch (error) {
      if (error === patience.reason) return false;
      throw error;
    } finally {
      this.#next(path, line);
    }
  }

  async #turn(path: string, patience: AbortSignal): Promise<Line> {
    patience.throwIfAborted();
    const line = this.#lines.get(path);
    if (line === undefined) {
      const mine = { wanted: new AbortController(), waiting: [] };
      this.#lines.set(path, mine);
      return mine;
    }
    line.wanted.abort();
    await new Promise<void>((resolve, reject) => {
      const take = () => {
        patience.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        line.waiting.splice(line.waiting.indexOf(take), 1);
        reject(patience.reason as Error);
      };
      line.waiting.push(take);
      patience.addEventListener('abort', leave, { once: true });
    });
    return line;
  }

  #next(path: string, line: Line): void {
    const next = line.waiting.shift();
    if (next === undefined) {
      this.#lines.delete(path);
      return;
    }
    line.wanted = new AbortController();
    if (line.waiting.length > 0) line.wanted.abort();
    next();
  }
}
