import type { FillReader } from '../cache/cache.ts';
import type { SendOptions } from '../response/send.ts';
import type { Exchange } from './exchange.ts';

/** A part of a body goes out before the whole is verified. */
export const UNVERIFIED: { detail: string } = { detail: 'unverified' };

/** How a fill is sent to a client of it. */
export function fromFill(
  { waitsForProof, sendTimeoutMs }: Exchange,
  fill: FillReader,
): Pick<SendOptions, 'provisional' | 'timeoutMs'> {
  const available = (from: number) => fill.available(from);
  return {
    provisional: { available, proven: waitsForProof ? fill.ended : undefined },
    timeoutMs: sendTimeoutMs,
  };
}
