import { parentPort, workerData } from 'node:worker_threads';
import { Layout } from '../../lib/fs/layout.ts';
import { prepareDirectory } from '../../lib/fs/prepare.ts';

/** Of a thread that makes directories at the same moments as its siblings. */
export interface Told {
  directory: string;
  rounds: number;
  workers: number;
  /** Counts who has come to the beginning of a round. */
  shared: SharedArrayBuffer;
}

const { directory, rounds, workers, shared } = workerData as Told;
const come = new Int32Array(shared);
const failures: string[] = [];
for (let round = 0; round < rounds; round++) {
  const path = `${directory}/${round}/a/cache`;
  // Each round begins for all of them at once.
  const all = workers * (round + 1);
  for (let seen = Atomics.add(come, 0, 1) + 1; seen < all; seen = Atomics.load(come, 0))
    Atomics.wait(come, 0, seen);
  Atomics.notify(come, 0);
  try {
    prepareDirectory(path, new Layout(path), { file: 0o600, directory: 0o700 });
  } catch (error) {
    failures.push((error as Error).message);
  }
}
parentPort?.postMessage(failures);
