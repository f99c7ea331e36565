// docs/guides/presets.md

import { OptionReader, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { OriginAnswer, OriginPlace } from '../origin/places.ts';
import type { RouteAnswer, RouteRequest } from '../routes/route.ts';
import { UPSTREAM_HEADERS } from './dropped.ts';
import { ANY_MANIFEST, acceptable } from './oci/manifest-types.ts';
import { type Named, ociPath, ociPathOf } from './oci/paths.ts';
import { STALE_IF_ERROR_MS } from './stale.ts';
import type { Preset } from './types.ts';
import { type PresetUpstream, presetUpstream } from './upstream.ts';

export interface OciUpstream extends OriginPlace {
  /** Whether a name without a slash is short for one below `library/`. Default false. */
  library?: boolean;
}

export interface OciOptions {
  /** The registry that is mirrored. */
  upstream?: string | URL | OciUpstream;
  /** Several, by the names that clients know them by: containerd says it in `?ns=`. In place of `upstream`. */
  upstreams?: Readonly<Record<string, string | URL | OciUpstream>>;
  /** Which of `upstreams` is meant where a request does not say. Default: the only one, or none. */
  default?: string;
  /** How long a tag, or a list, counts before the registry is asked again, in milliseconds. Default 60,000. */
  tagTtlMs?: number;
}

const KNOWN: Record<keyof OciOptions, true> = {
  upstream: true,
  upstreams: true,
  default: true,
  tagTtlMs: true,
};

interface Registry {
  /** What its keys begin with. */
  name: string;
  upstream: PresetUpstream;
  library: boolean;
}

/** What lists may be asked for. */
const LIST_QUERY = ['n', 'last', 'artifactType'];

const API_VERSION = { 'Docker-Distribution-API-Version': 'registry/2.0' };
const PING: OriginAnswer = {
  status: 200,
  headers: { ...API_VERSION, 'Content-Type': 'application/json' },
  body: '{}',
};

/**
 * A mirror of one or several container registries: blobs and manifests are kept for ever by their digest, which is checked; tags and lists
 * for a short time. Nothing can be pushed to it.
 * @returns options of `cacheFilter`
 * @throws OptionError
 */
export function oci(options: OciOptions): Preset {
  const read = new OptionReader(options, KNOWN);
  const registries = registriesOf(options);
  const fallback = defaultOf(options, registries);
  const ttlMs = read.count('tagTtlMs', 60_000);

  const registryFor = (query: string): Registry | undefined => {
    const asked = new URLSearchParams(query).getAll('ns');
    return asked.length > 1 ? undefined : registries.get(asked[0] ?? fallback ?? '');
  };

  /**
   * By registry and repository, never by digest alone: whoever may pull from one repository is not thereby allowed to have what is in another
   * one, and a shared entry would hand it out to everybody who knows its digest.
   */
  const named =
    (...kinds: Named['kind'][]) =>
    ({ path, query }: RouteRequest): RouteAnswer | undefined => {
      const found = ociPath(path);
      if (found === undefined || !kinds.includes(found.kind)) return undefined;
      if (found.kind === 'ping') return { id: '/v2/' };
      const registry = registryFor(query);
      // It matches, so that `origin` can say that there is none.
      if (registry === undefined) return { id: '/v2/ unknown' };
      const name = fullName(registry, found.name);
      const below = ociPathOf(found, name).slice('/v2/'.length);
      return {
        id: `${registry.name}/${below}`,
        params: { registry: registry.name, name },
        ...(found.kind === 'blob' || found.kind === 'manifest' ? { digest: found.digest } : {}),
      };
    };
  const common = { key: ({ id }: { id: string }) => `oci:${id}`, query: false, purge: [] } as const;

  return {
    origin({ path, headers }) {
      const [pathname = '', query = ''] = path.split('?', 2);
      const found = ociPath(pathname);
      if (found === undefined) return undefined;
      if (found.kind === 'ping') return PING;
      const registry = registryFor(query);
      if (registry === undefined) return unknownName(query);
      const { upstream } = registry;
      const at = ociPathOf(found, fullName(registry, found.name));
      switch (found.kind) {
        // Whoever asks for a digest means these bytes, whatever else would be acceptable.
        case 'manifest':
          return upstream.at(at, { Accept: ANY_MANIFEST });
        case 'tag':
          return upstream.at(at, { Accept: acceptable(headers['accept']) });
        case 'blob':
          return upstream.at(at);
      }
      const asked = new URLSearchParams(query);
      const parameters = new URLSearchParams();
      for (const name of LIST_QUERY) for (const value of asked.getAll(name)) parameters.append(name, value);
      return upstream.at(parameters.size === 0 ? at : `${at}?${parameters}`);
    },
    routes: [
      { name: 'oci-ping', path: named('ping'), store: false, purge: [] },
      { ...common, name: 'oci-blob', path: named('blob'), freshness: 'immutable' },
      { ...common, name: 'oci-manifest', path: named('manifest'), freshness: 'immutable' },
      {
        ...common,
        name: 'oci-tag',
        path: named('tag'),
        freshness: { ttlMs, staleIfErrorMs: STALE_IF_ERROR_MS },
        vary: ['Accept'],
      },
      {
        ...common,
        name: 'oci-list',
        path: named('tags', 'referrers'),
        freshness: { ttlMs, staleIfErrorMs: STALE_IF_ERROR_MS },
        query: LIST_QUERY,
      },
    ],
    urlFor(id) {
      const at = id.indexOf('/');
      return `/v2/${id.slice(at + 1)}?ns=${encodeURIComponent(id.slice(0, at))}`;
    },
    // What a route varies by is told all the same.
    forwardHeaders: [],
    dropHeaders: [...UPSTREAM_HEADERS],
  };
}

function fullName({ library }: Registry, name: string): string {
  return library && !name.includes('/') ? `library/${name}` : name;
}

/** What the distribution specification has a client told of a repository that there is none of. Never dialled: it is a stranger's word. */
function unknownName(query: string): OriginAnswer {
  const ns = new URLSearchParams(query).get('ns');
  const message = ns === null ? 'say which registry, by ?ns=' : 'no such registry is mirrored here';
  return {
    status: 404,
    headers: { ...API_VERSION, 'Content-Type': 'application/json' },
    body: JSON.stringify({ errors: [{ code: 'NAME_UNKNOWN', message }] }),
  };
}

function registriesOf({ upstream, upstreams }: OciOptions): Map<string, Registry> {
  if ((upstream === undefined) === (upstreams === undefined))
    throw new OptionError('upstream', 'oci takes upstream, or upstreams: one of them');
  if (upstream !== undefined) {
    const only = registryOf('upstream', undefined, upstream);
    return new Map([[only.name, only]]);
  }
  const entries = typeof upstreams === 'object' && upstreams !== null ? Object.entries(upstreams) : [];
  // A name is the first component of an id.
  if (entries.length === 0 || entries.some(([name]) => !/^[A-Za-z0-9.:[\]_-]+$/.test(name)))
    throw new OptionError(
      'upstreams',
      `upstreams must be an object of registries by their names, for example { 'docker.example': 'https://docker.example' }, got ${show(upstreams)}`,
    );
  return new Map(entries.map(([name, place]) => [name, registryOf(`upstreams['${name}']`, name, place)]));
}

/** Without a name it is that of its host. */
function registryOf(option: string, name: string | undefined, place: unknown): Registry {
  const isPlace = typeof place === 'object' && place !== null && !(place instanceof URL);
  const { library = false, ...rest } = (isPlace ? place : { url: place }) as Partial<OciUpstream>;
  if (typeof library !== 'boolean')
    throw new OptionError(option, `library of ${option} must be true or false, got ${show(library)}`);
  const upstream = presetUpstream(option, rest);
  return { name: name ?? upstream.host, upstream, library };
}

function defaultOf(
  { default: given }: OciOptions,
  registries: ReadonlyMap<string, Registry>,
): string | undefined {
  if (given === undefined) return registries.size === 1 ? [...registries.keys()][0] : undefined;
  if (typeof given === 'string' && registries.has(given)) return given;
  throw new OptionError(
    'default',
    `default must be one of ${show([...registries.keys()])}, got ${show(given)}`,
  );
}
