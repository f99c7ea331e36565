import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { TestContext } from 'node:test';
import type { CacheFilterEvents } from '../../lib/index.ts';

/** What is published on a channel while the test runs. */
export function heard<Name extends keyof CacheFilterEvents>(
  t: Pick<TestContext, 'after'>,
  name: Name,
): CacheFilterEvents[Name][] {
  const events: CacheFilterEvents[Name][] = [];
  const listener = (event: unknown) => void events.push(event as CacheFilterEvents[Name]);
  subscribe(name, listener);
  t.after(() => unsubscribe(name, listener));
  return events;
}
