/** What one request tells of a host. One of the three is called, once; the others do nothing then. */
export interface Pass {
  succeeded(): void;
  failed(): void;
  /** Nothing can be said: it was ended by us. */
  dropped(): void;
}

interface HostState {
  failures: number;
  /** Until when it is left alone, by `performance.now()`. */
  openUntil: number;
  /** One request is finding out whether it is back. */
  probing: boolean;
}

/** Those that failed longest ago are forgotten first: redirects may lead to any number of hosts. */
const MAX_HOSTS = 1000;

const UNCOUNTED: Pass = { succeeded() {}, failed() {}, dropped() {} };

/** Which hosts are left alone because they failed several times in a row. */
export class Breakers {
  readonly #limits: { failures: number; openMs: number } | false;
  /** Only those that have failed. */
  readonly #hosts = new Map<string, HostState>();

  constructor(limits: { failures: number; openMs: number } | false) {
    this.#limits = limits;
  }

  /** How many milliseconds a host is still left alone; 0: it may be asked. While a probe runs, at least 1. */
  waitMs(host: string): number {
    const state = this.#hosts.get(host);
    if (this.#limits === false || state === undefined || state.failures < this.#limits.failures) return 0;
    return Math.max(state.probing ? 1 : 0, state.openUntil - performance.now());
  }

  /** undefined: the host is to be left alone. After a while one request is let through, and the others wait for what it finds. */
  enter(host: string): Pass | undefined {
    const limits = this.#limits;
    if (limits === false) return UNCOUNTED;
    if (this.waitMs(host) > 0) return undefined;
    const state = this.#hosts.get(host);
    const probe = state !== undefined && state.failures >= limits.failures;
    if (probe) state.probing = true;
    let open = true;
    const once = (act: () => void) => () => {
      if (!open) return;
      open = false;
      if (probe) state.probing = false;
      act();
    };
    return {
      succeeded: once(() => this.#hosts.delete(host)),
      failed: once(() => this.#fail(host, limits)),
      dropped: once(() => {}),
    };
  }

  #fail(host: string, { failures, openMs }: { failures: number; openMs: number }): void {
    const state = this.#hosts.get(host) ?? { failures: 0, openUntil: 0, probing: false };
    state.failures++;
    if (state.failures >= failures) state.openUntil = performance.now() + openMs;
    this.#hosts.delete(host);
    this.#hosts.set(host, state);
    const [oldest] = this.#hosts.keys();
    if (this.#hosts.size > MAX_HOSTS && oldest !== undefined) this.#hosts.delete(oldest);
  }
}
