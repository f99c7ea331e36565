/** `npm run bench`: the built package side by side with others. See docs/benchmarks.md. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Client } from './client.ts';
import { measureCold, serversForCold } from './cold.ts';
import { measureHits, serversForHits } from './hits.ts';
import { measureEntries } from './many-entries.ts';
import { prepare } from './material.ts';
import { type Options, parseOptions, USAGE } from './options.ts';
import { formatRatios } from './report.ts';
import { startServers, stopServers } from './servers.ts';

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  const root = mkdtempSync(join(options.directory, 'cache-filter-bench-'));
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
      if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(found, undefined, 2)}\n`);
    } else {
      await measure(options, root);
    }
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 10 });
  }
}

async function measure(options: Options, root: string): Promise<void> {
  const material = await prepare(root, options.sizes);
  const names = options.what === 'hits' ? serversForHits(options) : serversForCold(options);
  const client = await Client.start();
  try {
    const servers = await startServers(names, { options, material, root });
    try {
      const missing = names.filter((name) => !servers.some((server) => server.name === name));
      for (const name of missing) console.log(`${name} is not installed: left out`);
      const cores = availableParallelism();
      console.log(
        `Node ${process.version}, ${cores} cores, ${options.rounds} rounds; ratios: more is better`,
      );
      const run = options.what === 'hits' ? measureHits : measureCold;
      const { ratios, samples } = await run(options, { client, servers, material }, progress);
      progress('');
      console.log(formatRatios(ratios).join('\n'));
      if (options.json !== undefined) {
        const { what, rounds, seconds } = options;
        const raw = { what, node: process.version, cores, rounds, seconds, missing, ratios, samples };
        writeFileSync(options.json, `${JSON.stringify(raw, undefined, 2)}\n`);
      }
    } finally {
      await stopServers(servers);
    }
  } finally {
    await client.stop();
  }
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
