/** `npm run test:soak`: see CONTRIBUTING.md. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { lineChart } from '../support/chart.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    chart: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error('npm run test:soak -- [--minutes N] [--seed S] [--chart FILE.svg] [--directory DIR]');
  process.exit(2);
}
const directory = mkdtempSync(join(values.directory, 'cache-filter-soak-'));
const machine = `${process.platform} ${process.arch}, ${availableParallelism()} cores (${cpus()[0]?.model}), ${Math.round(totalmem() / 2 ** 30)} GiB`;
console.log(`soak: ${minutes} minutes, seed ${seed}, Node ${process.version}, ${machine}`);
const { samples, answered, growthBytes, faults } = await soak({
  seconds: minutes * 60,
  seed,
  directory,
  say: (line) => console.log(line),
});
if (values.chart !== undefined) {
  const line = (name: string, of: (sample: (typeof samples)[number]) => number) => ({
    name,
    points: samples.map((sample) => ({ x: sample.second, y: of(sample) })),
  });
  const lines = [
    line('RSS, MiB', ({ rssBytes }) => rssBytes / 2 ** 20),
    line('heap, MiB', ({ heapBytes }) => heapBytes / 2 ** 20),
    line('descriptors', ({ descriptors }) => descriptors),
    line('clients', ({ clients }) => clients),
  ];
  writeFileSync(values.chart, lineChart(`Soak, seed ${seed}`, { x: 'seconds', y: '' }, lines));
  console.log(`chart: ${values.chart}`);
}
console.log(
  `answered ${Object.entries(answered)
    .map(([what, times]) => `${times} ${what}`)
    .join(', ')}; memory grew by ${(growthBytes / 2 ** 20).toFixed(1)} MiB`,
);
if (faults.length === 0) {
  console.log('0 faults: no wrong byte, and all that was held was given back');
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
} else {
  console.log(`${faults.length} faults (the cache is left in ${directory}):`);
  for (const fault of faults) console.log(`  ${fault}`);
  process.exitCode = 1;
}
