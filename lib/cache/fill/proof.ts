import { IntegrityError } from '../../errors.ts';
import { conflicts, type Digest, type DigestAlgorithm } from '../../http/digest.ts';
import type { Proof } from '../cache.ts';

/** @throws IntegrityError where a body of `taken` bytes is not as long as was declared, at the start or now */
export function checkLength({ length }: Proof, size: number | undefined, taken: number): void {
  for (const declared of [size, length]) {
    if (declared !== undefined && declared !== taken) {
      throw new IntegrityError(`the body has ${taken} bytes where ${declared} were declared`);
    }
  }
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
