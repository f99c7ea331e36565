import { OptionError } from '../errors.ts';

const SHORTEST_MS = 1_000;
const LONGEST_MS = 60_000;

/** Looks again and again for what has not been used for long. */
export class Expiry {
  readonly #inactiveMs: number | undefined;
  readonly #expire: () => Promise<unknown>;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> | undefined;

  /**
   * @param inactiveMs undefined: off
   * @param expire removes what has not been used for that long
   */
  constructor(inactiveMs: number | undefined, expire: () => Promise<unknown>) {
    this.#inactiveMs = inactiveMs;
    this.#expire = expire;
  }

  start(): void {
    if (this.#inactiveMs === undefined) return;
    const interval = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, Math.floor(this.#inactiveMs / 4)));
    this.#timer = setInterval(() => this.#run(), interval).unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  #run(): void {
    this.#running ??= this.#expire()
      .catch(() => undefined)
      .finally(() => {
        this.#running = undefined;
      });
  }
}

/** @throws OptionError */
export function requireInactiveMs(inactiveMs: number | undefined): void {
  if (inactiveMs === undefined || (Number.isSafeInteger(inactiveMs) && inactiveMs >= 1)) return;
  throw new OptionError(
    'inactiveMs',
    `inactiveMs must be a whole number of milliseconds, at least 1, got ${String(inactiveMs)}; leave it out to keep entries however long they are not used`,
  );
}
