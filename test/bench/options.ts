import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { PEERS, type Peer } from './comparisons.ts';
import { KIB, MIB, parseSize } from './sizes.ts';

export const USAGE = `npm run bench -- [WHAT] [options]

  hits               answers from the cache, side by side with others (the default)
  cold               a fill against the bare handler, and many clients for one cold file
  join               many clients join a download that is under way
  stored-range       a range that is stored already, asked for while the rest is being fetched
  slow-first         a client beside a first one that is slow
  memory             memory of the process while many read one large body
  fill               what storing and verifying costs one client, paced and unpaced
  large-hit          hits on a large file, beside nginx with sendfile
  pull               a file that the filter fetches from an origin, against the origin itself, unpaced and paced
  cold-range         a range of a file that is not stored, from a paced origin: its first byte, and what is fetched for it
  broken-origin      an origin that breaks off half-way, against one that does not
  start              a start with many entries: the first hit, the longest hold of the event loop, the scan
  count              hits with many entries, against hits with 100
  registry           pushes to, and pulls from, cache-filter registry, beside docker-registry

  --size SIZE        1k, 64k, 1m, 256m, …; may be given several times
  --peer PEER        compare with this one only: ${PEERS.join(', ')}; may be given several times
  --rounds N         runs of each server, alternating
  --seconds S        length of a run
  --connections N    kept connections of the client; by default fewer for larger files
  --clients N        cold, join, stored-range, memory: how many ask at once
  --entries N        start, count: how many
  --before FILE      an earlier build (its dist/index.js), to compare with as one more peer
  --package FILE     measure this build instead of the one in dist/
  --directory DIR    where files and caches are put for the time being
  --json FILE        add everything that was measured to a file, one line a run
  --svg FILE         join, memory: draw a picture of it
  --cpu-prof DIR     let each server that Node runs write a CPU profile
  --smoke            tiny, once, without nginx: tries the benchmark rather than the cache
  --help
`;

export const WHATS = [
  'hits',
  'cold',
  'join',
  'stored-range',
  'slow-first',
  'memory',
  'fill',
  'large-hit',
  'pull',
  'cold-range',
  'broken-origin',
  'start',
  'count',
  'registry',
] as const;
export type What = (typeof WHATS)[number];

export interface Options {
  what: What;
  sizes: readonly number[];
  peers: readonly Peer[];
  rounds: number;
  seconds: number;
  connections: number | undefined;
  clients: number;
  entries: number;
  /** What servers import in place of the build in dist/, as URLs. */
  packageUrl: string;
  beforeUrl: string | undefined;
  directory: string;
  json: string | undefined;
  svg: string | undefined;
  cpuProf: string | undefined;
  /** No warming up: nothing is concluded from the figures. */
  smoke: boolean;
}

/** @throws Error with a sentence for the user; returns undefined where help was asked for */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      size: { type: 'string', multiple: true },
      peer: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      connections: { type: 'string' },
      clients: { type: 'string' },
      entries: { type: 'string' },
      before: { type: 'string' },
      package: { type: 'string' },
      directory: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      'cpu-prof': { type: 'string' },
      smoke: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const [given = 'hits', ...more] = positionals;
  const what = WHATS.find((each) => each === given);
  if (what === undefined || more.length > 0)
    throw new Error(`expected one of ${WHATS.join(', ')}; got '${positionals.join(' ')}'`);
  if (values.svg !== undefined && what !== 'join' && what !== 'memory')
    throw new Error(`--svg draws join and memory; there is no picture of '${what}'`);
  const { smoke } = values;
  const before = values.before === undefined ? undefined : moduleUrl('--before', values.before);
  return {
    what,
    sizes:
      values.size?.map((text) => {
        const size = parseSize(text);
        if (size === undefined) throw new Error(`--size takes a size such as 64k or 256m, got '${text}'`);
        return size;
      }) ?? defaultSizes(what, smoke),
    peers: values.peer?.map(parsePeer) ?? PEERS.filter((peer) => !smoke || peer !== 'nginx'),
    rounds: parseNumber('--rounds', values.rounds, smoke ? 1 : DEFAULTS[what].rounds),
    seconds: parseNumber('--seconds', values.seconds, smoke ? 0.05 : what === 'large-hit' ? 2 : 0.7),
    connections:
      values.connections === undefined ? undefined : parseNumber('--connections', values.connections, 0),
    clients: parseNumber('--clients', values.clients, smoke ? 4 : DEFAULTS[what].clients),
    entries: parseNumber('--entries', values.entries, smoke ? 200 : 100_000),
    packageUrl:
      values.package === undefined
        ? import.meta.resolve('cache-filter')
        : moduleUrl('--package', values.package),
    beforeUrl: before,
    directory: resolve(values.directory ?? tmpdir()),
    json: values.json,
    svg: values.svg,
    cpuProf: values['cpu-prof'],
    smoke,
  };
}

const DEFAULTS: Record<What, { sizes: number[]; rounds: number; clients: number }> = {
  hits: { sizes: [KIB, 64 * KIB, MIB, 256 * MIB], rounds: 7, clients: 16 },
  cold: { sizes: [256 * MIB], rounds: 7, clients: 16 },
  join: { sizes: [64 * MIB], rounds: 3, clients: 50 },
  'stored-range': { sizes: [64 * MIB], rounds: 3, clients: 50 },
  'slow-first': { sizes: [128 * MIB], rounds: 5, clients: 2 },
  memory: { sizes: [4 * 1024 * MIB], rounds: 1, clients: 100 },
  fill: { sizes: [KIB, 1024 * MIB], rounds: 7, clients: 1 },
  'large-hit': { sizes: [1024 * MIB], rounds: 5, clients: 8 },
  pull: { sizes: [1024 * MIB], rounds: 7, clients: 1 },
  'cold-range': { sizes: [64 * MIB], rounds: 7, clients: 1 },
  'broken-origin': { sizes: [256 * MIB], rounds: 7, clients: 1 },
  // Of entries that they make themselves.
  start: { sizes: [], rounds: 7, clients: 1 },
  count: { sizes: [], rounds: 7, clients: 1 },
  registry: { sizes: [1024 * MIB], rounds: 5, clients: 8 },
};

function defaultSizes(what: What, smoke: boolean): number[] {
  if (!smoke) return DEFAULTS[what].sizes;
  return what === 'hits' || what === 'fill' ? [KIB, 2 * MIB] : [2 * MIB];
}

function parsePeer(text: string): Peer {
  const peer = PEERS.find((each) => each === text);
  if (peer === undefined) throw new Error(`--peer is one of ${PEERS.join(', ')}; got '${text}'`);
  return peer;
}

function parseNumber(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const number = Number(text);
  const whole = name === '--seconds' || Number.isInteger(number);
  if (!(number > 0 && Number.isFinite(number) && whole))
    throw new Error(
      `${name} takes a ${name === '--seconds' ? '' : 'whole '}number greater than 0, got '${text}'`,
    );
  return number;
}

function moduleUrl(name: string, path: string): string {
  if (!existsSync(path))
    throw new Error(`${name} takes the file of a build, such as dist/index.js; there is no ${path}`);
  return pathToFileURL(resolve(path)).href;
}
