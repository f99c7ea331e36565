/**
 * A cache with many entries, in a process of its own: `fork('cache.mjs', [JSON.stringify(config)])`. Says what it found, and ends.
 *
 * Plain JavaScript, as `server.mjs` is.
 *
 * @typedef {{ module: string, what: 'start' | 'count', directories: string[], entries: number[], keys: number, milliseconds: number, rounds: number, memory: boolean }} Config
 */
import { statfsSync } from 'node:fs';
import { PerformanceObserver, performance } from 'node:perf_hooks';

/** @type {Config} */
const config = JSON.parse(process.argv[2] ?? '{}');
const { FileCache } = await import(config.module);

function open(directory) {
  const memory = config.memory ? {} : { memory: false };
  return new FileCache({ directory, maxBytes: 2 ** 40, minFreeBytes: 0, logger: false, ...memory });
}

const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** What the first hit waits for, how long the loop is held at a time, and how long the scan takes; in milliseconds. */
async function start() {
  const [directory = ''] = config.directories;
  const [count = 0] = config.entries;
  // The loop is as quick as it will be.
  for (let i = 0; i < 1000; i++) await new Promise((resolve) => setImmediate(resolve));
  let longest = 0;
  let longestGc = 0;
  let last = performance.now();
  let over = false;
  const collector = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longestGc = Math.max(longestGc, duration);
  });
  collector.observe({ entryTypes: ['gc'] });
  const tick = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!over) setImmediate(tick);
  };
  const began = performance.now();
  const cpuBefore = cpu();
  const cache = open(directory);
  last = performance.now();
  const constructed = last - began;
  setImmediate(tick);
  const entry = await cache.open({ primary: `/files/${count >> 1}` });
  const firstHit = performance.now() - began;
  if (entry === undefined) throw new Error('there is no such entry');
  entry.release();
  const { entries } = await cache.stats();
  const scan = performance.now() - began;
  const scanCpu = cpu() - cpuBefore;
  over = true;
  if (entries !== count) throw new Error(`${entries} of ${count} entries were found`);
  await new Promise((resolve) => setImmediate(resolve));
  collector.disconnect();
  await cache.close();
  return { constructed, firstHit, longest, longestGc, scan, scanCpu };
}

/** Hits a second on some keys of each cache, in turns. */
async function count() {
  const caches = [];
  for (const directory of config.directories) {
    const cache = open(directory);
    await cache.stats();
    caches.push(cache);
  }
  // An entry is not kept in memory the moment it was created.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const sides = caches.map((cache, i) => {
    const all = config.entries[i] ?? 0;
    // Spread over all of them.
    const keys = Array.from({ length: config.keys }, (_, n) => ({
      primary: `/files/${Math.floor((n * all) / config.keys)}`,
    }));
    return { cache, keys };
  });
  const run = async ({ cache, keys }, milliseconds) => {
    let hits = 0;
    const began = performance.now();
    const cpuBefore = cpu();
    const end = began + milliseconds;
    while (performance.now() < end) {
      for (const key of keys) {
        const found = cache.open(key);
        const entry = found instanceof Promise ? await found : found;
        if (entry === undefined) throw new Error(`${key.primary} is not there`);
        for await (const piece of entry.read()) if (piece.byteLength === 0) throw new Error('it is empty');
        entry.release();
        hits++;
      }
    }
    return {
      perSecond: (hits * 1000) / (performance.now() - began),
      perCpuSecond: (hits * 1000) / (cpu() - cpuBefore),
    };
  };
  for (const side of sides) await run(side, config.milliseconds);
  const rounds = [];
  for (let round = 0; round < config.rounds; round++) {
    const found = [];
    for (const side of sides) found.push(await run(side, config.milliseconds));
    rounds.push(found);
  }
  for (const cache of caches) await cache.close();
  return rounds;
}

// A directory that is not there is found out here, not in the middle.
for (const directory of config.directories) statfsSync(directory);
const found = await (config.what === 'start' ? start() : count());
process.send?.({ found });
process.disconnect?.();
