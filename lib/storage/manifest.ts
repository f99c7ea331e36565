// docs/reference/storage.md

import { ManifestError } from '../errors.ts';
import { isName } from './names.ts';

/** A pointer to content (OCI image-spec 1.1, descriptor). */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  artifactType?: string;
}

/** What a manifest needs. */
export interface Reference {
  digest: string;
  kind: 'config' | 'layer' | 'manifest';
  /** It says of itself where else to get it (`urls`): the storage need not have it. */
  optional: boolean;
  /** What the manifest says of it; absent where it does not. */
  mediaType?: string;
  /** In bytes, likewise. */
  size?: number;
}

export interface Manifest {
  mediaType: string;
  /** In the order of the document; what is named twice comes twice. */
  references: Reference[];
  /** What it is about; that need not be there. */
  subject?: Descriptor;
  /** What a list of referrers says of it: its `artifactType`, or that of an image is the media type of its config. */
  artifactType?: string;
  annotations?: Record<string, string>;
  /** Of the document, in bytes. */
  size: number;
}

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

const KNOWN: ReadonlySet<string> = new Set([
  OCI_MANIFEST,
  OCI_INDEX,
  OCI_ARTIFACT,
  DOCKER_MANIFEST,
  DOCKER_LIST,
]);

type Json = Record<string, unknown>;

/**
 * Reads a manifest: an image or an index, OCI's or Docker's, or an artifact. What has another media type may be anything in JSON: what
 * are descriptors under the names that those use are references of it all the same, and nothing else in it is looked at. `null` is absent.
 * @param mediaType the Content-Type it came with, without parameters, or what is known of it; absent: what it says of itself, or looks like
 * @throws ManifestError which says where what is wrong
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): Manifest {
  const json = parseObject(bytes);
  const type = typeOf(json, mediaType);
  const read = new Reader(KNOWN.has(type.toLowerCase()));
  const config = read.descriptor(json['config'], 'config');
  const references = [
    ...(config === undefined ? [] : [reference(config, 'config')]),
    ...read.list(json['layers'], 'layers').map((each) => reference(each, 'layer')),
    ...read.list(json['blobs'], 'blobs').map((each) => reference(each, 'layer')),
    ...sums(json['fsLayers']),
    ...read.list(json['manifests'], 'manifests').map((each) => reference(each, 'manifest')),
  ];
  const subject = read.descriptor(json['subject'], 'subject');
  const artifactType = read.text(json['artifactType'], 'artifactType') || imageType(type, config);
  const annotations = read.annotations(json['annotations'], 'annotations');
  return {
    mediaType: type,
    references,
    ...(subject === undefined ? {} : { subject: descriptor(subject) }),
    ...(artifactType ? { artifactType } : {}),
    ...(annotations === undefined ? {} : { annotations }),
    size: bytes.byteLength,
  };
}

/** What a list of referrers says of a manifest (distribution-spec 1.1, "Listing referrers"). */
export function descriptorOf(manifest: Manifest, digest: string): Descriptor {
  const { mediaType, size, annotations, artifactType } = manifest;
  return {
    mediaType,
    digest,
    size,
    ...(annotations === undefined ? {} : { annotations }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
}

function parseObject(bytes: Uint8Array): Json {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw new ManifestError('the manifest is not JSON', { cause: error });
  }
  if (!isObject(json)) throw new ManifestError(`the manifest is ${say(json)}, not a JSON object`);
  return json;
}

function typeOf(json: Json, given: string | undefined): string {
  const own = json['mediaType'] ?? undefined;
  if (own !== undefined && (typeof own !== 'string' || own === '')) {
    throw new ManifestError(`mediaType is ${say(own)}, not the name of a media type`);
  }
  if (given !== undefined && own !== undefined && given.toLowerCase() !== own.toLowerCase()) {
    throw new ManifestError(`the manifest came as ${say(given)}, and says of itself that it is ${say(own)}`);
  }
  return given ?? own ?? looksLike(json);
}

/** What says two things of itself would be one thing to one client and another to the next (CVE-2021-41190). */
function looksLike(json: Json): string {
  const isIndex = Array.isArray(json['manifests']);
  const isImage = isObject(json['config']) || Array.isArray(json['layers']);
  if (isIndex !== isImage) return isIndex ? OCI_INDEX : OCI_MANIFEST;
  throw new ManifestError(
    'the manifest has no media type: it came without a Content-Type, and has no mediaType',
  );
}

function imageType(type: string, config: Found | undefined): string | undefined {
  const isImage = [OCI_MANIFEST, DOCKER_MANIFEST].includes(type.toLowerCase());
  return isImage ? config?.mediaType : undefined;
}

interface Found {
  digest: string;
  mediaType: string | undefined;
  size: number | undefined;
  hasUrls: boolean;
  artifactType: string | undefined;
  annotations: Record<string, string> | undefined;
}

function reference(found: Found, kind: Reference['kind']): Reference {
  return {
    digest: found.digest,
    kind,
    optional: found.hasUrls,
    ...(found.mediaType === undefined ? {} : { mediaType: found.mediaType }),
    ...(found.size === undefined ? {} : { size: found.size }),
  };
}

/** Docker's first schema has no descriptors. Nobody writes it any more, but what has been stored of it keeps its layers. */
function sums(value: unknown): Reference[] {
  const layers: unknown[] = Array.isArray(value) ? value : [];
  return layers.flatMap((each) => {
    const digest = isObject(each) ? each['blobSum'] : undefined;
    return isName('digest', digest) ? [{ digest, kind: 'layer', optional: false }] : [];
  });
}

function descriptor({ mediaType = '', digest, size = 0, annotations, artifactType }: Found): Descriptor {
  return {
    mediaType,
    digest,
    size,
    ...(annotations === undefined ? {} : { annotations }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
}

/** Takes what a document should have. Where it is not as it should be, a strict reader throws, and another one leaves it out. */
class Reader {
  readonly #strict: boolean;

  constructor(strict: boolean) {
    this.#strict = strict;
  }

  list(value: unknown, where: string): Found[] {
    if (!Array.isArray(value)) {
      this.#wrong(value, where, 'a list');
      return [];
    }
    const all: Found[] = [];
    for (const [i, each] of value.entries()) {
      const found = this.descriptor(each, `${where}[${i}]`, true);
      if (found !== undefined) all.push(found);
    }
    return all;
  }

  descriptor(value: unknown, where: string, required = false): Found | undefined {
    if (!isObject(value)) return this.#wrong(value, where, 'a descriptor', required);
    const { digest } = value;
    if (!isName('digest', digest)) return this.#wrong(digest, `${where}.digest`, 'a digest', true);
    const { urls } = value;
    return {
      digest,
      mediaType: this.text(value['mediaType'], `${where}.mediaType`),
      size: this.#size(value['size'], `${where}.size`),
      hasUrls: Array.isArray(urls) && urls.length > 0,
      artifactType: this.text(value['artifactType'], `${where}.artifactType`),
      annotations: this.annotations(value['annotations'], `${where}.annotations`),
    };
  }

  text(value: unknown, where: string): string | undefined {
    return typeof value === 'string' ? value : this.#wrong(value, where, 'a string');
  }

  annotations(value: unknown, where: string): Record<string, string> | undefined {
    if (!isObject(value)) return this.#wrong(value, where, 'an object');
    for (const [key, each] of Object.entries(value)) {
      if (typeof each !== 'string') return this.#wrong(each, `${where}[${say(key)}]`, 'a string', true);
    }
    return value as Record<string, string>;
  }

  #size(value: unknown, where: string): number | undefined {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    return this.#wrong(value, where, 'a whole number of bytes', true);
  }

  #wrong(value: unknown, where: string, right: string, required = false): undefined {
    if (!this.#strict || (!required && (value ?? undefined) === undefined)) return undefined;
    throw new ManifestError(`${where} is ${say(value)}, not ${right}`);
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Never all of what came: that may be megabytes, or nested too deeply to be written. */
function say(value: unknown): string {
  if (value === undefined) return 'missing';
  if (Array.isArray(value)) return 'a list';
  if (isObject(value)) return 'an object';
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : String(value);
}
