/** Where changes of state are told to an operator. `console` is one; so are pino and winston. */
export interface Logger {
  warn(message: string): void;
  error(message: string): void;
}

/** What a message is about; each is said once a minute at most. */
export type LogCode = 'corrupt-entry' | 'store-down' | 'store-up' | 'unknown-format';

const INTERVAL_MS = 60_000;

/** Changes of state only, and once a minute each with a count: a broken disk must not fill the log. */
export class Log {
  readonly #logger: Logger | undefined;
  readonly #said = new Map<LogCode, { at: number; more: number }>();

  /** @param logger false: says nothing */
  constructor(logger: Logger | false = console) {
    this.#logger = logger === false ? undefined : logger;
  }

  warn(code: LogCode, message: string): void {
    this.#say('warn', code, message);
  }

  error(code: LogCode, message: string): void {
    this.#say('error', code, message);
  }

  #say(level: keyof Logger, code: LogCode, message: string): void {
    if (this.#logger === undefined) return;
    const now = Date.now();
    const last = this.#said.get(code);
    if (last !== undefined && now - last.at < INTERVAL_MS) {
      last.more++;
      return;
    }
    this.#said.set(code, { at: now, more: 0 });
    const count =
      last === undefined || last.more === 0 ? '' : ` (and ${last.more} more since the last message)`;
    try {
      this.#logger[level](`cache-filter: ${message}${count} [${code}]`);
    } catch {
      // A logger that fails is not worth a response.
    }
  }
}
