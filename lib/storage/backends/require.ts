import { show } from '../../checks.ts';
import { OptionError } from '../../errors.ts';
import type { StorageBackend } from './backend.ts';

const OPERATIONS = [
  'list',
  'size',
  'put',
  'get',
  'stream',
  'delete',
  'move',
  'concatenate',
] as const satisfies (keyof StorageBackend)[];

/** @throws OptionError for what is no backend */
export function requireBackend(backend: unknown): asserts backend is StorageBackend {
  const has = (backend ?? {}) as Record<string, unknown>;
  const missing = OPERATIONS.filter((name) => typeof has[name] !== 'function');
  if (missing.length === OPERATIONS.length)
    throw new OptionError(
      'backend',
      `backend is required: where the objects are kept, got ${show(backend)}; write new Storage(new FilesystemBackend({ directory }))`,
    );
  if (missing.length > 0)
    throw new OptionError('backend', `backend must be a backend; it lacks ${missing.join(', ')}`);
}
