import { setTimeout as sleep } from 'node:timers/promises';

const MAX_DELAY_MS = 10_000;

/** What a gateway says of the server behind it (RFC 9110 15.6): another attempt may get an answer. */
export function isGatewayFailure(status: number): boolean {
  return status >= 502 && status <= 504;
}

/**
 * How long to wait before the next attempt: anything up to a limit that doubles, so that those who failed together do not come back
 * together.
 *
 * @param tried how many attempts there were besides the first one
 */
export function backOffMs(baseMs: number, tried: number): number {
  return Math.random() * Math.min(MAX_DELAY_MS, baseMs * 2 ** tried);
}

/** @throws what `signal` was aborted with */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** What Retry-After says (RFC 9110 10.2.3), in milliseconds; undefined where it says nothing that can be understood. */
export function retryAfterMs(
  value: string | undefined,
  parseDate: (text: string) => number | undefined,
): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = parseDate(value);
  return at === undefined ? undefined : Math.max(0, at - Date.now());
}
