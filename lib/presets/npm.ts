// docs/guides/presets.md

import { LRUCache } from 'lru-cache';
import { areHeaderNames, OptionReader, show } from '../checks.ts';
import { HookError, OptionError } from '../errors.ts';
import type { AnyRequest } from '../http/message.ts';
import type { OriginPlace } from '../origin/places.ts';
import type { ResponseContext } from '../policy/hooks.ts';
import type { RouteAnswer, RouteRequest } from '../routes/route.ts';
import { UPSTREAM_HEADERS } from './dropped.ts';
import { readPackument, type Tarball } from './npm/packument.ts';
import { npmPath, packumentPath, tarballPath } from './npm/paths.ts';
import { STALE_IF_ERROR_MS } from './stale.ts';
import type { Preset } from './types.ts';
import { baseUrl, presetUpstream } from './upstream.ts';

export interface NpmOptions {
  /** The registry that is mirrored. Its `headers` (credentials) are sent to it, and to no other host. */
  upstream: string | URL | OriginPlace;
  /** Where clients reach this mirror, the mount point included: what packages' descriptions say of their tarballs begins with it. */
  publicUrl: string | URL;
  /** How long what is said of a package counts before the registry is asked again, in milliseconds. Default 60,000. */
  packumentTtlMs?: number;
  /** Other hosts that the registry keeps tarballs on, and that may be fetched from: `'cdn.example'`, with its port where it has one. */
  tarballHosts?: readonly string[];
}

const KNOWN: Record<keyof NpmOptions, true> = {
  upstream: true,
  publicUrl: true,
  packumentTtlMs: true,
  tarballHosts: true,
};

/** So many tarballs are remembered with what they hash to: about 30 MB when all are. */
const MOST_TARBALLS = 100_000;
/** A packument that has to be fetched for the sake of one tarball, in bytes. */
const MAX_PACKUMENT_BYTES: number = 64 * 2 ** 20;
/** All that is needed of it, and a tenth of the size. */
const ABBREVIATED = 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8';

/**
 * A mirror of an npm registry: tarballs are kept for ever and checked against what their package says of them, which itself is kept for a
 * short time.
 * @returns options of `cacheFilter`
 * @throws OptionError
 */
export function npm(options: NpmOptions): Preset {
  const read = new OptionReader(options, KNOWN);
  const upstream = presetUpstream('upstream', options.upstream);
  const ttlMs = read.count('packumentTtlMs', 60_000);
  const publicUrl = baseUrl('publicUrl', options.publicUrl).href.replace(/\/$/, '');
  const rules = {
    publicUrl,
    host: upstream.host,
    prefix: upstream.prefix,
    tarballHosts: hostsOf(options.tarballHosts ?? []),
  };
  const known = new LRUCache<string, Tarball>({ max: MOST_TARBALLS });
  /** Packages whose last description was none. */
  const malformed = new LRUCache<string, true>({ max: 1_000 });

  function learn(name: string, bytes: Buffer): ReturnType<typeof readPackument> {
    const packument = readPackument(bytes, name, rules);
    for (const [file, tarball] of packument?.tarballs ?? []) known.set(`${name}/-/${file}`, tarball);
    return packument;
  }

  async function digest({ route, params, fetch }: ResponseContext<AnyRequest>): Promise<string | undefined> {
    if (route !== 'npm-tarball') return undefined;
    const { name = '', file = '' } = params;
    let tarball = known.get(`${name}/-/${file}`);
    if (tarball === undefined && fetch !== undefined) {
      const { status, body } = await fetch(packumentPath(name), {
        headers: { Accept: ABBREVIATED },
        maxBytes: MAX_PACKUMENT_BYTES,
      });
      if (status === 200) tarball = learn(name, body)?.tarballs.get(file);
    }
    if (tarball?.digest !== undefined) return tarball.digest;
    throw new HookError(
      'digest',
      `${show(name)} says nothing of what ${show(file)} hashes to: it is not kept`,
    );
  }

  const named =
    (kind: 'packument' | 'tarball' | 'relayed') =>
    ({ path, query }: RouteRequest): RouteAnswer | undefined => {
      const found = npmPath(path);
      if (found?.kind !== kind) return undefined;
      if (found.kind === 'relayed') return { id: path };
      // Registries know none there but `?write=true`, which asks for what is new.
      if (query !== '') return undefined;
      if (found.kind === 'tarball') {
        const { name, file } = found;
        return { id: `${name}/-/${file}`, params: { name, file } };
      }
      const { name, version } = found;
      return { id: version === undefined ? name : `${name}@${version}`, params: { name } };
    };

  return {
    origin({ path }) {
      const [pathname = '', query] = path.split('?', 2);
      const found = npmPath(pathname);
      switch (found?.kind) {
        case 'tarball': {
          const url = known.get(`${found.name}/-/${found.file}`)?.url;
          return url === undefined ? upstream.at(tarballPath(found.name, found.file)) : { url };
        }
        case 'packument':
          return upstream.at(packumentPath(found.name, found.version));
        case 'relayed':
          return upstream.at(query === undefined ? pathname : `${pathname}?${query}`);
      }
      return undefined;
    },
    routes: [
      {
        name: 'npm-tarball',
        path: named('tarball'),
        freshness: 'immutable',
        key: ({ id }) => `npm:${upstream.base}:tarball:${id}`,
        query: false,
        purge: [],
      },
      {
        name: 'npm-packument',
        path: named('packument'),
        freshness: { ttlMs, staleIfErrorMs: STALE_IF_ERROR_MS },
        // What is kept has been rewritten: for another public URL it would be wrong, and a 304 would keep it so.
        key: ({ id }) => `npm:${upstream.base}:packument:${publicUrl}:${id}`,
        query: false,
        vary: ['Accept'],
        purge: [],
        rewrite({ id, params }, body) {
          const packument = learn(params['name'] ?? '', body);
          if (packument === undefined) malformed.set(id, true);
          else malformed.delete(id);
          return packument?.body;
        },
      },
      { name: 'npm-relayed', path: named('relayed'), store: false, purge: [] },
    ],
    urlFor(id) {
      const [name = '', file] = id.split('/-/', 2);
      if (file !== undefined) return tarballPath(name, file);
      const at = name.indexOf('@', 1);
      return at < 0 ? packumentPath(name) : packumentPath(name.slice(0, at), name.slice(at + 1));
    },
    digest,
    shouldStore: ({ route, id }) => !(route === 'npm-packument' && malformed.has(id)),
    // What a route varies by is told all the same.
    forwardHeaders: [],
    dropHeaders: [...UPSTREAM_HEADERS],
  };
}

/** @throws OptionError */
function hostsOf(hosts: unknown): ReadonlySet<string> {
  const isHost = (host: unknown): host is string =>
    typeof host === 'string' &&
    areHeaderNames([host.replace(/[:[\]]/g, '')]) &&
    URL.canParse(`https://${host}`);
  if (!Array.isArray(hosts) || !hosts.every(isHost))
    throw new OptionError(
      'tarballHosts',
      `tarballHosts must be an array of hosts such as 'cdn.example', got ${show(hosts)}`,
    );
  return new Set(hosts.map((host: string) => new URL(`https://${host}`).host));
}
