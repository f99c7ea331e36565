// docs/reference/options.md

import { show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import { type Freshness, freshnessProblem, needsOrigin } from '../policy/freshness.ts';

/** @throws OptionError */
export function resolveFreshness(freshness: Freshness = 'response'): Freshness {
  const problem = freshnessProblem(freshness);
  if (problem === undefined) return freshness;
  throw new OptionError('freshness', `freshness ${problem}, got ${show(freshness)}`);
}

/** @throws OptionError where stale answers are asked for that nobody can bring up to date */
export function requireOriginFor(all: readonly { freshness: Freshness }[], origin: unknown): void {
  if (origin !== undefined || !all.some(({ freshness }) => needsOrigin(freshness))) return;
  throw new OptionError(
    'freshness',
    'freshness has staleWhileRevalidateMs or staleIfErrorMs, and nobody can be asked for what is stale: give origin, a URL',
  );
}
