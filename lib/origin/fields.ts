import type { HeaderPairs } from '../http/body.ts';
import { fieldValue, listMembers } from '../http/headers.ts';

/** Fields about one connection (RFC 9110 7.6.1), lower-case; besides those that Connection names. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Fields of a request that the next one gets from us. */
const OURS: ReadonlySet<string> = new Set(['host', 'expect']);

/** Names of fields that say who asks. Where in doubt, a field is one: it is only left out on the way to a host that it was not meant for. */
const CREDENTIAL = /auth|cookie|token|api-?key|secret|passw|session|credential|signature|jfrog-art-api/i;

/** Without the fields about the connection. Those of a proxy (Proxy-…) are among them. */
export function endToEnd(headers: HeaderPairs): HeaderPairs {
  const named = new Set(
    listMembers(fieldValue(headers, 'connection') ?? '').map((name) => name.toLowerCase()),
  );
  return headers.filter(([name]) => {
    const key = name.toLowerCase();
    return !(HOP_BY_HOP.has(key) || key.startsWith('proxy-') || named.has(key));
  });
}

/** Pairs out of what Node has as `rawHeaders`. */
export function pairsOf(raw: readonly string[]): HeaderPairs {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i] ?? '', raw[2 * i + 1] ?? ''] as const);
}

/** The fields of `ours`, and those of `headers` that have other names. */
export function overlaid(headers: HeaderPairs, ours: HeaderPairs): HeaderPairs {
  const names = new Set(ours.map(([name]) => name.toLowerCase()));
  return [...headers.filter(([name]) => !names.has(name.toLowerCase())), ...ours];
}

/** What may be sent to a host that a redirect leads to. */
export function withoutCredentials(headers: HeaderPairs): HeaderPairs {
  return headers.filter(([name]) => !CREDENTIAL.test(name));
}

/** The fields of a request as they are sent: end to end, and with ours where it says nothing. */
export function sentFields(headers: HeaderPairs, body: boolean): HeaderPairs {
  const sent = endToEnd(headers).filter(([name]) => {
    const key = name.toLowerCase();
    return !OURS.has(key) && (body || key !== 'content-length');
  });
  const has = (name: string) => sent.some(([each]) => each.toLowerCase() === name);
  // node-fetch would say that it is node-fetch.
  if (!has('user-agent')) sent.push(['User-Agent', 'cache-filter']);
  if (!has('accept-encoding')) sent.push(['Accept-Encoding', 'identity']);
  // Said aloud: with some methods Node would send the body unframed, and the origin would take it for the next request.
  if (body && !has('content-length')) sent.push(['Transfer-Encoding', 'chunked']);
  return sent;
}
