import { OptionError } from '../errors.ts';
import type { Cache } from './cache.ts';

const CACHE_METHODS = [
  'open',
  'claim',
  'invalidate',
  'info',
  'list',
  'pin',
  'prune',
  'clean',
  'verify',
  'fills',
  'stats',
  'close',
];
const QUEUE_METHODS = ['add', 'list', 'remove'];

/** @throws OptionError naming what it lacks of a Cache */
export function requireCache(cache: unknown): asserts cache is Cache {
  const missing = [
    ...lacking(cache, CACHE_METHODS),
    ...lacking((cache as Partial<Cache> | null)?.queue, QUEUE_METHODS).map((name) => `queue.${name}`),
  ];
  if (missing.length > 0) {
    throw new OptionError(
      'cache',
      `cache must be a Cache (FileCache, MemoryCache or your own); it lacks ${missing.join(', ')}`,
    );
  }
}

/** Which of these methods an object does not have. */
function lacking(value: unknown, methods: readonly string[]): string[] {
  return methods.filter((name) => typeof (value as Record<string, unknown> | null)?.[name] !== 'function');
}
