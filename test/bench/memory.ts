import type { Benchmark } from './benchmark.ts';
import { byName } from './benchmark.ts';
import { lineChart } from './chart.ts';
import { type Finding, finding } from './findings.ts';
import type { Actor } from './flights.ts';
import { cold, paced } from './material.ts';
import { median } from './ratio.ts';
import { formatSize, KIB, MIB } from './sizes.ts';

/** Of the application: slow enough for the fastest clients to keep up on a small machine. */
const PACE = 64 * MIB;
const SAMPLE_MS = 250;

/** What the readers do, and in parts of them how many. */
const KINDS: { part: number; actor: Pick<Actor, 'bytesPerSecond' | 'after'> }[] = [
  { part: 0.1, actor: { after: 1 } },
  { part: 0.2, actor: { after: 1, bytesPerSecond: 16 * MIB } },
  { part: 0.3, actor: { after: 1, bytesPerSecond: 2 * MIB } },
  { part: 0.2, actor: { after: 1, bytesPerSecond: 64 * KIB } },
  // Late ones, who read what is long on disk.
  { part: 0.2, actor: { after: 256 * MIB, bytesPerSecond: 8 * MIB } },
];

/** Memory of the process while many read one large body, each at a speed of its own. */
export const memory: Benchmark = {
  servers: () => ['filter-http'],
  material: (files) => files.map((file) => paced(file, PACE)),
  async measure({ clients }, { flights, servers, material }, say) {
    const server = byName(servers, 'filter-http');
    const findings: Finding[] = [];
    const samples: { seconds: number; rss: number }[] = [];
    for (const file of material) {
      const { url, size } = cold(file);
      const before = await server.usage();
      if (before.rss === undefined) throw new Error(`${server.name} does not say how much memory it uses`);
      const begun = performance.now();
      const flying = flights.fly(server, [
        { url, size },
        ...KINDS.map(({ part, actor }) => ({
          ...actor,
          url,
          size,
          after: Math.min(actor.after ?? 0, size / 2),
          count: Math.max(1, Math.round(clients * part)),
          waited: false,
        })),
      ]);
      let over = false;
      const ended = flying.finally(() => {
        over = true;
      });
      ended.catch(() => undefined);
      const found: typeof samples = [];
      while (!over) {
        await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))]);
        const { rss = Number.NaN } = await server.usage();
        found.push({ seconds: (performance.now() - begun) / 1000, rss });
        say(`${Math.round(rss / MIB)} MiB`);
      }
      await ended;
      const { calls } = await server.usage();
      const growth = Math.max(...found.map(({ rss }) => rss)) - before.rss;
      const quarter = (which: number) =>
        median(
          found.slice((found.length * which) / 4, (found.length * (which + 1)) / 4).map(({ rss }) => rss),
        );
      findings.push(
        finding('requests to the application', server.name, '', [calls - before.calls], { exactly: 1 }),
        finding(
          `growth of memory, ${formatSize(size)} and ${clients} readers`,
          server.name,
          'MiB',
          [growth / MIB],
          { atMost: 64 + clients },
        ),
        finding(
          'of it from the second quarter of the time to the last',
          server.name,
          'MiB',
          [found.length < 4 ? 0 : (quarter(3) - quarter(1)) / MIB],
          { atMost: 16 },
        ),
      );
      samples.push(...found);
    }
    const chart = lineChart({
      title: `Memory of the process, ${clients} readers of one file`,
      xLabel: 'seconds',
      yLabel: 'MiB',
      lines: [
        { label: 'resident set', points: samples.map(({ seconds, rss }) => ({ x: seconds, y: rss / MIB })) },
      ],
    });
    return { findings, samples, chart };
  },
};
