import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerName } from './comparisons.ts';
import type { Material } from './material.ts';
import { nginxBuild, startNginx } from './nginx.ts';
import type { Options } from './options.ts';
import { Process } from './process.ts';
import { hasVarnish, startVarnish } from './varnish.ts';

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
  /** How many bytes of bodies it has written. */
  sent: number;
  /** When it had last written all of an answer, in milliseconds since the epoch; 0: not yet. */
  lastEnd: number;
  /** Memory of the process, in bytes; undefined where the system does not say. */
  rss: number | undefined;
}

export interface Place {
  options: Options;
  material: readonly Material[];
  root: string;
}

type RawUsage = Omit<Usage, 'cpuSeconds'> & { cpu: NodeJS.CpuUsage };

/** Those of `names` that this machine can run; nginx and Varnish where they are installed. */
export async function startServers(names: readonly ServerName[], place: Place): Promise<Server[]> {
  const started = await Promise.allSettled(
    names.map((name) => {
      if (name === 'nginx') return withNginx(place);
      if (name === 'pull') return withOrigin(place);
      return name === 'varnish' ? withVarnish(place) : withNode(name, place);
    }),
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

/** On the heap of a server whose processor time is compared: about 64 MiB. */
const APPLICATION_OBJECTS = 400_000;

async function withNode(
  name: ServerName,
  place: Place,
  folder: string = name,
  origin?: string,
): Promise<Server> {
  const { options, material, root } = place;
  const before = name.startsWith('before-');
  const directory = join(root, folder);
  mkdirSync(directory, { recursive: true });
  const objects = options.what === 'fill' ? APPLICATION_OBJECTS : 0;
  const module = (before ? options.beforeUrl : undefined) ?? options.packageUrl;
  const { process: child, ready } = await Process.start<{ port: number }>(folder, 'server.mjs', {
    config: { kind: name.replace(/^before-/, 'filter-'), root, directory, module, material, objects, origin },
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
      const { cpu, ...usage } = await child.ask<RawUsage>('usage');
      return { ...usage, cpuSeconds: (cpu.user + cpu.system) / 1e6 };
    },
    purge: () => child.ask('purge'),
    stop: () => child.stop(),
  };
}

/** The filter, and the origin that it fetches from, each in a process of its own. */
async function withOrigin(place: Place): Promise<Server> {
  const origin = await withNode('origin', place, 'origin-of-pull');
  try {
    const filter = await withNode('pull', place, 'pull', `http://127.0.0.1:${origin.port}`);
    return {
      ...filter,
      usage: async () => {
        const [{ calls, sent, lastEnd }, own] = await Promise.all([origin.usage(), filter.usage()]);
        return { ...own, calls, sent, lastEnd };
      },
      stop: async () => {
        await filter.stop();
        await origin.stop();
      },
    };
  } catch (error) {
    await origin.stop();
    throw error;
  }
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
      usage: async () => ({ ...(await origin.usage()), cpuSeconds: nginx.cpuSeconds(), rss: undefined }),
      purge: async () => {
        throw new Error('the cache of nginx is not emptied: it is asked for what it has not seen');
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

async function withVarnish(place: Place): Promise<Server | undefined> {
  if (!hasVarnish()) return undefined;
  const origin = await withNode('http', place, 'origin-of-varnish');
  try {
    const varnish = await startVarnish(join(place.root, 'varnish'), origin.port);
    return {
      name: 'varnish',
      port: varnish.port,
      usage: async () => ({ ...(await origin.usage()), cpuSeconds: undefined, rss: undefined }),
      purge: async () => {
        throw new Error('the cache of Varnish is not emptied: it is asked for what it has not seen');
      },
      stop: async () => {
        await varnish.stop();
        await origin.stop();
      },
    };
  } catch (error) {
    await origin.stop();
    throw error;
  }
}
