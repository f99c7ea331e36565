import { parentPort } from 'node:worker_threads';
import { FileHashing, type VerifyAnswer, type VerifyRequest } from './hashing.ts';

// Runs in a thread of its own: reads what has been written and hashes it, so that the event loop serves meanwhile.

interface Job {
  hashing: FileHashing;
  /** The digests have been asked for; nothing more will come. */
  asked: boolean;
}

const jobs = new Map<number, Job>();
let scheduled = false;

parentPort?.on('message', (request: VerifyRequest) => {
  const { id } = request;
  if (request.do === 'open') {
    jobs.set(id, { hashing: new FileHashing(request.fd, request.algorithms), asked: false });
    return;
  }
  const job = jobs.get(id);
  if (job === undefined) return;
  attempt(id, () => {
    if (request.do === 'close') jobs.delete(id);
    else if (request.do === 'feed') job.hashing.feed(request.bytes);
    else if (request.do === 'digest') job.asked = true;
    else job.hashing.advance(request.to);
  });
  schedule();
});

function schedule(): void {
  if (scheduled || jobs.size === 0) return;
  scheduled = true;
  setImmediate(() => {
    scheduled = false;
    let more = false;
    for (const [id, job] of jobs) {
      attempt(id, () => {
        const rest = job.hashing.step();
        if (job.asked && !rest) {
          jobs.delete(id);
          answer({ id, digests: job.hashing.digests() });
        }
        more ||= rest;
      });
    }
    if (more) schedule();
  });
}

function attempt(id: number, run: () => void): void {
  try {
    run();
  } catch (error) {
    jobs.delete(id);
    answer({ id, error: String(error) });
  }
}

function answer(message: VerifyAnswer): void {
  parentPort?.postMessage(message);
}
