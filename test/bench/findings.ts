import type { ServerName } from './comparisons.ts';
import { type Spread, spreadOf } from './ratio.ts';

/** Of a registry, too. */
type Measured = ServerName | 'registry' | 'docker-registry';

/** What a benchmark found out about one server. */
export interface Finding {
  what: string;
  /** Of whom; two names for a ratio. */
  of: Measured | `${Measured} / ${Measured}`;
  unit: string;
  /** Of the rounds. */
  found: Spread;
  wanted?: Wanted;
}

/** What the project wants the median to be. */
export type Wanted = { atMost: number } | { atLeast: number } | { exactly: number };

export function finding(
  what: string,
  of: Finding['of'],
  unit: string,
  rounds: readonly number[],
  wanted?: Wanted,
): Finding {
  return { what, of, unit, found: spreadOf(rounds), ...(wanted === undefined ? {} : { wanted }) };
}

export function isMet({ found, wanted }: Finding): boolean | undefined {
  if (wanted === undefined) return undefined;
  if ('atMost' in wanted) return found.median <= wanted.atMost;
  if ('atLeast' in wanted) return found.median >= wanted.atLeast;
  // Of what is counted, each round has to be right.
  return found.least === wanted.exactly && found.most === wanted.exactly;
}

/** The smallest of `values` that at least this part of them do not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const found = sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)];
  if (found === undefined) throw new Error('there is nothing to take a quantile of');
  return found;
}
