/** What several wait for, and nobody owns: it is given up when the last of them has left. */
export class FirstRequest<T> {
  /** Resolves when it has come to something, whatever that is. */
  readonly settled: Promise<void>;
  readonly #result: Promise<T>;
  readonly #stop = new AbortController();
  #waiting = 0;

  constructor(begin: (signal: AbortSignal) => Promise<T>) {
    this.#result = begin(this.#stop.signal);
    this.settled = this.#result.then(
      () => undefined,
      () => undefined,
    );
  }

  abort(reason: Error): void {
    this.#stop.abort(reason);
  }

  /** @throws the reason of `signal`, or what it fails with */
  async wait(signal: AbortSignal): Promise<T> {
    this.#waiting++;
    try {
      return await unless(signal, this.#result);
    } finally {
      if (--this.#waiting === 0 && signal.aborted) this.abort(signal.reason as Error);
    }
  }
}

/** The result, unless the signal comes first. @throws the reason of the signal */
export async function unless<T>(signal: AbortSignal, result: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
