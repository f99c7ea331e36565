import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

export interface RaceRequest {
  folder: string;
  /** How many threads take part. */
  runners: number;
  /** How many created the file, for each round; shared. */
  wins: Int32Array<SharedArrayBuffer>;
  /** How often a thread came to the start of a round; shared. */
  arrived: Int32Array<SharedArrayBuffer>;
}

/** What went wrong, if anything. */
export type RaceAnswer = string | undefined;

/** A thread that waits for longer than this, in milliseconds, has lost the others. */
const LOST_MS = 10_000;

function race({ folder, runners, wins, arrived }: RaceRequest): RaceAnswer {
  let mine: string | undefined;
  for (let round = 0; round < wins.length; round++) {
    const needed = runners * (round + 1);
    if (Atomics.add(arrived, 0, 1) + 1 === needed) Atomics.notify(arrived, 0);
    for (let seen = Atomics.load(arrived, 0); seen < needed; seen = Atomics.load(arrived, 0)) {
      if (Atomics.wait(arrived, 0, seen, LOST_MS) === 'timed-out')
        return 'one thread waited for the other in vain';
    }
    // Nobody is at the file of the round before any more.
    if (mine !== undefined) rmSync(mine, { force: true });
    const path = join(folder, String(round));
    mine = undefined;
    try {
      closeSync(openSync(path, 'wx', 0o600));
      mine = path;
      Atomics.add(wins, round, 1);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') continue;
      // The others are not to wait for this one.
      Atomics.store(arrived, 0, 2 ** 30);
      Atomics.notify(arrived, 0);
      return message;
    }
  }
  return undefined;
}

parentPort?.postMessage(race(workerData as RaceRequest));
