import { createHash } from 'node:crypto';
import type { Pace } from './pace.ts';

/** Hashed in one go. */
const SLICE_BYTES = 2 ** 20;

/** A slice at a time: a large body would hold the loop. */
export async function sha256Of(body: Uint8Array, pace: Pace): Promise<string> {
  const hash = createHash('sha256');
  await pace.spend(0);
  for (let at = 0; at < body.byteLength; at += SLICE_BYTES) {
    const slice = body.subarray(at, at + SLICE_BYTES);
    await pace.spend(slice.byteLength);
    hash.update(slice);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return hash.digest('hex');
}
