import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** Which process it is, for others on the same directory. */
export interface ProcessId {
  host: string;
  pid: number;
  /** Linux: the boot and the PID namespace in which `pid` means this process, and when it was started. Pids alone say nothing across containers. */
  space?: string;
  started?: string;
}

/** This process. */
export const SELF: Readonly<ProcessId> = identify();

function identify(): ProcessId {
  const self = { host: hostname(), pid: process.pid };
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const space = `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
    const { pid, started } = statusOf('self');
    // In a container that sees its host's /proc the same number is another process there.
    return pid === self.pid ? { ...self, space, started } : self;
  } catch {
    return self;
  }
}

/** Whether that process runs, stopped or starved as it may be; undefined where that can't be told from here. */
export function isRunning({ pid, space, started }: Partial<ProcessId>): boolean | undefined {
  if (!isPid(pid) || space === undefined || space !== SELF.space) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  try {
    const found = statusOf(pid);
    // Killed, though its parent has not asked yet; or its number has been given to another one.
    return !found.isOver && found.started === started;
  } catch {
    // It went in between, or /proc hides the processes of others.
    return undefined;
  }
}

/** What a file says may be anything. */
function isPid(pid: unknown): pid is number {
  return Number.isSafeInteger(pid) && (pid as number) > 0;
}

/** proc_pid_stat(5): the name, in parentheses, may contain anything. */
function statusOf(process: number | 'self'): { pid: number; isOver: boolean; started: string } {
  const text = readFileSync(`/proc/${process}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state = '', started = ''] = [fields[0], fields[19]];
  return { pid: Number.parseInt(text, 10), isOver: 'ZXx'.includes(state), started };
}
