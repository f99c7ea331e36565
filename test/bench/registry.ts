/** Pushes and pulls, beside Debian's docker-registry: `cache-filter registry` as it is started, and the other likewise. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Finding, finding } from './findings.ts';
import type { Options } from './options.ts';
import { Process } from './process.ts';
import { KIB, MIB } from './sizes.ts';

const SMALL = { count: 200, bytes: 16 * KIB, times: 5 };
const CONNECTIONS = 8;

interface Peer {
  name: 'registry' | 'docker-registry';
  port: number;
  child: ChildProcess;
}

/** What one round of one registry took, in seconds, and the most memory that it had so far, in MiB. */
interface Round {
  pushLarge: number;
  pullLarge: number;
  pushSmall: number;
  pullSmall: number;
  peakMib: number | undefined;
}

export async function measureRegistry(
  { rounds, sizes, smoke }: Options,
  root: string,
): Promise<{ findings: Finding[]; samples: unknown[] }> {
  const { process: client } = await Process.start('client', 'registry-client.mjs');
  const peers: Peer[] = [];
  try {
    peers.push(await ours(root));
    const theirs = await other(root);
    if (theirs === undefined) console.log('docker-registry is not installed: left out');
    else peers.push(theirs);
    const large = sizes[0] ?? 1024 * MIB;
    const found = peers.map((peer) => ({ peer, rounds: [] as Round[] }));
    // The first round of each does not count.
    for (let round = 0; round <= rounds; round++) {
      for (const { peer, rounds: of } of found) {
        const sample = await measure(client, peer, { round, large, smoke });
        if (round > 0 || smoke) of.push(sample);
      }
      console.log(`round ${round} of ${rounds}`);
    }
    const [we, they] = found;
    const samples = found.flatMap(({ peer, rounds: of }) =>
      of.map((sample) => ({ server: peer.name, ...sample })),
    );
    return {
      findings: we === undefined || they === undefined ? [] : compare(we.rounds, they.rounds),
      samples,
    };
  } finally {
    await client.stop();
    for (const { child } of peers) child.kill();
  }
}

function compare(we: readonly Round[], they: readonly Round[]): Finding[] {
  const ratio = (what: keyof Round) =>
    we.map((round, i) => (they[i]?.[what] ?? Number.NaN) / (round[what] ?? Number.NaN));
  const of = 'registry / docker-registry';
  const peaks = we.map(({ peakMib }) => peakMib ?? Number.NaN);
  return [
    finding('1 GiB layer: throughput of pushing', of, '', ratio('pushLarge'), { atLeast: 1 }),
    finding('1 GiB layer: throughput of pulling', of, '', ratio('pullLarge'), { atLeast: 1 }),
    finding('200 small blobs: throughput of pushing', of, '', ratio('pushSmall')),
    finding('200 small blobs: throughput of pulling', of, '', ratio('pullSmall'), { atLeast: 3 }),
    finding('most memory after each round', 'registry', 'MiB', peaks),
  ];
}

async function measure(
  client: Process,
  { name, port, child }: Peer,
  { round, large, smoke }: { round: number; large: number; smoke: boolean },
): Promise<Round> {
  const ask = (what: string, how: object) =>
    client.ask<number>(what, { port, repository: 'bench/blobs', seed: `${name} ${round}`, ...how });
  const one = { sizes: [large], connections: 1 };
  const count = smoke ? 5 : SMALL.count;
  const many = { sizes: Array.from({ length: count }, () => SMALL.bytes), connections: CONNECTIONS };
  const pushLarge = await ask('push', one);
  // What is still on its way to the disk would be in the way of the next.
  spawnSync('sync');
  const pullLarge = await ask('pull', { ...one, times: 1 });
  const pushSmall = await ask('push', many);
  const pullSmall = await ask('pull', { ...many, times: SMALL.times });
  return { pushLarge, pullLarge, pushSmall, pullSmall, peakMib: peakOf(child.pid) };
}

function peakOf(pid: number | undefined): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  } catch {
    return undefined;
  }
}

async function ours(root: string): Promise<Peer> {
  const port = await freePort();
  const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const flags = ['registry', '--directory', join(root, 'ours'), '--port', String(port)];
  const child = spawn(process.execPath, [command, ...flags], { stdio: ['ignore', 'ignore', 'inherit'] });
  await listening(port, child);
  return { name: 'registry', port, child };
}

async function other(root: string): Promise<Peer | undefined> {
  if (spawnSync('docker-registry', ['--version']).status !== 0) return undefined;
  const port = await freePort();
  const directory = join(root, 'theirs');
  mkdirSync(directory);
  const config = join(root, 'docker-registry.yml');
  writeFileSync(
    config,
    `version: 0.1\nlog: { level: error, accesslog: { disabled: true } }\nstorage:\n  filesystem: { rootdirectory: ${directory} }\n  delete: { enabled: true }\nhttp: { addr: 127.0.0.1:${port} }\n`,
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'ignore'] });
  await listening(port, child);
  return { name: 'docker-registry', port, child };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isUp) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`a registry has ended with ${child.exitCode} before it listened`);
}
