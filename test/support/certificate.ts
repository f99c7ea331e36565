import { readFileSync } from 'node:fs';

/** A certificate that vouches for nothing, and its key: of a server, or of one of its clients. */
export function certificate(name: 'server' | 'alice' | 'bob' = 'server'): { key: Buffer; cert: Buffer } {
  const read = (file: string) => readFileSync(new URL(`../fixtures/certificates/${file}`, import.meta.url));
  return { key: read(`${name}.key.pem`), cert: read(`${name}.pem`) };
}
