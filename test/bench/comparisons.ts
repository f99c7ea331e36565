import { KIB, MIB } from './sizes.ts';

/** What the filter is compared with. */
export const PEERS = ['http', 'express', 'static', 'apicache', 'nginx', 'before'] as const;
export type Peer = (typeof PEERS)[number];

export const SERVERS = [
  'http',
  'filter-http',
  'before-http',
  'bypass-http',
  'nginx',
  'varnish',
  'express',
  'static',
  'apicache',
  'filter-express',
  'before-express',
  'origin',
  'pull',
] as const;
export type ServerName = (typeof SERVERS)[number];

/** The throughput of one server in units of another one's. */
export interface Comparison {
  peer: Peer;
  what: string;
  of: ServerName;
  to: ServerName;
  /** What the project wants it to be at least, for this size. */
  wanted?: (size: number) => number | undefined;
  /** Largest size that the peer can take part with. */
  upTo?: number;
}

export const COMPARISONS: readonly Comparison[] = [
  {
    peer: 'http',
    what: 'node:http: filter / handler',
    of: 'filter-http',
    to: 'http',
    wanted: () => 0.85,
  },
  {
    peer: 'express',
    what: 'Express: filter / handler',
    of: 'filter-express',
    to: 'express',
    wanted: () => 0.95,
  },
  {
    peer: 'static',
    what: 'Express: filter / express.static',
    of: 'filter-express',
    to: 'static',
    wanted: () => 2,
  },
  {
    peer: 'apicache',
    what: 'Express: filter / apicache',
    of: 'filter-express',
    to: 'apicache',
    // It puts a body together by copying all of it for each piece that is added.
    upTo: 16 * MIB,
  },
  {
    peer: 'nginx',
    what: 'node:http: filter / nginx',
    of: 'filter-http',
    to: 'nginx',
    wanted: (size) => (size >= 256 * MIB ? 1.5 : size === MIB ? 1 : undefined),
  },
  { peer: 'before', what: 'node:http: filter / before', of: 'filter-http', to: 'before-http' },
  { peer: 'before', what: 'Express: filter / before', of: 'filter-express', to: 'before-express' },
];

/** Kept connections of the client, unless told otherwise: enough to keep a server busy, few enough not to swamp it. */
export function connectionsFor(size: number): number {
  if (size <= 64 * KIB) return 16;
  return size <= 16 * MIB ? 8 : 2;
}
