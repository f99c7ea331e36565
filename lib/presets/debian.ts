// docs/guides/presets.md

import { createHash } from 'node:crypto';
import { OptionReader, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { AnyRequest } from '../http/message.ts';
import type { OriginPlace } from '../origin/places.ts';
import type { ResponseContext } from '../policy/hooks.ts';
import type { RouteAnswer, RouteRequest } from '../routes/route.ts';
import { KnownFiles } from './debian/known-files.ts';
import { debianPath, debianPathOf, isPackagesIndex, type Named } from './debian/paths.ts';
import { UPSTREAM_HEADERS } from './dropped.ts';
import { STALE_IF_ERROR_MS } from './stale.ts';
import type { Preset } from './types.ts';
import { presetUpstream } from './upstream.ts';

export interface DebianOptions {
  /** The archive that is mirrored, as it stands in sources.list: what `dists/` and `pool/` are below. */
  upstream: string | URL | OriginPlace;
  /** How long what is below `dists/` counts before the archive is asked again, in milliseconds. Default 60,000. */
  indexTtlMs?: number;
  /**
   * Indexes to look packages up in that no client's index has told of, for example `'dists/stable/main/binary-amd64/Packages.gz'`: plain
   * or gzip. Default none.
   */
  indexes?: readonly string[];
}

const KNOWN: Record<keyof DebianOptions, true> = { upstream: true, indexTtlMs: true, indexes: true };

/** How long the archive is not asked again for its indexes, in milliseconds. */
const LOOKED_UP_MS = 60_000;
const MAX_INDEX_BYTES: number = 64 * 2 ** 20;

/**
 * A mirror of a Debian archive (Ubuntu's and others are made alike): packages are kept for ever, indexes by their hash as well, and
 * checked; the rest for a short time.
 * @returns options of `cacheFilter`
 * @throws OptionError
 */
export function debian(options: DebianOptions): Preset {
  const read = new OptionReader(options, KNOWN);
  const upstream = presetUpstream('upstream', options.upstream);
  const ttlMs = read.count('indexTtlMs', 60_000);
  const indexes = indexesOf(options.indexes ?? []);
  const files = new KnownFiles();
  let lookedUpAt = Number.NEGATIVE_INFINITY;
  let lookingUp: Promise<void> | undefined;

  async function lookUp(fetch: NonNullable<ResponseContext<AnyRequest>['fetch']>): Promise<void> {
    for (const index of indexes) {
      const { status, body } = await fetch(debianPathOf(index), { maxBytes: MAX_INDEX_BYTES });
      if (status === 200) await files.learn(body);
    }
    lookedUpAt = Date.now();
  }

  async function digest({ route, id, fetch }: ResponseContext<AnyRequest>): Promise<string | undefined> {
    if (route !== 'debian-pool') return undefined;
    const known = files.digestOf(id);
    if (known !== undefined || fetch === undefined || indexes.length === 0) return known;
    if (Date.now() - lookedUpAt < LOOKED_UP_MS) return undefined;
    lookingUp ??= lookUp(fetch).finally(() => {
      lookingUp = undefined;
    });
    // Whoever began it may have been cut off: then nobody knows.
    await lookingUp.catch(() => undefined);
    return files.digestOf(id);
  }

  /** An index is looked at, and left as it is. */
  async function see(digest: string | undefined, body: Buffer): Promise<undefined> {
    // By its hash it will be checked, but only when all of it is there.
    const [algorithm = '', hex] = digest?.split(':') ?? [];
    if (hex === undefined || createHash(algorithm).update(body).digest('hex') === hex)
      await files.learn(body);
  }

  const named =
    (kind: Named['kind'], isIndex?: boolean) =>
    ({ path }: RouteRequest): RouteAnswer | undefined => {
      const found = debianPath(path);
      if (found?.kind !== kind) return undefined;
      if (isIndex !== undefined && isPackagesIndex(found.path) !== isIndex) return undefined;
      return { id: found.path, ...(found.kind === 'by-hash' ? { digest: found.digest } : {}) };
    };
  const common = {
    key: ({ id }: { id: string }) => `debian:${upstream.base}:${id}`,
    query: false,
    purge: [],
  } as const;
  const immutable = { ...common, freshness: 'immutable' } as const;
  const short = { ...common, freshness: { ttlMs, staleIfErrorMs: STALE_IF_ERROR_MS } };
  const seen = {
    rewrite: ({ id }: { id: string }, body: Buffer) => {
      const found = debianPath(`/${id}`);
      return see(found?.kind === 'by-hash' ? found.digest : undefined, body);
    },
  };

  return {
    origin({ path }) {
      const found = debianPath(path.split('?', 1)[0] ?? '');
      return found && upstream.at(debianPathOf(found.path));
    },
    routes: [
      { ...immutable, name: 'debian-pool', path: named('pool') },
      { ...immutable, name: 'debian-index-by-hash', path: named('by-hash', true), ...seen },
      { ...immutable, name: 'debian-by-hash', path: named('by-hash', false) },
      { ...short, name: 'debian-index', path: named('dists', true), ...seen },
      { ...short, name: 'debian-dists', path: named('dists', false) },
    ],
    urlFor: (id) => debianPathOf(id),
    digest,
    forwardHeaders: [],
    dropHeaders: [...UPSTREAM_HEADERS],
  };
}

/** @throws OptionError */
function indexesOf(indexes: unknown): string[] {
  const isIndex = (path: unknown): path is string =>
    typeof path === 'string' && debianPath(`/${path}`)?.kind === 'dists' && /\/Packages(\.gz)?$/.test(path);
  if (Array.isArray(indexes) && indexes.every(isIndex)) return indexes;
  throw new OptionError(
    'indexes',
    `indexes must be an array of paths such as 'dists/stable/main/binary-amd64/Packages.gz', got ${show(indexes)}`,
  );
}
