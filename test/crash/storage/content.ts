/** What is pushed: bytes and manifests that follow from numbers, so that two processes know what belongs to what. */
import { createHash } from 'node:crypto';

export const NAMESPACE = 'crash';
export const REPOSITORY = 'team/app';
const IMAGE = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

/** The `n`th blob: up to 300 KB, hardly two of the same length. */
export function blobOf(n: number): Buffer {
  const size = (Math.imul(n + 1, 0x9e3779b1) >>> 0) % 300_000;
  const bytes = Buffer.alloc(size);
  for (let i = 0, word = (n + 1) | 0; i + 4 <= size; i += 4) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    bytes.writeInt32LE(word | 0, i);
  }
  return bytes;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function manifestOf(config: Buffer, layers: readonly Buffer[]): Buffer {
  const describe = (bytes: Buffer) => ({
    mediaType: 'application/x.bytes',
    digest: digestOf(bytes),
    size: bytes.length,
  });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: IMAGE,
      config: describe(config),
      layers: layers.map(describe),
    }),
  );
}

export function indexOf(manifests: readonly Buffer[]): Buffer {
  const describe = (bytes: Buffer) => ({ mediaType: IMAGE, digest: digestOf(bytes), size: bytes.length });
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: manifests.map(describe) }),
  );
}
