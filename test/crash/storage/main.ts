/** `npm run test:crash:storage`: see CONTRIBUTING.md. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { storageCampaign } from './campaign.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 30)) },
    plant: { type: 'string', default: '' },
    quiet: { type: 'boolean', default: false },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed)) {
  console.error('npm run test:crash:storage -- [--count N] [--seed S] [--plant NAME] [--quiet]');
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), 'cache-filter-crash-'));
const how = seed % 2 === 1 ? 'in parts' : 'as growing files';
console.log(
  `crash campaign of the storage, uploads ${how}: ${count} kills, seed ${seed}, Node ${process.version}`,
);
const { kills, did, faults } = await storageCampaign({
  count,
  seed,
  directory,
  plant: values.plant,
  ...(values.quiet ? {} : { say: (line) => console.log(line) }),
});
const done = Object.entries(did).map(([what, times]) => `${times} ${what}`);
console.log(`${kills} kills; ${done.join(', ')}`);
if (faults.length === 0) {
  console.log('0 faults: no wrong byte, no tag without its manifest, nothing left over');
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
} else {
  console.log(`${faults.length} faults (the storage is left in ${directory}):`);
  for (const fault of faults) console.log(`  ${fault}`);
  process.exitCode = 1;
}
