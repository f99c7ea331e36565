import { alternate, type Benchmark, CROWD, warmUp } from './benchmark.ts';
import { type Lane, laneChart } from './chart.ts';
import { type Finding, finding, quantile } from './findings.ts';
import type { Flights, Flown } from './flights.ts';
import { cold, type Material, paced } from './material.ts';
import type { Server } from './servers.ts';
import { formatSize, MIB } from './sizes.ts';

/** Of the application. */
const PACE = 16 * MIB;

/** What is there when they come. */
const PART = 0.25;

interface Sample {
  server: string;
  round: number;
  calls: number;
  /** When the application had written its last byte; milliseconds after the first request, as all times here. */
  fillEnd: number;
  firsts: number[];
  /** From being asked for to the first byte. */
  waits: number[];
  ends: number[];
}

/** Many clients join a download that is under way. */
export const join: Benchmark = {
  servers: () => ['filter-http', 'nginx', 'varnish'],
  material: (files) => files.map((file) => paced(file, PACE)),
  async measure({ clients, rounds, smoke }, { flights, servers, material }, say) {
    const findings: Finding[] = [];
    const samples: Sample[] = [];
    for (const file of material) {
      if (!smoke) await warmUp(servers, (server) => run(flights, server, file, clients * CROWD, 0));
      const found = await alternate({ servers, rounds }, say, (server, round) =>
        run(flights, server, file, clients, round),
      );
      for (const { server, samples: of } of found) findings.push(...findingsOf(server, of));
      samples.push(...found.flatMap((each) => each.samples));
    }
    return { findings, samples, chart: chartOf(samples, clients, material) };
  },
};

async function run(
  flights: Flights,
  server: Server,
  material: Material,
  clients: number,
  round: number,
): Promise<Sample> {
  const file = cold(material);
  const { url, size } = file;
  const before = (await server.usage()).calls;
  const flown = await flights.fly(server, [
    { url, size, hashed: true },
    { url, size, count: clients, after: size * PART },
  ]);
  const { calls, lastEnd } = await server.usage();
  const [first, ...joiners] = flown as [Flown, ...Flown[]];
  if (first.sha256 !== file.sha256)
    throw new Error(`${server.name}: ${url}: expected SHA-256 ${file.sha256}, got ${first.sha256}`);
  const since = (at: number | undefined) => (at ?? Number.NaN) - first.asked;
  return {
    server: server.name,
    round,
    calls: calls - before,
    fillEnd: since(lastEnd),
    firsts: joiners.map((each) => since(each.first)),
    waits: joiners.map(({ first: at = Number.NaN, asked }) => at - asked),
    ends: joiners.map(({ ended }) => since(ended)),
  };
}

function findingsOf({ name }: Server, samples: readonly Sample[]): Finding[] {
  const ours = name === 'filter-http';
  const each = (value: (sample: Sample) => number) => samples.map(value);
  return [
    finding(
      'requests to the application',
      name,
      '',
      each(({ calls }) => calls),
      ours ? { exactly: 1 } : undefined,
    ),
    finding(
      'first byte, half of them',
      name,
      'ms',
      each(({ waits }) => quantile(waits, 0.5)),
    ),
    finding(
      'first byte, 99 % of them',
      name,
      'ms',
      each(({ waits }) => quantile(waits, 0.99)),
      ours ? { atMost: 25 } : undefined,
    ),
    finding(
      'the last of them ends after the fill',
      name,
      'ms',
      each(({ ends, fillEnd }) => Math.max(...ends) - fillEnd),
      ours ? { atMost: 100 } : undefined,
    ),
  ];
}

/** A line for each client: when its first byte came, and its last. The last round of each server. */
function chartOf(samples: readonly Sample[], clients: number, material: readonly Material[]): string {
  const latest = new Map(samples.map((sample) => [sample.server, sample]));
  const lanes: Lane[] = [...latest.values()].map(({ server, firsts, ends, waits, calls }) => ({
    label: server === 'filter-http' ? 'cache-filter' : server,
    note: `${calls} ${calls === 1 ? 'request' : 'requests'} to the application`,
    lines: firsts.map((first, i) => ({
      from: (first - (waits[i] ?? 0)) / 1000,
      first: first / 1000,
      to: (ends[i] ?? first) / 1000,
    })),
  }));
  const size = material.map((file) => formatSize(file.size)).join(', ');
  return laneChart({
    title: `${clients} clients join a download of ${size} at ${formatSize(PACE)}/s when a quarter is there`,
    xLabel: 'seconds since the first request; pale: waiting for the first byte',
    lanes,
  });
}
