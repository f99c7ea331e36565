import type { Comparison, ServerName } from './comparisons.ts';

/** One run of one server. */
export interface Sample {
  server: ServerName;
  size: number;
  round: number;
  /** Responses, in parts of one too. */
  perSecond: number;
  /** CPU time of the server for one response; undefined where the system does not say. */
  cpuSecondsEach: number | undefined;
  /** CPU time in parts of the time that passed: 1 is one core, all the time. */
  serverBusy: number | undefined;
  clientBusy: number;
}

export interface Ratio {
  what: string;
  of: ServerName;
  to: ServerName;
  size: number;
  /** Responses a second. */
  throughput: Spread;
  /** Responses a second of CPU time of the server. */
  byCpu: Spread | undefined;
  /** The same of the cheapest run of each: what else the machine does can only add to the cost of a run. */
  byCpuAtBest: number | undefined;
  wanted: number | undefined;
  /** Servers of the two that had time left while the client had less: their throughput is the client's. */
  heldUpByClient: ServerName[];
}

export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** Less than this is not a server at its limit. */
const SATURATED = 0.9;

/** Round by round, so that what slows down the whole machine for a while slows down both sides. */
export function ratioOf(comparison: Comparison, size: number, samples: readonly Sample[]): Ratio {
  const { what, of, to, wanted } = comparison;
  const ours = samples.filter(({ server }) => server === of);
  const theirs = samples.filter(({ server }) => server === to);
  const pairs = ours.flatMap((our) => {
    const their = theirs.find(({ round }) => round === our.round);
    return their === undefined ? [] : [{ our, their }];
  });
  const costs = pairs.flatMap(({ our, their }) =>
    our.cpuSecondsEach === undefined || their.cpuSecondsEach === undefined
      ? []
      : [their.cpuSecondsEach / our.cpuSecondsEach],
  );
  return {
    what,
    of,
    to,
    size,
    throughput: spreadOf(pairs.map(({ our, their }) => our.perSecond / their.perSecond)),
    byCpu: costs.length === 0 ? undefined : spreadOf(costs),
    byCpuAtBest: costs.length === 0 ? undefined : leastCost(theirs) / leastCost(ours),
    wanted: wanted?.(size),
    heldUpByClient: [ours, theirs].flatMap((runs) => {
      const server = median(runs.map(({ serverBusy }) => serverBusy ?? 1));
      const client = median(runs.map(({ clientBusy }) => clientBusy));
      return server < SATURATED && client > server && runs[0] !== undefined ? [runs[0].server] : [];
    }),
  };
}

function leastCost(samples: readonly Sample[]): number {
  return Math.min(...samples.map(({ cpuSecondsEach }) => cpuSecondsEach ?? Number.POSITIVE_INFINITY));
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.slice(Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, each) => sum + each, 0) / middle.length;
}
