import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import createDebug from 'debug';
import { list } from '../../../fs/files.ts';
import { type Release, takeLock } from '../../../fs/lockfile.ts';
import type { Step } from '../fault.ts';

const debug = createDebug('cache-filter:storage');

/** Between two looks at a lock that somebody has, in milliseconds. */
const WAIT_MS = { first: 5, most: 100 };

/**
 * Takes the lock of a path, once nobody else has it. Who comes first is not told apart.
 * @param directory where the locks are, which must be there
 * @throws the reason of the signal, or BackendError
 */
export async function lockPath(
  directory: string,
  path: string,
  step: Step,
  signal?: AbortSignal,
): Promise<Release> {
  const lock = join(directory, createHash('sha256').update(path).digest('hex'));
  for (let wait = WAIT_MS.first; ; wait = Math.min(2 * wait, WAIT_MS.most)) {
    signal?.throwIfAborted();
    const release = await step.run(() => takeLock(lock));
    if (release !== undefined) {
      if (!signal?.aborted) return release;
      await release();
      throw signal.reason;
    }
    // Those who wait don't all look at the same moment.
    await sleep(wait * (0.5 + Math.random()), undefined, signal && { signal }).catch(() => undefined);
  }
}

/** Removes those of processes that died. Never rejects. */
export async function removeLostLocks(directory: string): Promise<void> {
  for (const name of await list(directory).catch(() => [])) {
    const release = await takeLock(join(directory, name), { onlyLost: true }).catch((error: unknown) =>
      debug('%s stays: %o', name, error),
    );
    await release?.();
  }
}
