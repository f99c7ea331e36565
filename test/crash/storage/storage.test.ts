/** The campaign in short; `npm run test:crash:storage` is the long one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory } from '../../support/directory.ts';
import { storageCampaign } from './campaign.ts';

const random = Math.floor(Math.random() * 2 ** 30);

for (const seed of [random * 2, random * 2 + 1]) {
  const how = seed % 2 === 1 ? 'in parts' : 'as growing files';
  test(`pushes (${how}) and prunes that are killed leave nothing wrong (seed ${seed})`, {
    timeout: 170_000,
  }, async (t) => {
    const { faults, did } = await storageCampaign({ count: 6, seed, directory: temporaryDirectory(t) });
    assert.deepEqual(faults, []);
    for (const what of ['pushed', 'pruned'])
      assert.ok((did[what] ?? 0) > 0, `${what}: ${JSON.stringify(did)}`);
  });
}
