// docs/reference/registry.md

import { show } from '../checks.ts';
import { HookError } from '../errors.ts';
import { Refusal } from './answers.ts';
import type { Exchange } from './exchange.ts';
import type { Meter } from './request-body.ts';

/** A body without a declared length is asked about each time so many bytes more have come. */
const STEP_BYTES = 1024 * 1024;

/** @throws Refusal (413) where the answer is no */
export async function requireQuota(
  { config, req, user }: Exchange,
  repository: string,
  bytes: number,
): Promise<void> {
  if (config.quota === undefined) return;
  const answer = await config.quota({ req, user, repository, bytes });
  if (answer === true) return;
  if (answer !== false) throw new HookError('quota', `quota must answer true or false, got ${show(answer)}`);
  throw new Refusal(413, 'DENIED', `the quota of ${repository} has no room for ${bytes} bytes`);
}

/** Asks as the bytes come. The first are asked about at once, so that nothing at all is stored of what is refused altogether. */
export function metered(exchange: Exchange, repository: string, stored: number): Meter {
  let bytes = stored;
  let askAt = stored;
  return async (more) => {
    bytes += more;
    if (bytes < askAt) return;
    askAt = bytes + STEP_BYTES;
    await requireQuota(exchange, repository, bytes);
  };
}
