/** Several processes on one directory, and one budget: what is on the disk while they store and remove, and in the end. */
import assert from 'node:assert/strict';
import { readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { CacheProcess, type Churn, type Stored } from '../cache/cache-process.ts';
import { Disk } from '../cache/disk.ts';

export interface Plan extends Omit<Churn, 'seed'> {
  processes: number;
  maxBytes: number;
  locks: boolean;
}

/** Longer than from a look to the admission that relies on it, on a machine that has other things to do, in milliseconds. */
const BETWEEN_LOOKS_MS = 200;

const SAMPLE_MS = 20;

export async function shareBudget(t: TestContext, plan: Plan): Promise<void> {
  const { processes, maxBytes, locks, ...churn } = plan;
  const disk = new Disk(t);
  const options = { directory: disk.directory, maxBytes, locks, memory: { maxBytes: 2 ** 20 } };
  const children = await Promise.all(Array.from({ length: processes }, () => CacheProcess.open(t, options)));
  let [most, samples, over] = [0, 0, 0];
  const sampling = setInterval(() => {
    const used = sample(disk);
    most = Math.max(most, used);
    samples++;
    if (used > maxBytes) over++;
  }, SAMPLE_MS);
  t.after(() => clearInterval(sampling));
  const logs = await Promise.all(children.map((child, i) => child.tell('churn', { ...churn, seed: i + 1 })));
  clearInterval(sampling);
  const stored = logs.flat();
  const total = stored.reduce((sum, { bytes }) => sum + bytes, 0);
  const bound = maxBytes + mostIn(stored, BETWEEN_LOOKS_MS);
  t.diagnostic(
    `${stored.length} commits of ${mib(total)} in all; at most ${mib(most)} of ${mib(maxBytes)} on disk (bound ${mib(bound)}), ` +
      `beyond the limit in ${over} of ${samples} samples`,
  );
  assert.ok(samples > 10, `${samples} samples`);
  assert.ok(total > 2 * maxBytes, `${mib(total)} are enough for room to be needed`);
  assert.ok(most <= bound, `${mib(most)} on disk, of which ${mib(bound)} are bound to be the most`);
  await settle(disk, children, maxBytes);
}

/** In the end every account is what is on the disk, and that is within the limit. */
async function settle(disk: Disk, children: readonly CacheProcess[], maxBytes: number): Promise<void> {
  let [charged, used]: [number[], number] = [[], 0];
  // Longer than any look takes to come.
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    charged = await Promise.all(children.map(async (child) => (await child.tell('stats')).bytes));
    used = disk.used();
    if (used <= maxBytes && charged.every((bytes) => bytes === used)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual(
    { charged, used },
    { charged: charged.map(() => used), used: Math.min(used, maxBytes) },
    `what is charged in each process, and what is on disk: ${disk.files().join(' ')}`,
  );
}

/** Bytes on disk in whole blocks, with a state for each entry, as the budget counts them. Files come and go meanwhile. */
function sample({ layout }: Disk): number {
  const seen = new Set<number>();
  let bytes = 0;
  for (const below of [layout.incomplete, layout.entries, layout.invalid]) {
    for (const path of filesBelow(below)) {
      const stat = statOf(path);
      // One that is renamed meanwhile is found twice.
      if (stat === undefined || seen.has(stat.ino) || path.endsWith('.state')) continue;
      seen.add(stat.ino);
      bytes += Math.ceil(stat.size / 4096) * 4096;
      if (below === layout.entries && path.endsWith('.json')) bytes += 4096;
    }
  }
  return bytes;
}

function filesBelow(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [];
  }
}

function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** As many bytes as were ever stored in so many milliseconds. */
function mostIn(stored: readonly Stored[], milliseconds: number): number {
  const inOrder = [...stored].sort((one, other) => one.at - other.at);
  let [most, sum, first] = [0, 0, 0];
  for (const { at, bytes } of inOrder) {
    sum += bytes;
    for (
      let oldest = inOrder[first];
      oldest !== undefined && oldest.at < at - milliseconds;
      oldest = inOrder[++first]
    ) {
      sum -= oldest.bytes;
    }
    most = Math.max(most, sum);
  }
  return most;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
