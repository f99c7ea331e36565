// docs/guides/command-line.md

import type { PrefetchInfo } from '../index.ts';
import type { Warmed, WarmReport } from './commands/warm.ts';
import { inUnits } from './doctor/size.ts';

type Print = (line: string) => void;

/** A line for each path, and one at the end. */
export function linesReport(print: Print, warn: Print): WarmReport {
  return {
    progress: () => undefined,
    done: (warmed) => (warmed.outcome === 'failed' ? warn : print)(lineOf(warmed)),
    end: (tally) => print(`cache-filter: ${sumOf(tally)}`),
  };
}

/** A JSON object for each path. */
export function jsonReport(print: Print): WarmReport {
  return {
    progress: () => undefined,
    done: (warmed) => print(JSON.stringify(warmed)),
    end: () => undefined,
  };
}

/** A bar for each path that is being fetched, and above them a line for each that has been. */
export async function barsReport(terminal: NodeJS.WriteStream): Promise<WarmReport> {
  const { MultiBar } = await import('cli-progress');
  const all = new MultiBar(
    {
      stream: terminal,
      format: '[{bar}] {got} of {whole}  {path}',
      barsize: 24,
      clearOnComplete: true,
      hideCursor: true,
      // A file whose size is not known, or that is empty, is not done for that.
      emptyOnZero: true,
      gracefulExit: false,
    },
    undefined,
  );
  const bars = new Map<string, ReturnType<typeof all.create>>();
  const drop = (path: string) => {
    const bar = bars.get(path);
    if (bar !== undefined) all.remove(bar);
    bars.delete(path);
  };
  return {
    progress({ path, state, bytes, size = 0 }: PrefetchInfo) {
      if (state !== 'running') return drop(path);
      const about = { path: shown(path), got: inUnits(bytes), whole: size === 0 ? '?' : inUnits(size) };
      const bar = bars.get(path) ?? all.create(size, bytes, about);
      bars.set(path, bar);
      bar.setTotal(size);
      bar.update(bytes, about);
    },
    done(warmed) {
      drop(warmed.path);
      all.log(`${lineOf(warmed)}\n`);
    },
    end(tally) {
      all.log(`cache-filter: ${sumOf(tally)}\n`);
      // It writes what was logged when it draws.
      all.update();
      all.stop();
    },
  };
}

function lineOf(warmed: Warmed): string {
  const { path, outcome } = warmed;
  if (outcome === 'failed') return `failed   ${shown(path)}: ${warmed.error}`;
  return outcome === 'queued'
    ? `queued   ${shown(path)}`
    : `${outcome.padEnd(8)} ${shown(path)} ${inUnits(warmed.bytes)}`;
}

function sumOf({ fetched, stored, queued, failed }: Record<Warmed['outcome'], number>): string {
  const left = queued === 0 ? '' : `, ${queued} left in the queue`;
  return `${fetched} fetched, ${stored} stored already, ${failed} failed${left}`;
}

/** Without what a terminal would obey. */
function shown(path: string): string {
  return path.replace(/\p{Cc}/gu, '?');
}
