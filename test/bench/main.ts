/** `npm run bench`: the built package side by side with others. See docs/benchmarks.md. */
import { appendFileSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join as joinPath } from 'node:path';
import type { Benchmark, Ground } from './benchmark.ts';
import { brokenOrigin } from './broken-origin.ts';
import { Client } from './client.ts';
import { measureCold, serversForCold } from './cold.ts';
import { coldRange } from './cold-range.ts';
import { fill } from './fill.ts';
import { Flights } from './flights.ts';
import { measureHits, serversForHits } from './hits.ts';
import { join } from './join.ts';
import { largeHit } from './large-hit.ts';
import { measureEntries } from './many-entries.ts';
import { prepare } from './material.ts';
import { memory } from './memory.ts';
import { type Options, parseOptions, USAGE, type What } from './options.ts';
import { pull } from './pull.ts';
import { measureRegistry } from './registry.ts';
import { formatFindings, formatRatios } from './report.ts';
import { startServers, stopServers } from './servers.ts';
import { formatSize } from './sizes.ts';
import { slowFirst } from './slow-first.ts';
import { storedRange } from './stored-range.ts';

/** Each in a file of its own. Those that are not here are made of ratios. */
const BENCHMARKS: Partial<Record<What, Benchmark>> = {
  join,
  'stored-range': storedRange,
  'slow-first': slowFirst,
  memory,
  fill,
  'large-hit': largeHit,
  pull,
  'cold-range': coldRange,
  'broken-origin': brokenOrigin,
};

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  const root = mkdtempSync(joinPath(options.directory, 'cache-filter-bench-'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      rmSync(root, { recursive: true, force: true });
      // Servers and client end with us; nginx is ended on the way out.
      process.exit(1);
    });
  }
  try {
    if (options.what === 'start' || options.what === 'count') {
      const found = await measureEntries(options, root);
      if (options.json !== undefined) appendFileSync(options.json, `${JSON.stringify(found)}\n`);
    } else if (options.what === 'registry') {
      const { findings, samples } = await measureRegistry(options, root);
      for (const line of formatFindings(findings)) console.log(line);
      if (options.json !== undefined)
        appendFileSync(options.json, samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
    } else {
      await measure(options, root);
    }
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 10 });
  }
}

async function measure(options: Options, root: string): Promise<void> {
  const benchmark = BENCHMARKS[options.what];
  const files = await prepare(root, benchmark === undefined ? options.sizes : fitting(options));
  const material = benchmark?.material?.(files) ?? files;
  const names =
    benchmark?.servers(options) ??
    (options.what === 'hits' ? serversForHits(options) : serversForCold(options));
  const wanted = options.smoke ? names.filter((name) => name !== 'nginx' && name !== 'varnish') : names;
  const client = await Client.start();
  const flights = await Flights.start();
  try {
    const servers = await startServers(wanted, { options, material, root });
    try {
      const missing = wanted.filter((name) => !servers.some((server) => server.name === name));
      for (const name of missing) console.log(`${name} is not installed: left out`);
      const cores = availableParallelism();
      const { what, rounds, seconds } = options;
      console.log(`Node ${process.version}, ${cores} cores, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}`);
      const on = { client, flights, servers, material };
      const { lines, found } =
        benchmark === undefined ? await ratios(options, on) : await findings(benchmark, options, on);
      progress('');
      console.log(lines.join('\n'));
      if (options.json !== undefined) {
        const raw = { what, node: process.version, cores, rounds, seconds, missing, ...found };
        appendFileSync(options.json, `${JSON.stringify(raw)}\n`);
      }
    } finally {
      await stopServers(servers);
    }
  } finally {
    await client.stop();
    await flights.stop();
  }
}

async function ratios(options: Options, on: Ground): Promise<{ lines: string[]; found: object }> {
  const run = options.what === 'hits' ? measureHits : measureCold;
  const found = await run(options, on, progress);
  return { lines: ['Ratios: more is better', ...formatRatios(found.ratios)], found };
}

async function findings(
  benchmark: Benchmark,
  options: Options,
  on: Ground,
): Promise<{ lines: string[]; found: object }> {
  const { chart, ...found } = await benchmark.measure(options, on, progress);
  if (options.svg !== undefined && chart !== undefined) writeFileSync(options.svg, chart);
  return { lines: formatFindings(found.findings), found };
}

/** The sizes, or smaller ones where the disk has no room for a file, for what is stored of it, and for as much again. */
function fitting({ sizes, directory }: Options): number[] {
  const { bavail, bsize } = statfsSync(directory);
  return sizes.map((size) => {
    let fit = size;
    while (fit * 4 > bavail * bsize && fit > 2 ** 20) fit = Math.floor(fit / 2);
    if (fit < size)
      console.log(
        `${formatSize(size)} does not fit on the disk of ${directory}: ${formatSize(fit)} in its place`,
      );
    return fit;
  });
}

/** A line that the next one replaces; nothing where nobody watches. */
function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
}
