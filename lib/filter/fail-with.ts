import type { CacheStatus } from '../http/cache-status.ts';
import type { Exchange } from './exchange.ts';

/** Hands an error to the application's error handler, which says to the client what is to be said. */
export function failWith(
  exchange: Exchange,
  error: { headers: Record<string, string> },
  status: CacheStatus,
): unknown {
  const field = exchange.mark(status);
  // Express's and Connect's final handler starts from an empty header, and sets these.
  Object.assign(error.headers, Object.fromEntries(field));
  return exchange.next(error);
}
