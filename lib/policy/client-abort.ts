// docs/reference/hooks.md

import { HookError } from '../errors.ts';
import type { AnyRequest } from '../http/message.ts';
import { type AbandonedContext, ask, extended, type HookContext } from './hooks.ts';

/**
 * What becomes of a fill when the last of its clients has left.
 * `'finish'`: it goes on to its end. `'discard'`: it is given up. `{ finishFrom }`: it goes on where this part of its declared length
 * (0 to 1) has come. A function says true to go on.
 */
export type ClientAbort<Req extends AnyRequest = AnyRequest> =
  | 'finish'
  | 'discard'
  | { finishFrom: number }
  | ((context: AbandonedContext<Req>) => boolean | Promise<boolean>);

/** What is wrong with a value given as such; undefined when nothing is. */
export function clientAbortProblem(value: unknown): string | undefined {
  if (value === 'finish' || value === 'discard' || typeof value === 'function') return undefined;
  if (typeof value === 'object' && value !== null) {
    const { finishFrom, ...rest } = value as { finishFrom?: unknown };
    const isPart = typeof finishFrom === 'number' && finishFrom >= 0 && finishFrom <= 1;
    if (isPart && Object.keys(rest).length === 0) return undefined;
  }
  return "must be 'finish', 'discard', { finishFrom: a number from 0 to 1 } or a function";
}

/**
 * Whether to go on though nobody is left. Rejects with what a function threw.
 * @throws HookError (as a rejection) where it answers neither yes nor no
 */
export async function goesOn(
  { clientAbort, hookTimeoutMs }: { clientAbort: ClientAbort; hookTimeoutMs: number },
  context: HookContext<AnyRequest>,
  came: { bytes: number; size?: number },
): Promise<boolean> {
  if (typeof clientAbort === 'function') {
    const answer = await ask('clientAbort', clientAbort, extended(context, came), hookTimeoutMs);
    if (typeof answer === 'boolean') return answer;
    throw new HookError('clientAbort', `clientAbort answered ${String(answer)}; it may say true or false`);
  }
  if (typeof clientAbort === 'string') return clientAbort === 'finish';
  const { bytes, size } = came;
  // Of an unknown length nobody knows what part it is; of none at all there is nothing to finish.
  const part = size === undefined ? 0 : size === 0 ? 1 : bytes / size;
  return part >= clientAbort.finishFrom;
}
