import { alternate, type Benchmark, CROWD, warmUp } from './benchmark.ts';
import { type Finding, finding, quantile } from './findings.ts';
import type { Flown } from './flights.ts';
import { cold, paced } from './material.ts';
import type { Server } from './servers.ts';
import { MIB } from './sizes.ts';

const PACE = 16 * MIB;

/** Ranges that are stored when they are asked for, in parts of the body; each of so many bytes. */
const STARTS = [0, 0.1, 0.2];
const RANGE_BYTES = 64 * 1024;

/** A range of what is there already, asked for while the rest is still being fetched. */
export const storedRange: Benchmark = {
  servers: () => ['filter-http', 'nginx', 'varnish'],
  material: (files) => files.map((file) => paced(file, PACE)),
  async measure({ clients, rounds, smoke }, { flights, servers, material }, say) {
    const findings: Finding[] = [];
    const samples: unknown[] = [];
    for (const file of material) {
      const run = async (server: Server, round: number, count = clients) => {
        const { url, size } = cold(file);
        const ranges = STARTS.map((part) => {
          const start = Math.floor(size * part);
          return { start, end: start + Math.min(RANGE_BYTES, Math.ceil(size * 0.1)) };
        });
        const before = (await server.usage()).calls;
        const [, ...parts] = (await flights.fly(server, [
          { url, size },
          ...ranges.map((range) => ({
            url,
            size,
            range,
            count: Math.ceil(count / ranges.length),
            after: size / 2,
          })),
        ])) as [Flown, ...Flown[]];
        const calls = (await server.usage()).calls - before;
        const waits = parts.map(({ first = Number.NaN, asked }) => first - asked);
        return { server: server.name, round, calls, waits };
      };
      if (!smoke) await warmUp(servers, (server) => run(server, 0, clients * CROWD));
      const found = await alternate({ servers, rounds }, say, run);
      samples.push(...found.flatMap((each) => each.samples));
      for (const { server, samples: of } of found) {
        const ours = server.name === 'filter-http';
        const part = (which: number) => of.map(({ waits }) => quantile(waits, which));
        findings.push(
          finding('first byte of a stored range, half of them', server.name, 'ms', part(0.5)),
          finding(
            'first byte of a stored range, 99 % of them',
            server.name,
            'ms',
            part(0.99),
            ours ? { atMost: 20 } : undefined,
          ),
          finding(
            'requests to the application',
            server.name,
            '',
            of.map(({ calls }) => calls),
            ours ? { exactly: 1 } : undefined,
          ),
        );
      }
    }
    return { findings, samples };
  },
};
