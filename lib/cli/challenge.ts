// docs/guides/command-line.md

import type { IncomingMessage } from 'node:http';
import type { Headers } from 'node-fetch';

const challenges = new WeakMap<IncomingMessage, string>();

/** Remembers, for the answer to `req`, how the server that refused it wants callers to identify themselves: a 401 has to say so. */
export function rememberChallenge(req: IncomingMessage, headers: Headers): void {
  const challenge = headers.get('www-authenticate');
  if (challenge !== null) challenges.set(req, challenge);
}

/** The WWW-Authenticate of the answer to `req`. */
export function challengeFor(req: IncomingMessage): string | undefined {
  return challenges.get(req);
}
