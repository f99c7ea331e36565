import { alternate, type Benchmark, byName, type Ground, warmUp } from './benchmark.ts';
import { type Finding, finding } from './findings.ts';
import { cold, type Material, paced } from './material.ts';
import type { Server } from './servers.ts';
import { formatSize, KIB, MIB } from './sizes.ts';

/** Of the origin: what is fetched that nobody asked for would be noticed. */
const PACE = 16 * MIB;
const RANGE = 64 * KIB;

interface Sample {
  server: string;
  round: number;
  firstByteMs: number;
  upstreamBytes: number;
}

/** A range in the middle of a file of which nothing is stored. */
export const coldRange: Benchmark = {
  servers: () => ['origin', 'pull'],
  material: (files) => files.map((file) => paced(file, PACE)),
  async measure({ rounds, smoke }, ground, say) {
    const servers = [byName(ground.servers, 'origin'), byName(ground.servers, 'pull')];
    const findings: Finding[] = [];
    const samples: Sample[] = [];
    for (const file of ground.material) {
      if (!smoke) await warmUp(servers, (server) => run(ground, server, file, 0));
      const [theirs = [], ours = []] = (
        await alternate({ servers, rounds }, say, (server, round) => run(ground, server, file, round))
      ).map((found) => found.samples);
      const what = `${formatSize(RANGE)} of ${formatSize(file.size)}, origin at ${formatSize(PACE)}/s`;
      const later = ours.map(({ firstByteMs }, i) => firstByteMs - (theirs[i]?.firstByteMs ?? Number.NaN));
      findings.push(
        finding(
          `${what}: first byte of the origin`,
          'origin',
          'ms',
          theirs.map(({ firstByteMs }) => firstByteMs),
        ),
        finding(`${what}: first byte later by`, 'pull', 'ms', later),
        finding(
          `${what}: fetched for it`,
          'pull',
          'MiB',
          ours.map(({ upstreamBytes }) => upstreamBytes / MIB),
          { atMost: 2 },
        ),
      );
      samples.push(...theirs, ...ours);
    }
    return { findings, samples };
  },
};

async function run({ flights }: Ground, server: Server, file: Material, round: number): Promise<Sample> {
  const { url, size } = cold(file);
  const start = Math.floor(size / 2);
  const before = await server.usage();
  const [flown] = await flights.fly(server, [{ url, size, range: { start, end: start + RANGE } }]);
  // All that is fetched for it, to its end.
  await server.purge();
  const after = await server.usage();
  if (after.calls - before.calls !== 1)
    throw new Error(
      `${server.name}: the origin was asked ${after.calls - before.calls} times for a range of ${url}`,
    );
  return {
    server: server.name,
    round,
    firstByteMs: (flown?.first ?? Number.NaN) - (flown?.asked ?? Number.NaN),
    upstreamBytes: after.sent - before.sent,
  };
}
