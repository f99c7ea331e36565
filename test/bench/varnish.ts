import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { freePort, listening } from './nginx.ts';

export function hasVarnish(): boolean {
  try {
    execFileSync('varnishd', ['-V'], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
}

/** One that keeps its objects in memory, before the application on port `origin`. */
export async function startVarnish(
  directory: string,
  origin: number,
): Promise<{ port: number; stop(): Promise<void> }> {
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  const child = spawn(
    'varnishd',
    ['-F', '-n', directory, '-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${origin}`, '-s', 'default,2g'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  // Without this it would outlive a benchmark that is interrupted.
  const end = () => child.kill('SIGTERM');
  process.once('exit', end);
  await listening('varnishd', child, port);
  return {
    port,
    stop: async () => {
      process.off('exit', end);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}
