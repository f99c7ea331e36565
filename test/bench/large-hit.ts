import { alternate, type Benchmark, byName } from './benchmark.ts';
import { type Finding, finding } from './findings.ts';
import { formatSize } from './sizes.ts';

/** Clients at once, and what is wanted of the throughput beside nginx with sendfile. */
const LOADS = [
  { clients: 1, atLeast: 1 },
  { clients: 8, atLeast: 1.2 },
];

/** Hits on a large file. */
export const largeHit: Benchmark = {
  servers: () => ['filter-http', 'nginx'],
  async measure({ rounds, seconds, smoke }, { client, servers, material }, say) {
    const findings: Finding[] = [];
    const samples: unknown[] = [];
    if (servers.length < 2) return { findings, samples };
    for (const file of material) {
      for (const server of servers) {
        await client.check(server, file);
        const { calls } = await server.usage();
        await client.check(server, file);
        if ((await server.usage()).calls !== calls)
          throw new Error(`${server.name} does not store ${file.url}`);
      }
      for (const { clients, atLeast } of LOADS) {
        const load = (milliseconds: number) => (server: (typeof servers)[number]) =>
          client.load(server, file, { connections: clients, milliseconds });
        if (!smoke) for (const server of servers) await load(seconds * 1000)(server);
        const found = await alternate({ servers, rounds }, say, load(seconds * 1000));
        const speeds = new Map(
          found.map(({ server, samples: of }) => [server, of.map(({ bytes, seconds: s }) => bytes / s)]),
        );
        const theirs = speeds.get(byName(servers, 'nginx')) ?? [];
        const ours = speeds.get(byName(servers, 'filter-http')) ?? [];
        findings.push(
          finding(
            `${formatSize(file.size)}, ${clients} at once: throughput of hits`,
            'filter-http / nginx',
            '',
            ours.map((speed, i) => speed / (theirs[i] ?? Number.NaN)),
            { atLeast },
          ),
        );
        for (const { server, samples: of } of found)
          samples.push(...of.map((sample, round) => ({ server: server.name, clients, round, ...sample })));
      }
    }
    return { findings, samples };
  },
};
