import { parentPort } from 'node:worker_threads';
import { FileHashing, type VerifyAnswer, type VerifyRequest } from './hashing.ts';

// Runs in a thread of its own: reads what has been written and hashes it, so that the event loop serves meanwhile.

interface Job {
  hashing: FileHashing;
  /** The digests have been asked for; nothing more will come. */
  asked: boolean;
  /** Why there will be none. Told when they are asked for. */
  error?: string;
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
  if (request.do === 'close') {
    jobs.delete(id);
    if (job.asked) parentPort?.postMessage({ id, error: 'given up' } satisfies VerifyAnswer);
  } else if (request.do === 'digest') job.asked = true;
  else if (request.do === 'advance') job.hashing.advance(request.to);
  else attempt(job, () => job.hashing.feed(request.bytes));
  schedule();
});

function schedule(): void {
  if (scheduled || jobs.size === 0) return;
  scheduled = true;
  setImmediate(() => {
    scheduled = false;
    let more = false;
    for (const [id, job] of jobs) {
      const rest = attempt(job, () => job.hashing.step()) ?? false;
      if (job.asked && !rest) finish(id, job);
      more ||= rest;
    }
    if (more) schedule();
  });
}

function finish(id: number, job: Job): void {
  jobs.delete(id);
  const findings = attempt(job, () => job.hashing.findings());
  const answer: VerifyAnswer =
    findings === undefined ? { id, error: job.error ?? 'unknown' } : { id, findings };
  parentPort?.postMessage(answer);
}

/** Does nothing more for a job that has failed. */
function attempt<T>(job: Job, run: () => T): T | undefined {
  if (job.error !== undefined) return undefined;
  try {
    return run();
  } catch (error) {
    job.error = String(error);
    return undefined;
  }
}
