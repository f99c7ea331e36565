// docs/guides/command-line.md

import type { AuthorizeContext, AuthorizeOutcome } from '../policy/hooks.ts';
import { rememberChallenge } from './challenge.ts';
import { questionHeaders } from './forwarding.ts';
import { HttpError } from './http-error.ts';
import type { Upstream } from './upstream.ts';

/** Where the answer's body is of no use: enough to end most of them cleanly, which keeps the connection. */
const SKIMMED_BYTES = 64 * 1024;

/**
 * Asks a server of the operator's whether a caller may have an entry: a GET with the caller's headers, and with what was asked for
 * in X-Original-Method and X-Original-URI. 2xx: yes. 401, 403, 404: no, with that status.
 *
 * @returns a hook for `authorize`; it throws HttpError for every other answer, and for none
 */
export function authorizeByUrl(
  server: Upstream,
): (context: Pick<AuthorizeContext, 'req' | 'signal'>) => Promise<AuthorizeOutcome> {
  return async function authorize({ req, signal }) {
    const headers = questionHeaders(req).filter(
      ([name]) => name !== 'x-original-uri' && name !== 'x-original-method',
    );
    headers.push(['x-original-method', req.method ?? 'GET'], ['x-original-uri', req.url ?? '/']);
    const { status, headers: answered } = await server.ask(
      undefined,
      { method: 'GET', headers, signal },
      SKIMMED_BYTES,
    );
    if (status >= 200 && status <= 299) return true;
    if (status === 401) rememberChallenge(req, answered);
    if (status === 401 || status === 403 || status === 404) return { status };
    throw new HttpError(502, `the authorising server answered ${status}`);
  };
}
