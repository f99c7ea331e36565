// docs/reference/storage.md

import type { ByteRange } from '../http/body.ts';
import type { Bytes, ObjectStream, StorageBackend } from './backends/backend.ts';
import type { Descriptor } from './manifest.ts';

export interface StorageOptions {
  /** An upload that nobody has touched for so long is removed by `prune`. Default 3,600,000; a blob that nothing refers to is kept as long. */
  uploadMaxAgeMs?: number;
  /** A tag that was pushed longer ago is removed by `prune`. Default: none is. */
  manifestMaxAgeMs?: number;
  /** `commit`: what is stored survives a loss of power. Default `commit`. */
  durability?: 'none' | 'commit';
  /** How the SHA-256 of an upload goes on in another process: `native` by reading again what is stored, `portable` from its saved state. Default `native`. */
  digester?: 'native' | 'portable';
  /** How many uploads have their hash in memory, so that the next chunk goes on with it. Default 1,000. */
  maxLiveUploads?: number;
  /** How long a chunk waits for another one of its upload that is being written, in milliseconds. Default 10,000. */
  lockTimeoutMs?: number;
  /** A blob and a manifest may have so many bytes. Default: 10^12, and 4 MiB. */
  maxBlobBytes?: number;
  maxManifestBytes?: number;
  /** One tag keeps a manifest of each media type, not only the one that was pushed last. Default false. */
  manyMediaTypes?: boolean;
  /** Whether a manifest must find what it refers to. Default true. */
  requireReferences?: boolean;
  /** Whether `prune` is to know when a tag was last pulled. Default false. */
  trackUse?: boolean;
  /** Whether an upload is given up when it is completed with a wrong digest. Default false: it may be tried again. */
  cancelOnMismatch?: boolean;
}

/** Half-open, as `uploadChunk` returns it: what was there before, and what is there after. */
export type Chunk = ByteRange;

export interface ChunkOptions {
  /** Where the chunk begins: rejects with OffsetError where that is not the end of what is stored. Absent: at the end. */
  offset?: number;
  /** Bytes that it announces; SizeError where another number came. */
  size?: number;
  /** The upload must have been started for it. */
  repository?: string;
  signal?: AbortSignal;
}

export interface UploadOptions {
  /** Only requests that name it will find the upload, and the blob will be one of it. */
  repository?: string;
  /** What the digest will be of; another one costs a second reading. Default `sha256`. */
  algorithm?: 'sha256' | 'sha512';
}

export interface UploadStatus {
  id: string;
  repository?: string;
  /** In bytes: where the next chunk begins. */
  size: number;
  /** Milliseconds since the epoch. */
  startedAt: number;
}

export interface StoredManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
}

export interface PutManifestOptions {
  /** The Content-Type it came with, without parameters; absent: what it says of itself. */
  mediaType?: string;
  /** More tags for it. */
  tags?: readonly string[];
}

export interface PutManifest {
  digest: string;
  mediaType: string;
  /** The digest of what it refers to as its subject. */
  subject?: string;
  /** Tags that name it now. */
  tags: string[];
}

/** The operations; what each rejects with is in docs/reference/storage.md. */
export interface StorageOperations {
  blobSize(namespace: string, digest: string): Promise<number | undefined>;
  putBlob(namespace: string, digest: string, bytes: Bytes): Promise<void>;
  getBlob(namespace: string, digest: string): Promise<Buffer | undefined>;
  streamBlob(namespace: string, digest: string, range?: ByteRange): Promise<ObjectStream | undefined>;
  deleteBlob(namespace: string, digest: string): Promise<boolean>;
  /** The size of a blob that is one of the repository's. */
  linkedBlobSize(namespace: string, repository: string, digest: string): Promise<number | undefined>;
  /** Makes a blob that is in the namespace one of the repository's; false where it is not there. */
  linkBlob(namespace: string, repository: string, digest: string): Promise<boolean>;
  unlinkBlob(namespace: string, repository: string, digest: string): Promise<boolean>;
  startUpload(namespace: string, options?: UploadOptions): Promise<string>;
  uploadChunk(namespace: string, id: string, bytes: Bytes, options?: ChunkOptions): Promise<Chunk>;
  uploadStatus(namespace: string, id: string, repository?: string): Promise<UploadStatus | undefined>;
  cancelUpload(namespace: string, id: string, repository?: string): Promise<boolean>;
  storeUpload(namespace: string, id: string, digest: string, repository?: string): Promise<void>;
  putManifest(
    namespace: string,
    repository: string,
    reference: string,
    bytes: Uint8Array,
    options?: PutManifestOptions,
  ): Promise<PutManifest>;
  getManifest(
    namespace: string,
    repository: string,
    reference: string,
    options?: { accept?: readonly string[] },
  ): Promise<StoredManifest | undefined>;
  deleteManifest(namespace: string, repository: string, reference: string): Promise<boolean>;
  /** Sorted; undefined where there is no such repository. */
  listTags(namespace: string, repository: string): Promise<string[] | undefined>;
  referrers(
    namespace: string,
    repository: string,
    digest: string,
    options?: { artifactType?: string },
  ): Promise<Descriptor[]>;
  namespaces(): AsyncIterable<string>;
  repositories(namespace: string): AsyncIterable<string>;
}

export type { StorageBackend };
