import type { Client } from './client.ts';
import type { ServerName } from './comparisons.ts';
import type { Finding } from './findings.ts';
import type { Flights } from './flights.ts';
import type { Material } from './material.ts';
import type { Options } from './options.ts';
import type { Server } from './servers.ts';

/** One question, and the way to its answer. */
export interface Benchmark {
  servers(options: Options): ServerName[];
  /** What the servers serve, made of the files that were asked for; default: those. */
  material?(files: readonly Material[]): Material[];
  measure(options: Options, on: Ground, say: (line: string) => void): Promise<Measured>;
}

export interface Ground {
  client: Client;
  flights: Flights;
  servers: readonly Server[];
  material: readonly Material[];
}

export interface Measured {
  findings: Finding[];
  /** All that was measured, for `--json`. */
  samples: unknown[];
  /** A picture of it, as SVG. */
  chart?: string;
}

/** So often a server does what counts before it does, */
const WARM_ROUNDS = 6;

/** and where that is for many clients, for so many times as many: V8 optimizes what has run about a thousand times. */
export const CROWD = 5;

/** Lets each server do it a few times, without it counting. */
export async function warmUp(
  servers: readonly Server[],
  run: (server: Server) => Promise<unknown>,
): Promise<void> {
  for (let round = 0; round < WARM_ROUNDS; round++) for (const server of servers) await run(server);
}

/** Each server in turn, round after round; what the rounds of each came to. */
export async function alternate<Sample>(
  { servers, rounds }: { servers: readonly Server[]; rounds: number },
  say: (line: string) => void,
  run: (server: Server, round: number) => Promise<Sample>,
): Promise<{ server: Server; samples: Sample[] }[]> {
  const found = servers.map((server) => ({ server, samples: [] as Sample[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { server, samples } of found) samples.push(await run(server, round));
    say(`round ${round + 1} of ${rounds}`);
  }
  return found;
}

export function byName(servers: readonly Server[], name: ServerName): Server {
  const server = servers.find((each) => each.name === name);
  if (server === undefined) throw new Error(`${name} does not run`);
  return server;
}
