import { IntegrityError, StoreError } from '../../errors.ts';
import { conflicts, type Digest, type DigestAlgorithm } from '../../http/digest.ts';
import type { FillOptions, Proof } from '../cache.ts';

/** @throws IntegrityError where a body of `taken` bytes is not as long as was declared, at the start or now */
export function checkLength({ length }: Proof, size: number | undefined, taken: number): void {
  for (const declared of [size, length]) {
    if (declared !== undefined && declared !== taken) {
      throw new IntegrityError(`the body has ${taken} bytes where ${declared} were declared`);
    }
  }
}

/** Why a body that has grown to so many bytes, by the limit of the cache and that of the fill, is not kept. */
export function tooLarge(
  bytes: number,
  limit: number,
  { maxBytes = limit }: FillOptions,
): StoreError | undefined {
  const most = Math.min(limit, maxBytes);
  if (bytes <= most) return undefined;
  return new StoreError(`the body is larger than ${most} bytes`, { reason: 'too-large' });
}

/** Why a body of so many bytes in all is not kept. */
export function tooSmall(bytes: number, { minBytes = 0 }: FillOptions): StoreError | undefined {
  if (bytes >= minBytes) return undefined;
  return new StoreError(`the body is smaller than ${minBytes} bytes`, { reason: 'too-small' });
}

/** @throws IntegrityError where a declared digest is not the one that was found */
export function checkDigests({ digests = [] }: Proof, found: readonly Digest[]): void {
  const declared = digests.map(({ algorithm, hex }) => ({ algorithm, hex: hex.toLowerCase() }));
  const wrong = conflicts(declared, found);
  if (wrong === undefined) return;
  const was = found.find(({ algorithm }) => algorithm === wrong.algorithm)?.hex;
  throw new IntegrityError(`the body's ${wrong.algorithm} is ${was} where ${wrong.hex} was declared`);
}

/** What was declared only after the body had been hashed: in a trailer, say. */
export function belated({ digests = [] }: Proof, found: readonly Digest[]): DigestAlgorithm[] {
  const known = new Set(found.map(({ algorithm }) => algorithm));
  return [...new Set(digests.map(({ algorithm }) => algorithm))].filter((algorithm) => !known.has(algorithm));
}
