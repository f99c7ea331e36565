/** The entry point `cache-filter/storage`. */

export type {
  Appending,
  Bytes,
  ObjectInfo,
  ObjectStream,
  Part,
  StorageBackend,
  Unlock,
} from './backends/backend.ts';
export { FilesystemBackend, type FilesystemBackendOptions } from './backends/filesystem.ts';
export { MemoryBackend, type MemoryBackendOptions } from './backends/memory.ts';
export type {
  NamespaceReport,
  PruneEvent,
  PruneOptions,
  PruneProblem,
  PruneReport,
  Tally,
} from './prune.ts';
export {
  type Chunk,
  type ChunkOptions,
  type Descriptor,
  type PutManifest,
  type PutManifestOptions,
  type ReferrersOptions,
  Storage,
  type StorageOptions,
  type StoredManifest,
  type UploadOptions,
  type UploadStatus,
} from './storage.ts';
