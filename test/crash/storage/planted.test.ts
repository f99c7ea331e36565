/** What the campaign is to find. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory } from '../../support/directory.ts';
import { storageCampaign } from './campaign.ts';

for (const plant of ['torn-blob', 'torn-tag']) {
  test(`a bug that is planted is found: ${plant}`, { timeout: 170_000 }, async (t) => {
    const options = { count: 20, seed: 2, directory: temporaryDirectory(t), plant };
    const { faults } = await storageCampaign(options);
    assert.notEqual(faults.length, 0);
  });
}
