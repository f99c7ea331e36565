import type { Client } from './client.ts';
import { COMPARISONS, type Comparison, connectionsFor, type ServerName } from './comparisons.ts';
import type { Material } from './material.ts';
import type { Options } from './options.ts';
import { type Ratio, ratioOf, type Sample } from './ratio.ts';
import type { Server } from './servers.ts';

/** A cache that has not stored a file after so many downloads does not store it. */
const FILL_ATTEMPTS = 10;

const WARM_UP_MS = 700;

/** The servers that the chosen comparisons need. */
export function serversForHits(options: Options): ServerName[] {
  const wanted = COMPARISONS.filter((each) => chosen(each, options));
  return [...new Set(wanted.flatMap(({ to, of }) => [to, of]))];
}

/** Every server, one after the other, in short runs, again and again; then what that says. */
export async function measureHits(
  options: Options,
  {
    client,
    servers,
    material,
  }: { client: Client; servers: readonly Server[]; material: readonly Material[] },
  say: (line: string) => void,
): Promise<{ ratios: Ratio[]; samples: Sample[] }> {
  const ratios: Ratio[] = [];
  const samples: Sample[] = [];
  for (const file of material) {
    const names = new Set(servers.map(({ name }) => name));
    const comparisons = COMPARISONS.filter((each) => chosen(each, options))
      .filter(({ of, to }) => names.has(of) && names.has(to))
      .filter(({ upTo = Number.POSITIVE_INFINITY }) => file.size <= upTo);
    const inUse = new Set(comparisons.flatMap(({ of, to }) => [of, to]));
    const running = servers.filter(({ name }) => inUse.has(name));
    const calls = new Map<Server, number>();
    for (const server of running) {
      await fill(client, server, file);
      calls.set(server, (await server.usage()).calls);
      if (!options.smoke) await run(options, client, server, file, WARM_UP_MS);
    }
    const found: Sample[] = [];
    for (let round = 0; round < options.rounds; round++) {
      for (const server of running) {
        const sample = await run(options, client, server, file, options.seconds * 1000);
        found.push({ ...sample, round });
      }
      say(`${file.url}: round ${round + 1} of ${options.rounds}`);
    }
    for (const server of running) {
      await client.check(server, file);
      const more = (await server.usage()).calls - (calls.get(server) ?? 0);
      if (isCache(server) && more > 0)
        throw new Error(`${server.name}: ${more} of the requests for ${file.url} were not hits`);
    }
    for (const comparison of comparisons) ratios.push(ratioOf(comparison, file.size, found));
    samples.push(...found);
  }
  return { ratios, samples };
}

function chosen({ peer }: Comparison, options: Options): boolean {
  return options.peers.includes(peer) && (peer !== 'before' || options.beforeUrl !== undefined);
}

function isCache({ name }: Server): boolean {
  return !['http', 'express', 'static'].includes(name);
}

/** Until the application is not asked any more. Each answer is compared, byte for byte. */
async function fill(client: Client, server: Server, file: Material): Promise<void> {
  await client.check(server, file);
  for (let attempt = 0; attempt < FILL_ATTEMPTS; attempt++) {
    const before = (await server.usage()).calls;
    await client.check(server, file);
    if (!isCache(server) || (await server.usage()).calls === before) return;
  }
  throw new Error(`${server.name} does not store ${file.url}`);
}

async function run(
  options: Options,
  client: Client,
  server: Server,
  file: Material,
  milliseconds: number,
): Promise<Omit<Sample, 'round'>> {
  const connections = options.connections ?? connectionsFor(file.size);
  const before = await server.usage();
  const load = await client.load(server, file, { connections, milliseconds });
  const after = await server.usage();
  const cpu =
    before.cpuSeconds === undefined || after.cpuSeconds === undefined
      ? undefined
      : after.cpuSeconds - before.cpuSeconds;
  return {
    server: server.name,
    size: file.size,
    perSecond: load.bytes / file.size / load.seconds,
    cpuSecondsEach: cpu === undefined ? undefined : (cpu * file.size) / load.allBytes,
    serverBusy: cpu === undefined ? undefined : cpu / load.allSeconds,
    clientBusy: load.clientCpu / load.seconds,
  };
}
