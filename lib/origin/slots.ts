import { OriginError } from '../errors.ts';

/** What somebody waits with for their turn. */
interface Waiter {
  admit(): void;
  refuse(error: OriginError): void;
}

export interface SlotLimits {
  maxRequests: number;
  maxQueued: number;
  queueTimeoutMs: number;
}

/** Turns: so many at a time, the others in the order in which they came. */
export class Slots {
  readonly #limits: SlotLimits;
  readonly #queue = new Set<Waiter>();
  #taken = 0;
  #closed = false;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  get taken(): number {
    return this.#taken;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /**
   * Resolves with what gives the turn back; calling it again does nothing.
   *
   * @throws OriginError `busy`; what `signal` was aborted with
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#closed) throw closedError();
    if (this.#taken < this.#limits.maxRequests) this.#taken++;
    else await this.#wait(signal);
    let given = true;
    return () => {
      if (given) this.#release();
      given = false;
    };
  }

  /** Nobody gets a turn any more. */
  close(): void {
    this.#closed = true;
    for (const waiter of [...this.#queue]) waiter.refuse(closedError());
  }

  #wait(signal: AbortSignal): Promise<void> {
    const { maxRequests, maxQueued, queueTimeoutMs } = this.#limits;
    if (this.#queue.size >= maxQueued) {
      const full = `${maxRequests} requests run and ${this.#queue.size} wait: no more are taken`;
      return Promise.reject(new OriginError('busy', full, { retryAfter: 1 }));
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        this.#queue.delete(waiter);
      };
      const waiter: Waiter = {
        admit: () => {
          leave();
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const abort = () => {
        leave();
        reject(signal.reason);
      };
      const late = () => {
        const message = `none of ${maxRequests} requests ended within ${queueTimeoutMs / 1000} s`;
        waiter.refuse(new OriginError('busy', message, { retryAfter: 1 }));
      };
      const timer = queueTimeoutMs > 0 ? setTimeout(late, queueTimeoutMs).unref() : undefined;
      signal.addEventListener('abort', abort, { once: true });
      this.#queue.add(waiter);
    });
  }

  /** The turn goes from one to the next, so that nobody who comes in between is before them. */
  #release(): void {
    const [next] = this.#queue;
    if (next === undefined) this.#taken--;
    else next.admit();
  }
}

function closedError(): OriginError {
  return new OriginError('busy', 'the origin is closed: nothing is asked any more');
}
