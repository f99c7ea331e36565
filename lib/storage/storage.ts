// docs/reference/storage.md

import type { ByteRange } from '../http/body.ts';
import type { Bytes, ObjectStream, StorageBackend } from './backends/backend.ts';
import { requireBackend } from './backends/require.ts';
import { Blobs } from './blobs.ts';
import { Format } from './format.ts';
import { layout } from './layout.ts';
import { Locks } from './locks.ts';
import type { Descriptor } from './manifest.ts';
import { Manifests, type PutManifest, type PutManifestOptions, type StoredManifest } from './manifests.ts';
import { isName, requireName } from './names.ts';
import { type ResolvedStorageOptions, resolveStorageOptions, type StorageOptions } from './options.ts';
import { type PruneOptions, type PruneReport, prune } from './prune.ts';
import type { ReferrersOptions } from './referrers.ts';
import { type Chunk, type ChunkOptions, type UploadOptions, type UploadStatus, Uploads } from './uploads.ts';

export type { Chunk, ChunkOptions, UploadOptions, UploadStatus } from './uploads.ts';
export type {
  Descriptor,
  PutManifest,
  PutManifestOptions,
  ReferrersOptions,
  StorageBackend,
  StorageOptions,
  StoredManifest,
};

/**
 * Content by its digest, in namespaces that share nothing: blobs, uploads that become blobs, and repositories of manifests and tags.
 * Any number of processes may use one backend at the same time. What is no name rejects with NameError, a backend that fails with
 * BackendError, one that a newer version has written with FormatError.
 */
export class Storage {
  readonly options: ResolvedStorageOptions;
  readonly #backend: StorageBackend;
  readonly #format: Format;
  readonly #locks: Locks;
  readonly #blobs: Blobs;
  readonly #uploads: Uploads;
  readonly #manifests: Manifests;

  /** @throws OptionError */
  constructor(backend: StorageBackend, options: StorageOptions = {}) {
    requireBackend(backend);
    this.options = resolveStorageOptions(options);
    this.#backend = backend;
    this.#format = new Format(backend);
    this.#locks = new Locks(backend, this.options.lockTimeoutMs);
    this.#blobs = new Blobs(backend, this.options);
    this.#uploads = new Uploads(backend, this.#blobs, this.#locks, this.options);
    this.#manifests = new Manifests(backend, this.#blobs, this.#locks, this.options);
  }

  /**
   * In bytes; undefined where there is none. Whoever is told of a blob may rely on it: `prune` leaves it for `uploadMaxAgeMs` from now, unless the
   * backend takes nothing more (a full disk, say), which keeps nobody from pulling.
   */
  async blobSize(namespace: string, digest: string): Promise<number | undefined> {
    await this.#format.check();
    return this.#blobs.size(namespace, digest, { mustNote: false });
  }

  /** Stores bytes under their digest. @throws DigestError where they have another one, TooLargeError; nothing has changed then */
  async putBlob(namespace: string, digest: string, bytes: Bytes): Promise<void> {
    await this.#format.check();
    await this.#blobs.put(namespace, digest, bytes);
  }

  /** All of it, in memory; undefined where there is none. */
  async getBlob(namespace: string, digest: string): Promise<Buffer | undefined> {
    await this.#format.check();
    return this.#blobs.get(namespace, digest);
  }

  /** @param range half-open, within the blob */
  async streamBlob(namespace: string, digest: string, range?: ByteRange): Promise<ObjectStream | undefined> {
    await this.#format.check();
    return this.#blobs.stream(namespace, digest, range);
  }

  /** Removes it at once, for every repository of the namespace, whatever refers to it; whether there was one. */
  async deleteBlob(namespace: string, digest: string): Promise<boolean> {
    await this.#format.check();
    return this.#blobs.delete(namespace, digest);
  }

  /** The same of a blob that was pushed to, or mounted into, the repository; undefined where it has none such. */
  async linkedBlobSize(namespace: string, repository: string, digest: string): Promise<number | undefined> {
    await this.#format.check();
    return this.#blobs.linkedSize(namespace, repository, digest, { mustNote: false });
  }

  /** Makes a blob of the namespace one of the repository's; whether it is there. */
  async linkBlob(namespace: string, repository: string, digest: string): Promise<boolean> {
    await this.#format.check();
    return this.#blobs.link(namespace, repository, digest);
  }

  /** The blob is none of the repository's any more; whether it was. The content stays until `prune` finds that nobody refers to it. */
  async unlinkBlob(namespace: string, repository: string, digest: string): Promise<boolean> {
    await this.#format.check();
    return this.#blobs.unlink(namespace, repository, digest);
  }

  /** Resolves to the id of a new upload: 32 lower-case hex digits. */
  async startUpload(namespace: string, options?: UploadOptions): Promise<string> {
    await this.#format.check();
    return this.#uploads.start(namespace, options);
  }

  /**
   * Stores what comes after what is there. Half-open, in bytes: `{ start: 0, end: 5 }` for the first five; an empty chunk stores nothing. Where
   * `bytes` throws, or `signal` is aborted, what came before is stored, and it rejects with that.
   * @throws UploadUnknownError, OffsetError where it does not begin where the stored bytes end, SizeError, TooLargeError, BusyError where another chunk of
   *   the upload is being stored for longer than `lockTimeoutMs`
   */
  async uploadChunk(namespace: string, id: string, bytes: Bytes, options?: ChunkOptions): Promise<Chunk> {
    await this.#format.check();
    return this.#uploads.chunk(namespace, id, bytes, options);
  }

  /** How much of it is stored; undefined where there is no such upload. */
  async uploadStatus(namespace: string, id: string, repository?: string): Promise<UploadStatus | undefined> {
    await this.#format.check();
    return this.#uploads.status(namespace, id, repository);
  }

  /** Removes it; whether there was one. @throws BusyError */
  async cancelUpload(namespace: string, id: string, repository?: string): Promise<boolean> {
    await this.#format.check();
    return this.#uploads.cancel(namespace, id, repository);
  }

  /**
   * Makes a blob of an upload: of the namespace, and of the repository that it was started for. One that is there already stays.
   * @throws DigestError where its content has another digest: it may be tried again (but see `cancelOnMismatch`); UploadUnknownError, BusyError
   */
  async storeUpload(namespace: string, id: string, digest: string, repository?: string): Promise<void> {
    await this.#format.check();
    await this.#uploads.complete(namespace, id, digest, repository);
  }

  /**
   * Stores a manifest, byte for byte, under its digest and under tags.
   * @param reference a tag, or its digest
   * @throws ManifestError, DigestError where `reference` is another digest, TooLargeError, MissingReferenceError where it refers to what the repository has
   *   not (see `requireReferences`), BusyError where another one changes the tag for longer than `lockTimeoutMs`
   */
  async putManifest(
    namespace: string,
    repository: string,
    reference: string,
    bytes: Uint8Array,
    options?: PutManifestOptions,
  ): Promise<PutManifest> {
    await this.#format.check();
    return this.#manifests.put(namespace, repository, reference, bytes, options);
  }

  /**
   * @param options `accept`: media types as they are wanted, which decides where a tag has several (see `manyMediaTypes`)
   * @returns undefined where there is none
   */
  async getManifest(
    namespace: string,
    repository: string,
    reference: string,
    options?: { accept?: readonly string[] },
  ): Promise<StoredManifest | undefined> {
    await this.#format.check();
    return this.#manifests.get(namespace, repository, reference, options);
  }

  /** A tag: only that. A digest: the manifest, and all tags that name it. Whether there was one. @throws BusyError */
  async deleteManifest(namespace: string, repository: string, reference: string): Promise<boolean> {
    await this.#format.check();
    return this.#manifests.delete(namespace, repository, reference);
  }

  /** In ASCII order; undefined where there is no such repository. */
  async listTags(namespace: string, repository: string): Promise<string[] | undefined> {
    await this.#format.check();
    return this.#manifests.tags(namespace, repository);
  }

  /**
   * The manifests of a repository that name this one as their subject, whether that is there or not, in the order of their digests.
   * @param options `last`: only those that come after this digest
   */
  async *referrers(
    namespace: string,
    repository: string,
    digest: string,
    options?: ReferrersOptions,
  ): AsyncGenerator<Descriptor> {
    await this.#format.check();
    yield* this.#manifests.referrers.list(namespace, repository, digest, options);
  }

  /** In no order. */
  async *namespaces(): AsyncGenerator<string> {
    await this.#format.check();
    for await (const { name, isFolder } of this.#backend.list(''))
      if (isFolder && isName('namespace', name)) yield name;
  }

  /** Those that have something, in no order. */
  async *repositories(namespace: string): AsyncGenerator<string> {
    await this.#format.check();
    requireName('namespace', namespace);
    const waiting = [''];
    for (let prefix = waiting.pop(); prefix !== undefined; prefix = waiting.pop()) {
      const path = prefix === '' ? layout.repositories(namespace) : layout.repository(namespace, prefix);
      let isRepository = false;
      for await (const { name, isFolder } of this.#backend.list(path)) {
        if (!isFolder) continue;
        if (name === '_manifests' || name === '_blobs') isRepository = true;
        else if (isName('repository', name)) waiting.push(prefix === '' ? name : `${prefix}/${name}`);
      }
      if (isRepository) yield prefix;
    }
  }

  /**
   * Removes uploads that were given up, tags and manifests that are too old, and what nothing refers to any more. Others may go on pushing and pulling.
   * What can't be read is among the `problems` of the report, and nothing that it may need is removed.
   * @throws OptionError, and the reason of the signal
   */
  async prune(options?: PruneOptions): Promise<PruneReport> {
    await this.#format.check();
    const { uploadMaxAgeMs, manifestMaxAgeMs, trackUse, maxManifestBytes } = this.options;
    const place = {
      backend: this.#backend,
      uploadMaxAgeMs,
      ...(manifestMaxAgeMs === undefined ? {} : { manifestMaxAgeMs }),
      trackUse,
      maxManifestBytes,
      hold: (path: string, work: () => Promise<void>) => this.#locks.tryHold(path, work),
    };
    return prune(place, options);
  }
}
