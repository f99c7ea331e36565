import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheFilter } from '../../lib/index.ts';
import { type Line, lineChart } from './chart.ts';
import { type Actor, Flights } from './flights.ts';
import { MIB } from './sizes.ts';

const SIZE = 48 * MIB;
/** Of the application, in bytes a second. */
const PACE = 12 * MIB;
const SAMPLE_MS = 40;
const URL = '/files/image';

/** Their moments are counted in bytes that the first of them has: it reads at half the pace of the application. */
const CLIENTS: { label: string; actor: Omit<Actor, 'url' | 'size' | 'sampleMs'> }[] = [
  { label: 'asks first, reads at half the speed', actor: { bytesPerSecond: PACE / 2 } },
  { label: 'joins, and leaves at 16 MiB', actor: { after: 4 * MIB, leaves: 16 * MIB } },
  { label: 'joins, as fast as it goes', actor: { after: 8 * MIB } },
  {
    label: 'wants a range that is stored',
    actor: { after: 12 * MIB, range: { start: 4 * MIB, end: 10 * MIB } },
  },
  {
    label: 'wants a range that is still to come',
    actor: { after: 12 * MIB, range: { start: 34 * MIB, end: 40 * MIB } },
  },
  { label: 'comes when the fill is over', actor: { after: 30 * MIB } },
];

/** A real filter before a real, slow handler, and real clients: who had which byte when, as SVG. */
export async function timeline(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'cache-filter-timeline-'));
  const filter = cacheFilter({ directory: join(directory, 'cache'), freshness: 'immutable' });
  const written: [at: number, bytes: number][] = [];
  let calls = 0;
  const server = createServer((req, res) => {
    filter(req, res, () => {
      calls++;
      void write(res, written);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const flights = await Flights.start();
  try {
    const { port } = server.address() as AddressInfo;
    const actors = CLIENTS.map(({ actor }) => ({
      ...actor,
      url: URL,
      size: SIZE,
      sampleMs: SAMPLE_MS,
    }));
    const flown = await flights.fly({ name: 'the filter', port }, actors);
    if (calls !== 1) throw new Error(`the application was asked ${calls} times, expected once`);
    const begun = flown[0]?.asked ?? 0;
    const point = ([at, bytes]: readonly [number, number]) => ({ x: (at - begun) / 1000, y: bytes / MIB });
    const fill: Line = {
      label: `what the application has written (asked ${calls === 1 ? 'once' : `${calls} times`})`,
      points: written.map(point),
      area: true,
    };
    const lines = flown.map(({ asked, samples }, i): Line => {
      const { label = '', actor = {} } = CLIENTS[i] ?? {};
      const from = actor.range?.start ?? 0;
      const points = [[asked, 0] as const, ...samples].map(([at, bytes]) => point([at, from + bytes]));
      return { label, points, dashed: actor.range !== undefined };
    });
    return lineChart({
      title: `One download of ${SIZE / MIB} MiB, ${CLIENTS.length} clients, one request to the application`,
      xLabel: 'seconds',
      yLabel: 'position in the file, MiB',
      lines: [fill, ...lines],
    });
  } finally {
    await flights.stop();
    await filter.close();
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** As a slow source does: piece by piece, at its own pace. */
async function write(res: ServerResponse, written: [at: number, bytes: number][]): Promise<void> {
  res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': SIZE });
  const piece = Buffer.alloc(64 * 1024, 'x');
  const begun = performance.now();
  for (let bytes = 0; bytes < SIZE; bytes += piece.length) {
    const early = begun + (bytes / PACE) * 1000 - performance.now();
    if (early >= 1) await sleep(early);
    const now = performance.timeOrigin + performance.now();
    if (now - (written.at(-1)?.[0] ?? 0) >= SAMPLE_MS) written.push([now, bytes]);
    if (!res.write(piece)) await new Promise((resolve) => res.once('drain', resolve));
  }
  written.push([performance.timeOrigin + performance.now(), SIZE]);
  res.end();
}
