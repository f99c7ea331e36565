import type { Readable } from 'node:stream';

const MAX_BYTES = 64 * 1024;
const MAX_MS = 1000;

/** Nobody wants this body. A short one is read to its end all the same, so that its connection can be used again. */
export function discard(body: Readable): void {
  let bytes = 0;
  const timer = setTimeout(() => body.destroy(), MAX_MS).unref();
  body.once('close', () => clearTimeout(timer));
  body.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) body.destroy();
  });
}
