import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { createNew } from '../../fs/files.ts';
import { type Finding, fail, LOCAL_DISK, ok, type Probe, warn } from './check.ts';
import type { RaceAnswer, RaceRequest } from './race-worker.ts';

const NEEDS =
  'of two who create a file of the same name, one has to lose: otherwise two fills write into one body';

const ROUNDS = 200;
const RUNNERS = 2;

export const exclusiveCreate: Probe = {
  name: 'exclusive-create',
  needs: NEEDS,
  async probe(folder) {
    const path = join(folder, 'file');
    await (await createNew(path, 0o600)).close();
    try {
      await (await createNew(path, 0o600)).close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST')
        return ok('the second to create a file is refused');
      throw error;
    }
    return fail('a file was created a second time', NEEDS, LOCAL_DISK);
  },
};

export const exclusiveRace: Probe = {
  name: 'exclusive-race',
  needs: NEEDS,
  async probe(folder) {
    const wins = new Int32Array(new SharedArrayBuffer(4 * ROUNDS));
    const arrived = new Int32Array(new SharedArrayBuffer(4));
    const request: RaceRequest = { folder, runners: RUNNERS, wins, arrived };
    const problems = await Promise.all(Array.from({ length: RUNNERS }, () => run(request)));
    const problem = problems.find((each) => each !== undefined);
    if (problem !== undefined) {
      return warn(
        problem,
        `it is not known whether two threads can create the same file: ${NEEDS}`,
        LOCAL_DISK,
      );
    }
    return judgeRace([...wins]);
  },
};

/** @param wins how many created the file, for each round */
export function judgeRace(wins: readonly number[]): Finding {
  const wrong = wins.filter((number) => number !== 1).length;
  const measured = { rounds: wins.length, wrong };
  if (wrong === 0)
    return ok(`two threads, ${wins.length} times at once: one of them was refused each time`, measured);
  return fail(
    `in ${wrong} of ${wins.length} rounds two threads created the same file, or neither could`,
    NEEDS,
    LOCAL_DISK,
    measured,
  );
}

/** Resolves to what went wrong. */
function run(request: RaceRequest): Promise<RaceAnswer> {
  return new Promise((resolve) => {
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    const worker = new Worker(new URL(`./race-worker${extension}`, import.meta.url), { workerData: request });
    worker.once('message', resolve);
    worker.once('error', (error) => resolve(`the race could not be run: ${error.message}`));
    worker.once('exit', (code) => resolve(`the race could not be run: a thread ended with ${code}`));
  });
}
