/** A small one, in each run of the tests; `npm run test:budget` has a larger one. */
import { describe, test } from 'node:test';
import { shareBudget } from '../budget/processes.ts';

const MIB = 2 ** 20;

describe('four processes and one budget', () => {
  for (const locks of [true, false]) {
    test(`what is on disk stays within the bound, and every account agrees with it in the end, with locks: ${locks}`, (t) =>
      shareBudget(t, {
        processes: 4,
        maxBytes: 24 * MIB,
        locks,
        hands: 3,
        rounds: 20,
        keys: 60,
        mostBytes: 2 * MIB,
        fillMs: 300,
      }));
  }
});
