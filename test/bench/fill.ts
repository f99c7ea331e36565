import { alternate, type Benchmark, byName, type Ground } from './benchmark.ts';
import { type Finding, finding } from './findings.ts';
import { type Material, paced } from './material.ts';
import type { Options } from './options.ts';
import type { Server } from './servers.ts';
import { formatSize, MIB } from './sizes.ts';

/** Of the application, where it does not write as fast as it can. */
const PACE = 250 * MIB;

const GIB = 2 ** 30;
const WARM_UP_MS = 700;

interface Sample {
  server: string;
  round: number;
  url: string;
  seconds: number;
  firstByteMs: number;
  cpuSecondsPerGib: number;
}

/** What it costs one client that a file is stored, hashed and verified on its way. */
export const fill: Benchmark = {
  servers: () => ['http', 'filter-http', 'bypass-http'],
  material: (files) => files.flatMap((file) => (file.streamed ? [file, paced(file, PACE)] : [file])),
  async measure(options, ground, say) {
    const findings: Finding[] = [];
    const samples: unknown[] = [];
    for (const file of ground.material) {
      const found = file.streamed
        ? await fills(options, ground, file, say)
        : await bypassed(options, ground, file, say);
      findings.push(...found.findings);
      samples.push(...found.samples);
    }
    return { findings, samples };
  },
};

async function fills(
  { rounds, smoke }: Options,
  ground: Ground,
  file: Material,
  say: (line: string) => void,
): Promise<{ findings: Finding[]; samples: Sample[] }> {
  const servers = [byName(ground.servers, 'http'), byName(ground.servers, 'filter-http')];
  for (const server of servers) {
    await server.purge();
    // Byte for byte, of the running fill and of what it has left.
    await ground.client.check(server, file);
    await ground.client.check(server, file);
    if (!smoke) await run(ground, server, file, 0);
  }
  const [theirs = [], ours = []] = (
    await alternate({ servers, rounds }, say, (server, round) => run(ground, server, file, round))
  ).map(({ samples }) => samples);
  const pairs = ours.map((our, i) => ({ our, their: theirs[i] as Sample }));
  const { bytesPerSecond } = file;
  const what = `${formatSize(file.size)}, ${
    bytesPerSecond === undefined ? 'as fast as it goes' : `at ${formatSize(bytesPerSecond)}/s`
  }`;
  const findings = [
    finding(
      `${what}: throughput`,
      'filter-http / http',
      '',
      pairs.map(({ our, their }) => their.seconds / our.seconds),
      { atLeast: bytesPerSecond === undefined ? 0.55 : 0.98 },
    ),
    finding(
      `${what}: processor time added`,
      'filter-http',
      's/GiB',
      pairs.map(({ our, their }) => our.cpuSecondsPerGib - their.cpuSecondsPerGib),
      bytesPerSecond === undefined ? { atMost: 1.3 } : undefined,
    ),
    finding(
      `${what}: first byte later by`,
      'filter-http',
      'ms',
      pairs.map(({ our, their }) => our.firstByteMs - their.firstByteMs),
      { atMost: 2 },
    ),
  ];
  return { findings, samples: [...theirs, ...ours] };
}

/** One client. What the last run has stored is unlinked before: a fresh page of the page cache costs more than copying into it. */
async function run({ flights }: Ground, server: Server, file: Material, round: number): Promise<Sample> {
  await server.purge();
  const before = await server.usage();
  const [flown] = await flights.fly(server, [{ url: file.url, size: file.size }]);
  const after = await server.usage();
  if (after.calls - before.calls !== 1)
    throw new Error(
      `${server.name}: the application was asked ${after.calls - before.calls} times for ${file.url}`,
    );
  const { asked = 0, first = 0, ended = 0 } = flown ?? {};
  return {
    server: server.name,
    round,
    url: file.url,
    seconds: (ended - asked) / 1000,
    firstByteMs: first - asked,
    cpuSecondsPerGib: (((after.cpuSeconds ?? 0) - (before.cpuSeconds ?? 0)) * GIB) / file.size,
  };
}

/** Requests that the filter steps aside for. */
async function bypassed(
  { rounds, seconds, smoke }: Options,
  { client, servers }: Ground,
  file: Material,
  say: (line: string) => void,
): Promise<{ findings: Finding[]; samples: unknown[] }> {
  const run = async (server: Server, milliseconds: number) => {
    const before = await server.usage();
    const load = await client.load(server, file, { connections: 16, milliseconds });
    const cpu = ((await server.usage()).cpuSeconds ?? 0) - (before.cpuSeconds ?? 0);
    return { server: server.name, url: file.url, microseconds: (cpu * 1e6 * file.size) / load.allBytes };
  };
  const both = [byName(servers, 'http'), byName(servers, 'bypass-http')];
  if (!smoke) for (const server of both) await run(server, WARM_UP_MS);
  const [theirs = [], ours = []] = (
    await alternate({ servers: both, rounds }, say, (server) => run(server, seconds * 1000))
  ).map(({ samples }) => samples);
  const added = ours.map(({ microseconds }, i) => microseconds - (theirs[i]?.microseconds ?? Number.NaN));
  const what = `${formatSize(file.size)}, bypassed: processor time added`;
  return {
    findings: [finding(what, 'bypass-http', 'µs', added, { atMost: 30 })],
    samples: [...theirs, ...ours],
  };
}
