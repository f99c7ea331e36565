import type { Client } from './client.ts';
import type { Comparison, ServerName } from './comparisons.ts';
import type { Material } from './material.ts';
import type { Options } from './options.ts';
import { type Ratio, ratioOf, type Sample } from './ratio.ts';
import type { Server } from './servers.ts';

export function serversForCold({ beforeUrl }: Options): ServerName[] {
  return ['http', 'filter-http', ...(beforeUrl === undefined ? [] : (['before-http'] as const))];
}

/** Files that are not stored: for one client, and for many at once. The application may be asked once. */
export async function measureCold(
  options: Options,
  {
    client,
    servers,
    material,
  }: { client: Client; servers: readonly Server[]; material: readonly Material[] },
  say: (line: string) => void,
): Promise<{ ratios: Ratio[]; samples: (Sample & { clients: number })[] }> {
  const ratios: Ratio[] = [];
  const samples: (Sample & { clients: number })[] = [];
  for (const file of material) {
    for (const server of servers) {
      await server.purge();
      // Of a running fill, and of what it has left.
      await client.check(server, file);
      await client.check(server, file);
    }
    for (const clients of new Set([1, options.clients])) {
      const found: Sample[] = [];
      if (!options.smoke) for (const server of servers) await run(client, server, file, clients);
      for (let round = 0; round < options.rounds; round++) {
        for (const server of servers) {
          found.push({ ...(await run(client, server, file, clients)), round });
        }
        say(`${file.url}, ${clients} at once: round ${round + 1} of ${options.rounds}`);
      }
      for (const comparison of comparisons(options, clients))
        ratios.push(ratioOf(comparison, file.size, found));
      samples.push(...found.map((sample) => ({ ...sample, clients })));
    }
  }
  return { ratios, samples };
}

function comparisons({ beforeUrl }: Options, clients: number): Comparison[] {
  const who = clients === 1 ? 'a fill' : `${clients} clients for one cold file`;
  const same = clients === 1 ? 'handler' : `${clients} passes`;
  return [
    { peer: 'http', what: `${who} / ${same}`, of: 'filter-http', to: 'http' },
    ...(beforeUrl === undefined
      ? []
      : ([{ peer: 'before', what: `${who} / before`, of: 'filter-http', to: 'before-http' }] as const)),
  ];
}

async function run(
  client: Client,
  server: Server,
  file: Material,
  clients: number,
): Promise<Omit<Sample, 'round'>> {
  await server.purge();
  const before = await server.usage();
  const { seconds, clientCpu } = await client.together(server, file, clients);
  const after = await server.usage();
  const calls = after.calls - before.calls;
  const expected = server.name === 'http' ? clients : 1;
  if (calls !== expected)
    throw new Error(
      `${server.name}: the application was asked ${calls} times by ${clients} clients for ${file.url}, expected ${expected}`,
    );
  const cpu = (after.cpuSeconds ?? 0) - (before.cpuSeconds ?? 0);
  return {
    server: server.name,
    size: file.size,
    perSecond: clients / seconds,
    cpuSecondsEach: cpu / clients,
    serverBusy: cpu / seconds,
    clientBusy: clientCpu / seconds,
  };
}
