import { BackendError } from '../errors.ts';
import type { StorageBackend } from './backends/backend.ts';

/**
 * Takes back what `prune` has just taken away to see whether somebody wants it; whether it is there. Only one of the two moves or removes it, and
 * both of them find out who. Whoever asks has noted before that it is wanted.
 * @param from where `prune` puts it
 */
export async function takeBack(backend: StorageBackend, from: string, to: string): Promise<boolean> {
  if ((await backend.size(from)) === undefined) return false;
  try {
    await backend.move(from, to);
    return true;
  } catch (error) {
    if (!(error instanceof BackendError && error.reason === 'missing')) throw error;
    // It is gone, or was put back.
    return (await backend.size(to)) !== undefined;
  }
}

/** The same, unless something has come in its place, which stays then. */
export async function putBack(backend: StorageBackend, from: string, to: string): Promise<void> {
  if ((await backend.size(to)) === undefined) await takeBack(backend, from, to);
  else await backend.delete(from);
}
