import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Nginx {
  port: number;
  /** CPU time of its workers so far, in seconds; undefined where the system does not say. */
  cpuSeconds(): number | undefined;
  stop(): Promise<void>;
}

/** Whether there is one to compare with; what it says of itself. */
export function nginxBuild(): string | undefined {
  try {
    execFileSync('nginx', ['-V'], { stdio: 'pipe' });
    // It says it on stderr.
    return execFileSync('nginx -V 2>&1', { shell: '/bin/sh', encoding: 'utf8' });
  } catch {
    return undefined;
  }
}

/** One with the configuration of `nginx.conf`, which keeps its files below `directory`. */
export async function startNginx(build: string, directory: string, origin: number): Promise<Nginx> {
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  const values: Record<string, string> = {
    // Its workers would give up the right to write here.
    user: process.getuid?.() === 0 ? 'user root;' : '',
    port: String(port),
    origin: String(origin),
    temporary: ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .filter((module) => !build.includes(`--without-http_${module}_module`))
      .map((module) => `${module}_temp_path ${module}_temp;`)
      .join('\n  '),
  };
  const template = readFileSync(new URL('nginx.conf', import.meta.url), 'utf8');
  writeFileSync(
    join(directory, 'nginx.conf'),
    template.replace(/\{\{(port|user|origin|temporary)\}\}/g, (_, name: string) => values[name] ?? ''),
  );
  const child = spawn('nginx', ['-e', 'stderr', '-p', directory, '-c', 'nginx.conf'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  // Without this it would outlive a benchmark that is interrupted.
  const end = () => child.kill('SIGTERM');
  process.once('exit', end);
  await listening('nginx', child, port);
  return {
    port,
    cpuSeconds: () => workersCpu(child.pid ?? 0),
    stop: async () => {
      process.off('exit', end);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** Resolves when somebody answers on the port of `child`. */
export async function listening(name: string, child: ChildProcess, port: number): Promise<void> {
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${name} ended with ${child.signalCode ?? child.exitCode} before it was ready`);
    const socket = connect(port, '127.0.0.1');
    const answered = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (answered) return;
    await sleep(20);
  }
}

/** In nanoseconds the time of a process on the CPU is the first number of its `schedstat` (Linux, proc(5)). */
function workersCpu(master: number): number | undefined {
  try {
    const workers = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim().split(' ');
    const nanoseconds = workers.map((pid) =>
      Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]),
    );
    return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
  } catch {
    return undefined;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}
