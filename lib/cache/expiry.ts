import { OptionError } from '../errors.ts';

const SHORTEST_MS = 1_000;
const LONGEST_MS = 60_000;

/** Looks again and again for what has not been used for long. */
export class Expiry {
  readonly #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> | undefined;

  /**
   * @param inactiveMs undefined: off
   * @param expire removes what has not been used for that long
   * @throws OptionError
   */
  constructor(inactiveMs: number | undefined, expire: () => Promise<unknown>) {
    if (inactiveMs === undefined) return;
    if (!Number.isSafeInteger(inactiveMs) || inactiveMs < 1) {
      throw new OptionError(
        'inactiveMs',
        `inactiveMs must be a whole number of milliseconds, at least 1, got ${String(inactiveMs)}; leave it out to keep entries however long they are not used`,
      );
    }
    const interval = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, Math.floor(inactiveMs / 4)));
    this.#timer = setInterval(() => this.#run(expire), interval).unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  #run(expire: () => Promise<unknown>): void {
    this.#running ??= expire()
      .catch(() => undefined)
      .finally(() => {
        this.#running = undefined;
      });
  }
}
