/** A server under a mixed load, with faults, for as long as one likes: what it holds must come back to where it was. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Book } from '../crash/book.ts';
import { Load } from '../crash/load.ts';
import { type Sample, ServerProcess } from '../crash/process.ts';
import { problemsOf } from '../support/invariants.ts';
import { Seeded } from '../support/seeded.ts';

const MIB = 2 ** 20;

/** The first part of the time is for warming up: pools, caches of code, the memory of the cache. */
const WARM = 0.3;

/** So much may memory grow by, as the regression has it, from then on. What V8 and the allocator keep is not ours. */
const GROWTH_BYTES = 48 * MIB;
const GROWTH_SHARE = 0.2;

/** A line through fewer samples says more of the garbage between two of them than of growth. */
const FEWEST_SAMPLES = 20;

/** What is in use at rest may be so much more than after the warm-up. */
const HEAP_BYTES = 8 * MIB;

export interface SoakOptions {
  seconds: number;
  seed: number;
  directory: string;
  say?(line: string): void;
}

export interface SoakResult {
  samples: (Sample & { second: number; clients: number })[];
  answered: Load['answered'];
  /** Bytes by which memory has grown after the warm-up, by linear regression. */
  growthBytes: number;
  faults: string[];
}

/** So many descriptors more may be in use at rest than after the warm-up: one at times is, of what is not known; what leaks with the load is more. */
const DESCRIPTORS = 4;

/** How long what is at rest may take to give back the last of it, in milliseconds. */
const SETTLED_MS = 10_000;

export async function soak({ seconds, seed, directory, say }: SoakOptions): Promise<SoakResult> {
  const random = new Seeded(seed);
  const book = new Book();
  // Entries come and go for want of room all the time.
  book.tight = true;
  const load = new Load(book, random);
  const server = await ServerProcess.start({ directory, maxBytes: 8 * MIB, memory: { maxBytes: 4 * MIB } });
  if (server === undefined) throw new Error('the server did not start');
  try {
    const samples: SoakResult['samples'] = [];
    const pressed = async (length: number) => {
      const until = Date.now() + length * 1_000;
      while (Date.now() < until && book.faults.length === 0) {
        const clients = 1 + random.below(40);
        const running = load.start([server], () => false, clients);
        await sleep(Math.min(10_000, until - Date.now(), length * 250));
        const sample = await server.tell('sample');
        await running.stop();
        const second = Math.round((Date.now() - began) / 1_000);
        samples.push({ ...sample, second, clients });
        const { rssBytes, heapBytes, descriptors, delayMs } = sample;
        say?.(
          `${second} s: ${clients} clients, RSS ${Math.round(rssBytes / MIB)} MiB, heap ${Math.round(heapBytes / MIB)} MiB, ${descriptors} descriptors, loop delay ${Math.round(delayMs)} ms`,
        );
      }
    };
    const rested = async () => {
      await server.tell('idle');
      await server.tell('clear');
      return server.tell('sample');
    };
    const began = Date.now();
    await pressed(seconds * WARM);
    const before = await rested();
    const warm = samples.length;
    await pressed(seconds * (1 - WARM));
    let after = await rested();
    const held = ['descriptors', 'listeners', 'resources'] as const;
    // What is being given back takes its time on a busy machine; what leaks stays.
    const until = Date.now() + SETTLED_MS;
    const more = (name: (typeof held)[number]) =>
      after[name] - before[name] - (name === 'descriptors' ? DESCRIPTORS : 0);
    while (held.some((name) => more(name) > 0) && Date.now() < until) {
      await sleep(250);
      after = await rested();
    }
    for (const name of held) {
      if (more(name) > 0) book.fault(`${before[name]} ${name} became ${after[name]}`);
    }
    if (after.heapBytes > before.heapBytes + HEAP_BYTES) {
      book.fault(
        `at rest the heap has grown by ${Math.round((after.heapBytes - before.heapBytes) / MIB)} MiB`,
      );
    }
    const judged = samples.slice(warm);
    const growthBytes = growth(judged);
    const mean = samples.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / samples.length;
    if (judged.length >= FEWEST_SAMPLES && growthBytes > Math.max(GROWTH_BYTES, mean * GROWTH_SHARE)) {
      book.fault(`memory has grown by ${Math.round(growthBytes / MIB)} MiB`);
    }
    for (const problem of problemsOf(directory, await server.tell('stats'))) book.fault(problem);
    const how = await server.stop();
    if (how !== '0') book.fault(`told to stop, the server ended with ${how}: ${server.complaints}`);
    for (const problem of problemsOf(directory)) book.fault(`after a clean stop: ${problem}`);
    return { samples, answered: load.answered, growthBytes, faults: book.faults };
  } finally {
    await server.kill();
  }
}

/** What the line through the samples rises by from the first to the last (least squares). */
function growth(samples: readonly { second: number; rssBytes: number }[]): number {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || samples.length < 3) return 0;
  const mean = (of: (sample: { second: number; rssBytes: number }) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean(({ second }) => second), mean(({ rssBytes }) => rssBytes)];
  const rise =
    mean(({ second, rssBytes }) => (second - x) * (rssBytes - y)) / mean(({ second }) => (second - x) ** 2);
  return rise * (last.second - first.second);
}
