/** Many entries: what a start takes, and whether a hit costs what it costs with few. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeEntries } from './entries.ts';
import type { Options } from './options.ts';

/** With as many a cache is compared. */
const FEW = 100;

const START = ['constructed', 'firstHit', 'longest', 'longestGc', 'scan', 'scanCpu'] as const;

type Start = Record<(typeof START)[number], number>;
type Hits = { perSecond: number; perCpuSecond: number };

export interface ManyEntries {
  start?: Start[];
  count?: { path: string; rounds: [few: Hits, many: Hits][] }[];
}

/** Prints what it found. @returns everything that was measured */
export async function measureEntries(
  { what, entries, rounds, seconds, packageUrl }: Options,
  root: string,
): Promise<ManyEntries> {
  const many = join(root, 'many');
  writeEntries({ directory: many, count: entries });
  const common = { module: packageUrl, rounds, milliseconds: seconds * 1000 };
  if (what === 'start') {
    const start: Start[] = [];
    for (let round = 0; round < rounds; round++) {
      const config = { ...common, what, directories: [many], entries: [entries], memory: true };
      start.push((await inProcess(config)) as Start);
    }
    console.log(`${entries} entries, ${rounds} starts, in milliseconds: median (least to most)`);
    const names: Record<keyof Start, string> = {
      constructed: 'until the constructor returns',
      firstHit: 'until the first hit',
      longest: 'longest hold of the event loop',
      longestGc: 'longest garbage collection',
      scan: 'until the account is there',
      scanCpu: 'CPU time of all that',
    };
    for (const name of START)
      console.log(
        `${names[name].padEnd(32)} ${spread(
          start.map((each) => each[name]),
          1,
        )}`,
      );
    return { start };
  }
  const few = join(root, 'few');
  writeEntries({ directory: few, count: FEW });
  const count: NonNullable<ManyEntries['count']> = [];
  console.log(`hits, ${entries} entries / ${FEW} entries: median (least to most); by CPU time`);
  for (const [path, memory] of [
    ['from memory', true],
    ['from files', false],
  ] as const) {
    const config = { ...common, what, directories: [few, many], entries: [FEW, entries], keys: FEW, memory };
    const found = (await inProcess(config)) as [Hits, Hits][];
    count.push({ path, rounds: found });
    const ratios = found.map(([one, other]) => other.perSecond / one.perSecond);
    const byCpu = found.map(([one, other]) => other.perCpuSecond / one.perCpuSecond);
    console.log(`${path.padEnd(12)} ${spread(ratios, 2)}; ${spread(byCpu, 2)}`);
  }
  return { count };
}

async function inProcess(config: object): Promise<unknown> {
  const { module } = config as { module: string };
  const script = fileURLToPath(new URL('cache.mjs', import.meta.url));
  const child = fork(script, [JSON.stringify(config)], {
    // A loader is not what is to be measured; the source needs the one that came with the order to use it.
    execArgv: [],
    env: { ...process.env, NODE_OPTIONS: module.endsWith('.ts') ? process.env['NODE_OPTIONS'] : '' },
  });
  let found: unknown;
  child.on('message', (message: { found: unknown }) => {
    found = message.found;
  });
  const [code] = await once(child, 'exit');
  if (code !== 0 || found === undefined) throw new Error(`the cache's process ended with ${code}`);
  return found;
}

function spread(values: readonly number[], digits: number): string {
  const inOrder = [...values].sort((one, other) => one - other);
  const [least = 0, median = 0, most = 0] = [0, Math.floor(inOrder.length / 2), inOrder.length - 1].map(
    (at) => inOrder[at],
  );
  return `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
}
