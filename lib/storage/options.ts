import { OptionReader } from '../checks.ts';

export interface StorageOptions {
  /** An upload that nobody has touched for so long is removed by `prune`, and so is a blob that nothing refers to. Default 3,600,000 */
  uploadMaxAgeMs?: number;
  /** A tag that was pushed longer ago is removed by `prune`. Default: none is. */
  manifestMaxAgeMs?: number;
  /**
   * How the SHA-256 of an upload goes on in another process: `native` (default) by reading again what is stored, `portable` from its saved state,
   * which is several times slower to compute.
   */
  digester?: 'native' | 'portable';
  /** How many uploads have their hash in memory, so that the next chunk goes on with it. Default 1,000. */
  maxLiveUploads?: number;
  /** How long a request waits for another one that changes its upload or tag, in milliseconds. Default 10,000. */
  lockTimeoutMs?: number;
  /** Default 10^12 bytes. */
  maxBlobBytes?: number;
  /** Default 4 MiB. */
  maxManifestBytes?: number;
  /** One tag keeps a manifest of each media type, not only the one that was pushed last. Default false. */
  manyMediaTypes?: boolean;
  /** Whether a manifest must find what it refers to. Default true. */
  requireReferences?: boolean;
  /** Whether it is noted when a manifest was pulled, so that `prune` can go by that. Default false. */
  trackUse?: boolean;
  /** Whether an upload that is completed with a wrong digest is given up. Default false: it may be tried again. */
  cancelOnMismatch?: boolean;
}

type Absent = 'manifestMaxAgeMs';

export type ResolvedStorageOptions = Readonly<
  Required<Omit<StorageOptions, Absent>> & Pick<StorageOptions, Absent>
>;

/** @throws OptionError */
export function resolveStorageOptions(options: StorageOptions = {}): ResolvedStorageOptions {
  const read = new OptionReader(options, {
    uploadMaxAgeMs: true,
    manifestMaxAgeMs: true,
    digester: true,
    maxLiveUploads: true,
    lockTimeoutMs: true,
    maxBlobBytes: true,
    maxManifestBytes: true,
    manyMediaTypes: true,
    requireReferences: true,
    trackUse: true,
    cancelOnMismatch: true,
  });
  const manifestMaxAgeMs = read.duration('manifestMaxAgeMs', undefined);
  return Object.freeze({
    uploadMaxAgeMs: read.duration('uploadMaxAgeMs', 3_600_000),
    ...(manifestMaxAgeMs === undefined ? {} : { manifestMaxAgeMs }),
    digester: read.oneOf('digester', ['native', 'portable']),
    maxLiveUploads: read.count('maxLiveUploads', 1_000),
    lockTimeoutMs: read.milliseconds('lockTimeoutMs', 10_000),
    maxBlobBytes: read.bytes('maxBlobBytes', 10 ** 12),
    maxManifestBytes: read.bytes('maxManifestBytes', 4 * 2 ** 20),
    manyMediaTypes: read.flag('manyMediaTypes', false),
    requireReferences: read.flag('requireReferences', true),
    trackUse: read.flag('trackUse', false),
    cancelOnMismatch: read.flag('cancelOnMismatch', false),
  });
}
