/** A campaign that could not fail would say nothing: with something broken on purpose, it does. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { temporaryDirectory } from '../support/directory.ts';
import { campaign } from './campaign.ts';

const seed = Math.floor(Math.random() * 2 ** 31);

describe('a campaign notices', () => {
  for (const [plant, found] of [
    ['late-body', /damaged|LOST|of \d+ bytes/],
    ['purged-record', /purge had been acknowledged|damaged|undefined of \d+ bytes/],
    ['kept-body', /has no record/],
    ['wrong-byte', /WRONG BYTES/],
    ['torn-record', /damaged|has no record/],
    ['no-sweep', /is left over/],
    ['lost-pin', /LOST: the pin/],
  ] as const) {
    test(plant, { timeout: 150_000 }, async (t) => {
      const directory = temporaryDirectory(t);
      const { faults } = await campaign({ count: 60, seed, directory, plant, short: true, blind: true });
      assert.match(faults.join('\n'), found, `seed ${seed}`);
    });
  }
});
