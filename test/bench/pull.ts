import { alternate, type Benchmark, byName, type Ground } from './benchmark.ts';
import { type Finding, finding } from './findings.ts';
import { type Material, paced } from './material.ts';
import type { Server } from './servers.ts';
import { formatSize, MIB } from './sizes.ts';

/** Of the origin, where it does not write as fast as it can. */
const PACE = 250 * MIB;

interface Sample {
  server: string;
  round: number;
  url: string;
  seconds: number;
  firstByteMs: number;
}

/** One client has a file fetched, stored and verified; another one has it from the origin itself. */
export const pull: Benchmark = {
  servers: () => ['origin', 'pull'],
  material: (files) => files.flatMap((file) => [file, paced(file, PACE)]),
  async measure({ rounds, smoke }, ground, say) {
    const servers = [byName(ground.servers, 'origin'), byName(ground.servers, 'pull')];
    const findings: Finding[] = [];
    const samples: Sample[] = [];
    for (const file of ground.material) {
      if (!smoke) for (const server of servers) await run(ground, server, file, 0);
      const [theirs = [], ours = []] = (
        await alternate({ servers, rounds }, say, (server, round) => run(ground, server, file, round))
      ).map((found) => found.samples);
      const pairs = ours.map((our, i) => ({ our, their: theirs[i] as Sample }));
      const { bytesPerSecond } = file;
      const what = `${formatSize(file.size)}, ${
        bytesPerSecond === undefined ? 'as fast as it goes' : `at ${formatSize(bytesPerSecond)}/s`
      }`;
      findings.push(
        finding(
          `${what}: throughput`,
          'pull / origin',
          '',
          pairs.map(({ our, their }) => their.seconds / our.seconds),
        ),
        finding(
          `${what}: first byte later by`,
          'pull',
          'ms',
          pairs.map(({ our, their }) => our.firstByteMs - their.firstByteMs),
        ),
      );
      samples.push(...theirs, ...ours);
    }
    return { findings, samples };
  },
};

async function run({ flights }: Ground, server: Server, file: Material, round: number): Promise<Sample> {
  // The room of the last run is free again.
  await server.purge();
  const before = await server.usage();
  const [flown] = await flights.fly(server, [{ url: file.url, size: file.size }]);
  const calls = (await server.usage()).calls - before.calls;
  if (calls !== 1) throw new Error(`${server.name}: the origin was asked ${calls} times for ${file.url}`);
  const { asked = 0, first = 0, ended = 0 } = flown ?? {};
  return {
    server: server.name,
    round,
    url: file.url,
    seconds: (ended - asked) / 1000,
    firstByteMs: first - asked,
  };
}
