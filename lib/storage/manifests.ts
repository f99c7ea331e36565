import { createHash } from 'node:crypto';
import createDebug from 'debug';
import { LRUCache } from 'lru-cache';
import { OptionReader } from '../checks.ts';
import { BackendError, DigestError, MissingReferenceError, NameError, TooLargeError } from '../errors.ts';
import { getEither, isThere, removeEither } from './aside.ts';
import type { StorageBackend } from './backends/backend.ts';
import { requirePiece } from './backends/bytes.ts';
import type { Blobs } from './blobs.ts';
import { layout, places } from './layout.ts';
import type { Locks } from './locks.ts';
import { DOCKER_LIST, type Manifest, OCI_INDEX, parseManifest } from './manifest.ts';
import { algorithmOf, isDigest, isName, requireName, requireReference } from './names.ts';
import type { ResolvedStorageOptions } from './options.ts';
import { Referrers } from './referrers.ts';
import { isMediaType, readTag, type TagDocument } from './tag-document.ts';

const debug = createDebug('cache-filter:storage');

/** That a manifest was pulled is noted no more often than that, in milliseconds. */
const USED_MS = 60_000;

/** Where so many are missing it is not looked for more: a manifest may name tens of thousands. */
const MOST_MISSING = 100;

export interface StoredManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
}

export interface PutManifestOptions {
  /** The Content-Type it came with, without parameters; absent: what it says of itself. */
  mediaType?: string;
  /** Tags for one that is put by its digest. */
  tags?: readonly string[];
}

const PUT_OPTIONS = { mediaType: true, tags: true } as const;

export interface PutManifest {
  digest: string;
  mediaType: string;
  /** The digest of what it says it is about. */
  subject?: string;
  /** Tags that name it now. */
  tags: string[];
}

/** The manifests of repositories, by their digests and by tags. The bytes are blobs; a repository has a small document for each name. */
export class Manifests {
  readonly referrers: Referrers;
  readonly #backend: StorageBackend;
  readonly #blobs: Blobs;
  readonly #locks: Locks;
  readonly #options: ResolvedStorageOptions;
  readonly #used: LRUCache<string, true>;

  constructor(backend: StorageBackend, blobs: Blobs, locks: Locks, options: ResolvedStorageOptions) {
    this.#backend = backend;
    this.#blobs = blobs;
    this.#locks = locks;
    this.#options = options;
    this.#used = new LRUCache({ max: 10_000, ttl: USED_MS });
    this.referrers = new Referrers(backend, this);
  }

  /** The bytes first, then what says that they are the repository's, then its tags: a tag always leads to its manifest. */
  async put(
    namespace: string,
    repository: string,
    reference: string,
    bytes: Uint8Array,
    options: PutManifestOptions = {},
  ): Promise<PutManifest> {
    requireNames(namespace, repository, reference);
    new OptionReader(options, PUT_OPTIONS);
    requirePiece(bytes);
    const { mediaType, tags: more = [] } = options;
    for (const tag of more) requireName('tag', tag);
    const { maxManifestBytes } = this.#options;
    if (bytes.byteLength > maxManifestBytes) throw new TooLargeError('a manifest', maxManifestBytes);
    const digest = digestFor(reference, bytes);
    const manifest = parseManifest(bytes, mediaType);
    if (!isMediaType(manifest.mediaType)) {
      const came = JSON.stringify(manifest.mediaType.slice(0, 80));
      throw new NameError('media type', `${came} is no media type: it is type/subtype, without parameters`);
    }
    if (this.#options.requireReferences) await this.#requireReferences(namespace, repository, manifest);
    await this.#blobs.put(namespace, digest, bytes);
    const { subject } = manifest;
    await this.referrers.add(namespace, repository, digest, manifest);
    await this.#name(namespace, repository, digest, { [manifest.mediaType]: digest });
    const tags = [...new Set(isDigest(reference) ? more : [reference, ...more])];
    for (const tag of tags)
      await this.#holdTag(namespace, repository, tag, () =>
        this.#tag(namespace, repository, tag, { [manifest.mediaType]: digest }),
      );
    return {
      digest,
      mediaType: manifest.mediaType,
      ...(subject === undefined ? {} : { subject: subject.digest }),
      tags,
    };
  }

  /**
   * @param accept media types in the order in which they are wanted, where a tag has several; lists and indexes come first all the same
   *   (statement 58)
   */
  async get(
    namespace: string,
    repository: string,
    reference: string,
    { accept = [] }: { accept?: readonly string[] } = {},
  ): Promise<StoredManifest | undefined> {
    requireNames(namespace, repository, reference);
    const document = await this.#document(namespace, repository, reference);
    const chosen = document && choose(document, accept);
    if (chosen === undefined) return undefined;
    const [mediaType, digest] = chosen;
    const bytes = await this.#blobs.get(namespace, digest);
    if (bytes === undefined) debug('%s of %s names %s, which is missing', reference, repository, digest);
    if (bytes === undefined) return undefined;
    await this.#note(namespace, repository, reference);
    return { digest, mediaType, bytes };
  }

  /** Whether it is one of the repository's. */
  async has(namespace: string, repository: string, reference: string): Promise<boolean> {
    return (await this.#document(namespace, repository, reference)) !== undefined;
  }

  /** A tag: only that. A digest: the manifest, and every tag that names it. Whether it was there. */
  async delete(namespace: string, repository: string, reference: string): Promise<boolean> {
    requireNames(namespace, repository, reference);
    if (!isDigest(reference))
      return this.#holdTag(namespace, repository, reference, () =>
        this.#remove(namespace, repository, reference),
      );
    for (const tag of (await this.tags(namespace, repository)) ?? []) {
      if (await this.#leadsTo(namespace, repository, tag, reference))
        await this.#holdTag(namespace, repository, tag, () =>
          this.#untag(namespace, repository, tag, reference),
        );
    }
    await this.referrers.remove(namespace, repository, reference);
    return this.#remove(namespace, repository, reference);
  }

  /** In ASCII order; undefined where there is no such repository. */
  async tags(namespace: string, repository: string): Promise<string[] | undefined> {
    requireName('namespace', namespace);
    requireName('repository', repository);
    const tags = new Set<string>();
    const { path, aside } = places.manifests(namespace, repository);
    let isRepository = false;
    // What `prune` has moved aside is still there, and it may do so between two of these.
    for (const folder of [aside, path, aside])
      for await (const { name, isFolder } of this.#backend.list(folder)) {
        isRepository = true;
        if (!isFolder && isName('tag', name)) tags.add(name);
      }
    if (!isRepository)
      for await (const _ of this.#backend.list(layout.links(namespace, repository))) isRepository = true;
    return isRepository ? [...tags].sort(byCode) : undefined;
  }

  async #requireReferences(namespace: string, repository: string, manifest: Manifest): Promise<void> {
    const missing = new Set<string>();
    const seen = new Set<string>();
    for (const { digest, kind, optional } of manifest.references) {
      if (optional || seen.has(digest)) continue;
      seen.add(digest);
      const isHere =
        kind === 'manifest'
          ? // In this order: `prune` removes a document, and then looks whether its content was noted as wanted.
            (await this.#blobs.size(namespace, digest)) !== undefined &&
            (await this.#isNamed(namespace, repository, digest))
          : (await this.#blobs.linkedSize(namespace, repository, digest)) !== undefined;
      if (!isHere) missing.add(digest);
      if (missing.size === MOST_MISSING) break;
    }
    if (missing.size > 0) throw new MissingReferenceError([...missing]);
  }

  /** Whether the repository has the manifest, be it that `prune` is just about to remove it. */
  async #isNamed(namespace: string, repository: string, digest: string): Promise<boolean> {
    const isNamed = await isThere(this.#backend, places.manifest(namespace, repository, digest));
    return isNamed && (await this.#document(namespace, repository, digest)) !== undefined;
  }

  async #tag(namespace: string, repository: string, tag: string, document: TagDocument): Promise<void> {
    const before = this.#options.manyMediaTypes ? await this.#document(namespace, repository, tag) : {};
    await this.#name(namespace, repository, tag, { ...before, ...document });
  }

  async #leadsTo(namespace: string, repository: string, tag: string, digest: string): Promise<boolean> {
    return Object.values((await this.#document(namespace, repository, tag)) ?? {}).includes(digest);
  }

  /** The tag leads to that digest no more; without any other it is removed. */
  async #untag(namespace: string, repository: string, tag: string, digest: string): Promise<void> {
    const all = Object.entries((await this.#document(namespace, repository, tag)) ?? {});
    const rest = all.filter(([, each]) => each !== digest);
    if (rest.length === all.length) return;
    if (rest.length === 0) await this.#remove(namespace, repository, tag);
    else await this.#name(namespace, repository, tag, Object.fromEntries(rest));
  }

  async #remove(namespace: string, repository: string, reference: string): Promise<boolean> {
    await this.#backend.delete(layout.used(namespace, repository, reference));
    return removeEither(this.#backend, places.manifest(namespace, repository, reference));
  }

  /** Who changes a tag reads it first: one at a time. */
  #holdTag<T>(namespace: string, repository: string, tag: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.hold(layout.manifest(namespace, repository, tag), { what: `the tag ${tag}` }, work);
  }

  async #name(
    namespace: string,
    repository: string,
    reference: string,
    document: TagDocument,
  ): Promise<void> {
    const path = layout.manifest(namespace, repository, reference);
    await this.#backend.put(path, Buffer.from(JSON.stringify(document)));
  }

  async #document(
    namespace: string,
    repository: string,
    reference: string,
  ): Promise<TagDocument | undefined> {
    const bytes = await getEither(this.#backend, places.manifest(namespace, repository, reference));
    return bytes && readTag(bytes);
  }

  async #note(namespace: string, repository: string, reference: string): Promise<void> {
    const path = layout.used(namespace, repository, reference);
    if (!this.#options.trackUse || this.#used.has(path)) return;
    this.#used.set(path, true);
    // Nobody's pull fails because of it.
    await this.#backend.put(path, new Uint8Array()).catch((error: unknown) => {
      if (!(error instanceof BackendError)) throw error;
      debug('that %s was used is not noted: %o', path, error);
    });
  }
}

function requireNames(namespace: string, repository: string, reference: string): void {
  requireName('namespace', namespace);
  requireName('repository', repository);
  requireReference(reference);
}

/** @throws DigestError */
function digestFor(reference: string, bytes: Uint8Array): string {
  const algorithm = isDigest(reference) ? algorithmOf(reference) : 'sha256';
  const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
  if (isDigest(reference) && reference !== digest) throw new DigestError(reference, digest);
  return digest;
}

function choose(
  document: TagDocument,
  accept: readonly string[],
): [mediaType: string, digest: string] | undefined {
  const all = Object.entries(document);
  // What is the only one is given whatever is accepted.
  if (all.length <= 1) return all[0];
  const wanted = accept.includes('*/*') ? [...accept, ...Object.keys(document)] : accept;
  const isList = (type: string) => type === OCI_INDEX || type === DOCKER_LIST;
  for (const type of [...wanted.filter(isList), ...wanted.filter((type) => !isList(type))]) {
    // Clients may ask for `constructor`.
    const digest = Object.hasOwn(document, type) ? document[type] : undefined;
    if (digest !== undefined) return [type, digest];
  }
  return accept.length === 0 ? all.at(-1) : undefined;
}

function byCode(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
