// docs/reference/registry.md

import { show } from '../checks.ts';
import { HookError } from '../errors.ts';
import type { AnyRequest } from '../http/message.ts';
import { Refusal } from './answers.ts';
import type { Authorization, Question } from './hooks.ts';
import type { RegistryConfig } from './options.ts';

interface Asking {
  req: AnyRequest;
  user: unknown;
  config: RegistryConfig;
}

/**
 * Who asks.
 * @param about for the challenge
 * @throws Refusal for wrong credentials
 */
export async function identify(
  config: RegistryConfig,
  req: AnyRequest,
  about: Pick<Question, 'action' | 'repository'>,
): Promise<unknown> {
  if (config.authenticate === undefined) return (req as { user?: unknown }).user ?? undefined;
  const user = await config.authenticate(req);
  if (user === false)
    throw unauthorized({ req, user: undefined, config }, about, 'the credentials are not right');
  return user ?? undefined;
}

/** @throws Refusal where the answer is no, HookError where it means nothing */
export async function permit(asking: Asking, question: Question): Promise<void> {
  const answer = await ask(asking, question);
  switch (answer) {
    case true:
      return;
    case 'hide':
      throw new Refusal(404, 'NAME_UNKNOWN', 'there is no such repository');
    case 'challenge':
      throw unauthorized(asking, question, 'credentials are required');
    case false:
      if (!hasCredentials(asking)) throw unauthorized(asking, question, 'credentials are required');
      throw new Refusal(403, 'DENIED', `not allowed: ${question.action}`);
  }
}

/** The same, as an answer. */
export async function mayDo(asking: Asking, question: Question): Promise<boolean> {
  return (await ask(asking, question)) === true;
}

/** Where nobody was asked to look at them, a request that brings some may have right ones. */
function hasCredentials({ user, config, req }: Asking): boolean {
  if (user !== undefined) return true;
  return config.authenticate === undefined && req.headers.authorization !== undefined;
}

async function ask({ req, user, config }: Asking, question: Question): Promise<Authorization> {
  const { authorize } = config;
  if (authorize === 'anyone') return true;
  if (authorize === undefined) return false;
  const answer = await authorize({ req, user, ...question });
  if (typeof answer === 'boolean' || answer === 'challenge' || answer === 'hide') return answer;
  throw new HookError(
    'authorize',
    `authorize must answer true, false, 'challenge' or 'hide', got ${show(answer)}`,
  );
}

function unauthorized(
  { req, config }: Asking,
  { action, repository }: Pick<Question, 'action' | 'repository'>,
  message: string,
): Refusal {
  const { challenge } = config;
  const text = typeof challenge === 'string' ? challenge : challenge({ req, action, repository });
  return new Refusal(401, 'UNAUTHORIZED', message, { headers: { 'WWW-Authenticate': text } });
}
