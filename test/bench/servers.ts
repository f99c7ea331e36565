import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerName } from './comparisons.ts';
import type { Material } from './material.ts';
import { nginxBuild, startNginx } from './nginx.ts';
import type { Options } from './options.ts';
import { Process } from './process.ts';

/** One that runs, and is asked by the client. */
export interface Server {
  name: ServerName;
  port: number;
  usage(): Promise<Usage>;
  /** Empties its cache. */
  purge(): Promise<void>;
  stop(): Promise<void>;
}

export interface Usage {
  /** CPU time of the process so far, in all of its threads. */
  cpuSeconds: number | undefined;
  /** How often the application behind the cache has answered. */
  calls: number;
}

export interface Place {
  options: Options;
  material: readonly Material[];
  root: string;
}

type RawUsage = { cpu: NodeJS.CpuUsage; calls: number };

/** Those of `names` that this machine can run; nginx where it is installed. */
export async function startServers(names: readonly ServerName[], place: Place): Promise<Server[]> {
  const started = await Promise.allSettled(
    names.map((name) => (name === 'nginx' ? withNginx(place) : withNode(name, place))),
  );
  const servers = started.flatMap((each) =>
    each.status === 'fulfilled' && each.value !== undefined ? [each.value] : [],
  );
  const failed = started.find((each) => each.status === 'rejected');
  if (failed === undefined) return servers;
  await stopServers(servers);
  throw failed.reason;
}

export async function stopServers(servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
}

async function withNode(name: ServerName, place: Place, folder: string = name): Promise<Server> {
  const { options, material, root } = place;
  const before = name.startsWith('before-');
  const directory = join(root, folder);
  mkdirSync(directory, { recursive: true });
  const module = (before ? options.beforeUrl : undefined) ?? options.packageUrl;
  const { process: child, ready } = await Process.start<{ port: number }>(folder, 'server.mjs', {
    config: { kind: name.replace(/^before-/, 'filter-'), root, directory, module, material },
    execArgv:
      options.cpuProf === undefined
        ? []
        : // A folder for each, not a name: threads write files of their own.
          ['--cpu-prof', `--cpu-prof-dir=${join(options.cpuProf, folder)}`],
    // The source needs the loader that came with the order to use it.
    env: module.endsWith('.ts') ? { NODE_OPTIONS: process.env['NODE_OPTIONS'] } : {},
  });
  return {
    name,
    port: ready.port,
    usage: async () => {
      const { cpu, calls } = await child.ask<RawUsage>('usage');
      return { cpuSeconds: (cpu.user + cpu.system) / 1e6, calls };
    },
    purge: () => child.ask('purge'),
    stop: () => child.stop(),
  };
}

async function withNginx(place: Place): Promise<Server | undefined> {
  const build = nginxBuild();
  if (build === undefined) return undefined;
  const origin = await withNode('http', place, 'origin');
  try {
    const nginx = await startNginx(build, join(place.root, 'nginx'), origin.port);
    return {
      name: 'nginx',
      port: nginx.port,
      usage: async () => ({ cpuSeconds: nginx.cpuSeconds(), calls: (await origin.usage()).calls }),
      purge: async () => {
        throw new Error('the cache of nginx is not emptied: it takes part with hits only');
      },
      stop: async () => {
        await nginx.stop();
        await origin.stop();
      },
    };
  } catch (error) {
    await origin.stop();
    throw error;
  }
}
