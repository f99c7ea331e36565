import type { Claim } from '../cache.ts';
import type { MemoryFill } from './memory-fill.ts';
import { Run } from './runs.ts';

/** One key being fetched into memory. */
export class MemoryRun extends Run<MemoryFill> {
  /** Purged while it ran. */
  doomed = false;
}

/** The part of somebody who comes along. */
export function following(run: MemoryRun): Claim {
  return {
    role: 'follower',
    fill: run.shared().then((fill) => fill?.reader()),
    get again() {
      return run.isOpen;
    },
  };
}
