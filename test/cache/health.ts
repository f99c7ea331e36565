import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { TestContext } from 'node:test';
import { settled } from '../../lib/contracts/cache/steps.ts';
import type { CacheFilterEvents } from '../../lib/events.ts';

type Event = CacheFilterEvents['cache-filter:health'];

/** What a cache in one directory says of its store while the test runs. */
export class Health {
  readonly events: Event[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(t: Pick<TestContext, 'after'>, directory: string) {
    const listener = (message: unknown) => {
      const event = message as Event;
      if (event.directory !== directory) return;
      this.events.push(event);
      for (const wake of this.#waiting.splice(0)) wake();
    };
    subscribe('cache-filter:health', listener);
    t.after(() => unsubscribe('cache-filter:health', listener));
  }

  get states(): string[] {
    return this.events.map(({ state }) => state);
  }

  /** Resolves when this is the latest that was said. */
  async until(state: Event['state']): Promise<Event> {
    for (;;) {
      const last = this.events.at(-1);
      if (last?.state === state) return last;
      const said = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await settled(said, `the store to be ${state}, after ${this.states.join(', ') || 'nothing'}`);
    }
  }
}

/** The code of an error, or of what caused it: that of the operating system, which lies deepest. */
export function systemCode(error: unknown): string | undefined {
  const { cause, code } = (error ?? {}) as { cause?: unknown; code?: string };
  return cause === undefined ? code : systemCode(cause);
}
