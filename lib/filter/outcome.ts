import { IntegrityError, OriginError, StoreError, SupersededError } from '../errors.ts';
import type { Reason } from '../reasons.ts';
import { TooSlowError } from './patience.ts';

/** What became of a response: an entry of so many bytes, or nothing. */
export type Outcome = { size: number } | { reason: Reason; error?: unknown };

/** Why a handler did not come to its end. */
export function failureOf(error: Error): Reason {
  if (error instanceof TooSlowError) return 'stalled';
  if (error instanceof StoreError) return error.reason;
  if (error instanceof OriginError) return error.reason === 'changed' ? 'changed' : 'origin-failed';
  return error instanceof IntegrityError ? 'unproven' : 'unfinished';
}

/** Whether there is no point in another handler going on. */
export function isFinal(error: Error): boolean {
  if (error instanceof TooSlowError) return !error.stalled;
  return error instanceof IntegrityError || error instanceof StoreError;
}

/** Why a body that came to its end did not become an entry. */
export function rejectionOf(error: unknown): Reason {
  if (error instanceof StoreError) return error.reason;
  return error instanceof SupersededError ? 'purge' : 'unproven';
}
