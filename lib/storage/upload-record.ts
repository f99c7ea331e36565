// docs/reference/storage-format.md

import { type DigestName, isName } from './names.ts';

/** A chunk that is an object of its own, on a backend that can't append. */
export interface StoredChunk {
  /** In bytes. */
  size: number;
  /** Lower-case hex; absent where this machine has no MD5. */
  md5?: string;
}

/** What is stored of an upload besides its bytes. It never claims more than is stored. */
export interface UploadRecord {
  /** Absent: of the namespace as a whole. */
  repository?: string;
  /** Of the digest that is computed while it comes. */
  algorithm: DigestName;
  /** Milliseconds since the epoch. */
  startedAt: number;
  /** In their order. On a backend that can append there are none: what has come is one growing object. */
  chunks: StoredChunk[];
  /** What another process can go on hashing with, of so many bytes as it says. */
  hash_state?: unknown;
  /** It was about to become this blob. */
  completing?: string;
}

export function encodeUpload(record: UploadRecord): Buffer {
  return Buffer.from(JSON.stringify(record));
}

/** Undefined where the bytes are no such record. */
export function decodeUpload(bytes: Buffer): UploadRecord | undefined {
  let record: Partial<Record<keyof UploadRecord, unknown>>;
  try {
    record = Object(JSON.parse(bytes.toString())) as typeof record;
  } catch {
    return undefined;
  }
  const { repository, algorithm, startedAt, chunks, completing } = record;
  const valid =
    (repository === undefined || isName('repository', repository)) &&
    (algorithm === 'sha256' || algorithm === 'sha512') &&
    Number.isFinite(startedAt) &&
    (completing === undefined || isName('digest', completing)) &&
    Array.isArray(chunks) &&
    chunks.every(isChunk);
  return valid ? (record as UploadRecord) : undefined;
}

function isChunk(chunk: unknown): chunk is StoredChunk {
  const { size, md5 } = Object(chunk) as Partial<Record<keyof StoredChunk, unknown>>;
  return (
    Number.isSafeInteger(size) &&
    (size as number) > 0 &&
    (md5 === undefined || (typeof md5 === 'string' && /^[0-9a-f]{32}$/.test(md5)))
  );
}
