import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { temporaryDirectory } from '../support/directory.ts';
import { campaign } from './campaign.ts';

const seed = Math.floor(Math.random() * 2 ** 31);

/** A campaign that could not fail would say nothing: with something broken on purpose, it says what. */
export function notices(plants: Readonly<Record<string, RegExp>>): void {
  describe('a campaign notices', () => {
    for (const [plant, found] of Object.entries(plants)) {
      test(plant, { timeout: 150_000 }, async (t) => {
        const directory = temporaryDirectory(t);
        const { faults } = await campaign({ count: 60, seed, directory, plant, short: true, blind: true });
        assert.match(faults.join('\n'), found, `seed ${seed}`);
      });
    }
  });
}
