import { BackendError } from '../errors.ts';
import type { StorageBackend } from './backends/backend.ts';

/**
 * Where an object is that `prune` may remove. It moves it aside first, and then looks whether somebody has noted that it is wanted: until it is
 * removed the object is there, in the one place or the other, and stays aside where that prune dies.
 */
export interface Place {
  path: string;
  aside: string;
}

/** The object, wherever it is; undefined where there is none. That it is read keeps nobody from removing it. */
export async function getEither(
  backend: StorageBackend,
  { path, aside }: Place,
): Promise<Buffer | undefined> {
  // The last: it was put back in between.
  return (await backend.get(path)) ?? (await backend.get(aside)) ?? (await backend.get(path));
}

/** Whether the object is there, back in its own place then. Who asks has noted before that it is wanted, or may well be told that it has gone. */
export async function isThere(backend: StorageBackend, { path, aside }: Place): Promise<boolean> {
  return (await backend.size(path)) !== undefined || takeBack(backend, { path, aside });
}

/** Puts the object back where it is aside; whether it is in its own place then. Of several who move or remove it one does so, and the others find out. */
export async function takeBack(backend: StorageBackend, { path, aside }: Place): Promise<boolean> {
  if ((await backend.size(aside)) !== undefined) {
    try {
      await backend.move(aside, path);
      return true;
    } catch (error) {
      if (!(error instanceof BackendError && error.reason === 'missing')) throw error;
    }
  }
  // It is gone, or somebody else has put it back.
  return (await backend.size(path)) !== undefined;
}

/** The same, unless something has come in its place, which stays then. */
export async function putBack(backend: StorageBackend, { path, aside }: Place): Promise<void> {
  if ((await backend.size(path)) === undefined) await takeBack(backend, { path, aside });
  else await backend.delete(aside);
}

/** Removes the object wherever it is; whether there was one. */
export async function removeEither(backend: StorageBackend, { path, aside }: Place): Promise<boolean> {
  const was = await backend.delete(path);
  const wasAside = await backend.delete(aside);
  // The last: it was put back in between.
  return was || wasAside || backend.delete(path);
}
