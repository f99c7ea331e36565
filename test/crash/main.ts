/** `npm run test:crash`: see CONTRIBUTING.md. */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { campaign } from './campaign.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    processes: { type: 'string' },
    blind: { type: 'boolean', default: false },
    plant: { type: 'string', default: '' },
    directory: { type: 'string', default: tmpdir() },
    quiet: { type: 'boolean', default: false },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
const processes = ({ 1: 1, 2: 2 } as const)[values.processes ?? ''];
if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed)) {
  console.error(
    'npm run test:crash -- [--count N] [--seed S] [--processes 1|2] [--blind] [--plant NAME] [--directory DIR] [--quiet]',
  );
  process.exit(2);
}
const directory = mkdtempSync(join(values.directory, 'cache-filter-crash-'));
const machine = `${process.platform} ${process.arch}, ${availableParallelism()} cores (${cpus()[0]?.model}), ${Math.round(totalmem() / 2 ** 30)} GiB`;
console.log(`crash campaign: ${count} kills, seed ${seed}, Node ${process.version}, ${machine}`);
const began = Date.now();
const { kills, missed, stops, answered, faults } = await campaign({
  count,
  seed,
  directory,
  plant: values.plant,
  blind: values.blind,
  ...(processes === undefined ? {} : { processes }),
  ...(values.quiet ? {} : { say: (line) => console.log(line) }),
});
console.log('\nkilled');
for (const [step, times] of Object.entries(kills).sort())
  console.log(`${String(times).padStart(5)}  ${step}`);
if (missed.length > 0) console.log(`not come to: ${missed.join(', ')}`);
const seconds = Math.round((Date.now() - began) / 1000);
const sum = Object.values(kills).reduce((all, times) => all + times, 0);
console.log(
  `\n${sum} kills, ${stops} clean stops, ${seconds} s; answered ${Object.entries(answered)
    .map(([what, times]) => `${times} ${what}`)
    .join(', ')}`,
);
if (faults.length === 0) {
  console.log('0 faults: no wrong byte, nothing lost, nothing left over');
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
} else {
  console.log(`${faults.length} faults (the cache is left in ${directory}):`);
  for (const fault of faults) console.log(`  ${fault}`);
  process.exitCode = 1;
}
