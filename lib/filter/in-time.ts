import createDebug from 'debug';
import type { Declined, Fill } from '../cache/cache.ts';
import { StoreError } from '../errors.ts';
import { isPromise, type Steps, wait } from '../steps.ts';
import type { Exchange } from './exchange.ts';

const debug = createDebug('cache-filter:filter');

/** The cache has not done in time what it was asked. */
export class TooLateError extends StoreError {
  constructor(milliseconds: number) {
    super(`the cache took longer than ${milliseconds} ms (storeTimeoutMs)`);
  }
}

/**
 * What the cache gives, if it does within so many milliseconds; 0: however long it takes.
 * @param late told what comes after that
 * @throws TooLateError (as a rejection) where it takes longer, else what the promise rejects with
 */
export function inTime<T>(given: Promise<T>, milliseconds: number, late?: (value: T) => void): Promise<T> {
  if (milliseconds === 0) return given;
  return new Promise((resolve, reject) => {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      reject(new TooLateError(milliseconds));
    }, milliseconds).unref();
    given.then(
      (value) => {
        clearTimeout(timer);
        if (isLate) late?.(value);
        else resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Lets go of a fill that has begun too late. */
export function unbegin(late: Fill | Declined): void {
  if ('declined' in late) return;
  void late.abort(new StoreError('the cache began too late')).catch(() => undefined);
}

/**
 * What the cache gives for an exchange. A cache never makes a response worse: one that fails, or takes too long, has nothing.
 * @param late told what comes too late
 */
export function* tryInTime<T>(
  exchange: Exchange,
  milliseconds: number,
  attempt: () => Promise<T> | T,
  late: (value: T) => void,
): Steps<T | undefined> {
  try {
    const given = attempt();
    return isPromise(given) ? yield* wait(inTime(given as Promise<T>, milliseconds, late)) : given;
  } catch (error) {
    exchange.storeIsLate ||= error instanceof TooLateError;
    debug('%s: the cache failed: %o', exchange.key.primary, error);
    return undefined;
  }
}
