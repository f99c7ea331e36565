import { alternate, type Benchmark, warmUp } from './benchmark.ts';
import { type Finding, finding } from './findings.ts';
import type { Flights, Flown } from './flights.ts';
import { cold, type Material } from './material.ts';
import type { Server } from './servers.ts';
import { formatSize, MIB } from './sizes.ts';

/** Of the one who asks first. */
const PACE = 4 * MIB;

/** A client that comes while the first one, who is slow, has only begun. */
export const slowFirst: Benchmark = {
  servers: () => ['filter-http', 'nginx', 'varnish'],
  async measure({ rounds, smoke }, { flights, servers, material }, say) {
    const findings: Finding[] = [];
    const samples: unknown[] = [];
    for (const file of material) {
      if (!smoke) await warmUp(servers, (server) => run(flights, server, file));
      const found = await alternate({ servers, rounds }, say, async (server, round) => {
        const sample = { server: server.name, round, ...(await run(flights, server, file)) };
        samples.push(sample);
        return sample;
      });
      for (const { server, samples: of } of found) {
        findings.push(
          finding(
            `${formatSize(file.size)} beside a reader of ${formatSize(PACE)}/s / a hit`,
            server.name,
            '',
            of.map(({ joinedMs, hitMs }) => joinedMs / hitMs),
            server.name === 'filter-http' ? { atMost: 1.3 } : undefined,
          ),
        );
      }
    }
    return { findings, samples };
  },
};

async function run(
  flights: Flights,
  server: Server,
  material: Material,
): Promise<{ joinedMs: number; hitMs: number; calls: number }> {
  const { url, size } = cold(material);
  const before = (await server.usage()).calls;
  const [, joiner] = await flights.fly(server, [
    { url, size, bytesPerSecond: PACE, waited: false },
    { url, size, after: 1 },
  ]);
  // What has just ended may still be about to be published.
  const [hit] = await flights.fly(server, [{ url, size }]);
  const calls = (await server.usage()).calls - before;
  if (calls !== 1) throw new Error(`${server.name}: the application was asked ${calls} times, expected once`);
  return { joinedMs: lasted(joiner), hitMs: lasted(hit), calls };
}

function lasted(flown: Flown | undefined): number {
  return (flown?.ended ?? Number.NaN) - (flown?.asked ?? Number.NaN);
}
