import { createHash } from 'node:crypto';
import type { HeaderPairs } from './body.ts';
import { fieldValue, fieldValues, listMembers } from './headers.ts';

/** The hash algorithms that bodies are checked with. */
export type DigestAlgorithm = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** What a body must hash to; `hex` is lower-case. */
export interface Digest {
  algorithm: DigestAlgorithm;
  hex: string;
}

const BYTES: Record<DigestAlgorithm, number> = { md5: 16, sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/** RFC 9530 5: the algorithms that are safe to rely on, by their names in Repr-Digest. */
const REPR_ALGORITHMS = new Map<string, DigestAlgorithm>([
  ['sha-256', 'sha256'],
  ['sha-512', 'sha512'],
]);

/** A digest written `sha256:<hex>` (as OCI does, here in any letter case) or `sha256-<base64>` (Subresource Integrity). */
export function parseDigest(text: string): Digest | undefined {
  const [, algorithm, separator, value = ''] =
    /^(md5|sha1|sha256|sha384|sha512)([:-])(.+)$/i.exec(text) ?? [];
  if (algorithm === undefined) return undefined;
  const name = algorithm.toLowerCase() as DigestAlgorithm;
  return separator === ':' ? fromHex(name, value) : fromBase64(name, value);
}

/**
 * Every digest that a response declares for its body: Repr-Digest and Content-Digest (RFC 9530), Content-MD5 (in base64
 * as RFC 1864 has it, or in hex as Glance sends it), x-image-meta-checksum, docker-content-digest. Malformed ones are
 * left out, the same one is given once; one algorithm with two values is given twice, so that no body agrees with both.
 */
export function declaredDigests(headers: HeaderPairs): Digest[] {
  const declared = [
    ...dictionaryDigests(fieldValue(headers, 'repr-digest')),
    ...dictionaryDigests(fieldValue(headers, 'content-digest')),
    ...fieldValues(headers, 'content-md5').map((value) => fromBase64('md5', value) ?? fromHex('md5', value)),
    ...fieldValues(headers, 'x-image-meta-checksum').map((value) => fromHex('md5', value)),
    ...fieldValues(headers, 'docker-content-digest').map((value) =>
      value.includes(':') ? parseDigest(value) : undefined,
    ),
  ];
  const unique = new Map<string, Digest>();
  for (const digest of declared) {
    if (digest !== undefined) unique.set(`${digest.algorithm}:${digest.hex}`, digest);
  }
  return [...unique.values()];
}

/** The digests of some bytes. */
export function digestsOf(bytes: Uint8Array, algorithms: readonly DigestAlgorithm[]): Digest[] {
  return algorithms.map((algorithm) => ({
    algorithm,
    hex: createHash(algorithm).update(bytes).digest('hex'),
  }));
}

/** The first of `a` for whose algorithm `b` has another value. */
export function conflicts(a: readonly Digest[], b: readonly Digest[]): Digest | undefined {
  return a.find(({ algorithm, hex }) =>
    b.some((other) => other.algorithm === algorithm && other.hex !== hex),
  );
}

/** A Repr-Digest value (RFC 9530 3) of those digests that have a name there; undefined if none has. */
export function formatReprDigest(digests: readonly Digest[]): string | undefined {
  const members: string[] = [];
  for (const [name, algorithm] of REPR_ALGORITHMS) {
    const digest = digests.find((each) => each.algorithm === algorithm);
    if (digest) members.push(`${name}=:${Buffer.from(digest.hex, 'hex').toString('base64')}:`);
  }
  return members.length > 0 ? members.join(', ') : undefined;
}

/**
 * The Repr-Digest of a response to a request with this Want-Repr-Digest (RFC 9530, 4), or without one: the most wanted of the digests
 * that are known, else SHA-256. undefined where none is known, or none of those is acceptable (0).
 */
export function wantedReprDigest(want: string | undefined, digests: readonly Digest[]): string | undefined {
  const wishes = preferences(want);
  const candidates = [...REPR_ALGORITHMS]
    .filter(
      ([name, algorithm]) => wishes.get(name) !== 0 && digests.some((each) => each.algorithm === algorithm),
    )
    .sort(([a], [b]) => (wishes.get(b) ?? 0) - (wishes.get(a) ?? 0));
  const best = candidates[0]?.[1];
  return best && formatReprDigest(digests.filter(({ algorithm }) => algorithm === best));
}

/** A dictionary of integers from 0 to 10; what is not one is ignored. */
function preferences(field: string | undefined): Map<string, number> {
  const found = new Map<string, number>();
  for (const member of listMembers(field ?? '')) {
    const [, name, weight] = /^([a-z0-9-]+)=(\d|10)(?:$|;)/.exec(member) ?? [];
    if (name !== undefined) found.set(name, Number(weight));
  }
  return found;
}

/** Members of a structured-field dictionary of byte sequences (RFC 9530 2, RFC 8941 3.2); parameters mean nothing here. */
function dictionaryDigests(field: string | undefined): (Digest | undefined)[] {
  return listMembers(field ?? '').map((member) => {
    const [, name = '', value = ''] = /^([a-z0-9-]+)=:([^:]*):(?:$|;)/.exec(member) ?? [];
    const algorithm = REPR_ALGORITHMS.get(name);
    return algorithm && fromBase64(algorithm, value);
  });
}

function fromHex(algorithm: DigestAlgorithm, text: string): Digest | undefined {
  const wellFormed = text.length === 2 * BYTES[algorithm] && /^[0-9a-f]+$/i.test(text);
  return wellFormed ? { algorithm, hex: text.toLowerCase() } : undefined;
}

function fromBase64(algorithm: DigestAlgorithm, text: string): Digest | undefined {
  const bytes = Buffer.from(text, 'base64');
  // Node's decoder skips what it doesn't know and reads the URL-safe alphabet as well.
  const wellFormed = bytes.length === BYTES[algorithm] && bytes.toString('base64') === text;
  return wellFormed ? { algorithm, hex: bytes.toString('hex') } : undefined;
}
