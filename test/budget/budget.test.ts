/** `npm run test:budget`: four processes fill 256 MiB, many times over. */
import { describe, test } from 'node:test';
import { shareBudget } from './processes.ts';

const MIB = 2 ** 20;

describe('four processes and 256 MiB', () => {
  for (const locks of [true, false]) {
    test(`what is on disk stays within the bound, with locks: ${locks}`, (t) =>
      shareBudget(t, {
        processes: 4,
        maxBytes: 256 * MIB,
        locks,
        hands: 4,
        rounds: 100,
        keys: 300,
        mostBytes: 8 * MIB,
        fillMs: 200,
      }));
  }
});
