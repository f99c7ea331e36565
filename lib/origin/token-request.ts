import { OriginError } from '../errors.ts';
import type { AuthenticateFetch } from './authenticate.ts';
import type { OriginResponse } from './request.ts';

export interface Token {
  value: string;
  /** By `Date.now()`. */
  until: number;
}

const MAX_BYTES = 64 * 1024;

/** What a token is good for where nothing is said. */
const DEFAULT_SECONDS = 60;

/** A token is not used so shortly before its end, or in the last half of a very short life. */
const MARGIN_MS = 5000;

/**
 * Asks a realm for a token.
 *
 * @param basic what Authorization says there, if anything
 * @returns undefined: it gives us none (4xx)
 * @throws OriginError
 */
export async function askForToken(
  realm: URL,
  basic: string | undefined,
  timeoutMs: number,
  fetch: AuthenticateFetch,
): Promise<Token | undefined> {
  const what = `GET ${realm.host}`;
  const ending = new AbortController();
  const late = () =>
    ending.abort(new OriginError('timeout', `${what}: no token within ${timeoutMs / 1000} s`));
  const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs).unref() : undefined;
  try {
    const answer = await fetch({
      method: 'GET',
      targets: [{ url: realm, headers: basic === undefined ? [] : [['Authorization', basic]] }],
      headers: [['Accept', 'application/json']],
      signal: ending.signal,
    });
    const text = await textOf(answer, what);
    if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) return undefined;
    if (answer.status !== 200) {
      throw new OriginError('unreachable', `${what}: asked for a token, it answered ${answer.status}`);
    }
    return tokenOf(text, what);
  } finally {
    clearTimeout(timer);
  }
}

async function textOf({ body }: OriginResponse, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop destroys the body.
    if (bytes > MAX_BYTES)
      throw new OriginError('broken', `${what}: a token of more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** `{ token, access_token, expires_in }`, of which one of the first two is there. */
function tokenOf(text: string, what: string): Token {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // Told below, without the text: a token may be in it.
  }
  const value = answer?.token ?? answer?.access_token;
  if (typeof value !== 'string' || !/^[\x21-\x7e]{1,16384}$/.test(value)) {
    throw new OriginError('broken', `${what}: asked for a token, it answered without one`);
  }
  const given = answer?.expires_in;
  const seconds = typeof given === 'number' && given > 0 ? given : DEFAULT_SECONDS;
  const life = seconds * 1000;
  return { value, until: Date.now() + life - Math.min(MARGIN_MS, life / 2) };
}
