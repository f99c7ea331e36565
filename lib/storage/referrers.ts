// docs/reference/storage.md

import createDebug from 'debug';
import { ManifestError } from '../errors.ts';
import type { StorageBackend } from './backends/backend.ts';
import { layout } from './layout.ts';
import { type Descriptor, descriptorOf, type Manifest, OCI_INDEX, parseManifest } from './manifest.ts';
import type { Manifests, StoredManifest } from './manifests.ts';
import { isName, requireName } from './names.ts';

const debug = createDebug('cache-filter:storage');

export interface ReferrersOptions {
  /** Only those of this type. */
  artifactType?: string;
  /** Only those whose digests come after this one, whether that is there or not. */
  last?: string;
}

/** Which manifests are about which others. Of each that is put, a descriptor is kept with its subject. */
export class Referrers {
  readonly #backend: StorageBackend;
  readonly #manifests: Pick<Manifests, 'get' | 'has'>;

  constructor(backend: StorageBackend, manifests: Pick<Manifests, 'get' | 'has'>) {
    this.#backend = backend;
    this.#manifests = manifests;
  }

  /** Before its manifest is: whoever finds that finds it here. */
  async add(namespace: string, repository: string, digest: string, manifest: Manifest): Promise<void> {
    const { subject } = manifest;
    if (subject === undefined) return;
    const path = layout.referrer(namespace, repository, subject.digest, digest);
    await this.#backend.put(path, Buffer.from(JSON.stringify(descriptorOf(manifest, digest))));
  }

  /** Before its manifest is removed. What is left of one whose content is missing or damaged counts as none, and goes with `prune`. */
  async remove(namespace: string, repository: string, digest: string): Promise<void> {
    const found = await this.#manifests.get(namespace, repository, digest);
    const subject = found && readable(found)?.subject?.digest;
    if (subject === undefined) return;
    await this.#backend.delete(layout.referrer(namespace, repository, subject, digest));
    await this.#backend.delete(layout.referrers(namespace, repository, subject));
  }

  /** In the order of their digests. One at a time: who pushes them says how many there are, and in annotations how large. */
  async *list(
    namespace: string,
    repository: string,
    subject: string,
    { artifactType, last = '' }: ReferrersOptions = {},
  ): AsyncGenerator<Descriptor, void, undefined> {
    requireName('namespace', namespace);
    requireName('repository', repository);
    requireName('digest', subject);
    const noted = new Set<string>();
    for await (const { name } of this.#backend.list(layout.referrers(namespace, repository, subject)))
      if (isName('digest', name)) noted.add(name);
    // An index may name the same one thousands of times.
    const all = new Set([...noted, ...(await this.#tagged(namespace, repository, subject))]);
    for (const digest of [...all].filter((each) => each > last).sort()) {
      const found =
        (noted.has(digest) && (await this.#note(namespace, repository, subject, digest))) ||
        (await this.#read(namespace, repository, subject, digest));
      if (found && (artifactType === undefined || found.artifactType === artifactType)) yield found;
    }
  }

  /** What older clients have put under a tag (OCI distribution-spec 1.1, "Referrers Tag Schema"). */
  async #tagged(namespace: string, repository: string, subject: string): Promise<string[]> {
    const tag = subject.replace(':', '-').slice(0, 128);
    const index = await this.#manifests.get(namespace, repository, tag);
    const { references = [] } = (index?.mediaType === OCI_INDEX && readable(index)) || {};
    return references.flatMap(({ digest, kind }) => (kind === 'manifest' ? [digest] : []));
  }

  /** Undefined where it is damaged, or where the repository has not, or not any more, what it is of. */
  async #note(
    namespace: string,
    repository: string,
    subject: string,
    digest: string,
  ): Promise<Descriptor | undefined> {
    const path = layout.referrer(namespace, repository, subject, digest);
    const note = decode(await this.#backend.get(path));
    if (note?.digest !== digest) {
      debug('%s is damaged', path);
      return undefined;
    }
    return (await this.#manifests.has(namespace, repository, digest)) ? note : undefined;
  }

  /** As the manifest itself says. */
  async #read(
    namespace: string,
    repository: string,
    subject: string,
    digest: string,
  ): Promise<Descriptor | undefined> {
    const found = await this.#manifests.get(namespace, repository, digest);
    const manifest = found && readable(found);
    return manifest?.subject?.digest === subject ? descriptorOf(manifest, digest) : undefined;
  }
}

/** Undefined where the content was damaged since it was put. */
function readable({ bytes, mediaType, digest }: StoredManifest): Manifest | undefined {
  try {
    return parseManifest(bytes, mediaType);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    debug('the content of %s is damaged: %o', digest, error);
    return undefined;
  }
}

function decode(bytes: Buffer | undefined): Descriptor | undefined {
  try {
    const { mediaType, digest, size, artifactType, annotations } = Object(
      JSON.parse(String(bytes)),
    ) as Partial<Record<keyof Descriptor, unknown>>;
    const isText = typeof mediaType === 'string' && typeof digest === 'string' && typeof size === 'number';
    if (!isText) return undefined;
    return {
      mediaType,
      digest,
      size,
      ...(annotations === undefined ? {} : { annotations: annotations as Record<string, string> }),
      ...(artifactType === undefined ? {} : { artifactType: String(artifactType) }),
    };
  } catch {
    return undefined;
  }
}
