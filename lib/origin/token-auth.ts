import { LRUCache } from 'lru-cache';
import { OptionReader, show } from '../checks.ts';
import { OptionError, OriginError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import { fieldValue, fieldValues } from '../http/headers.ts';
import type { Authenticate, AuthenticateFetch, Challenge } from './authenticate.ts';
import { type AuthChallenge, parseChallenges } from './challenges.ts';
import { askForToken, type Token } from './token-request.ts';

export interface TokenAuthOptions {
  /** Whose tokens they are; without one they are asked for by nobody in particular. */
  username?: string;
  password?: string;
  /** Hosts (`auth.example`, `auth.example:8443`) that tokens may be had from, besides the one that asks for them. */
  realms?: readonly string[];
  /** Whether credentials may go over http: to another host, or to the same one that is asked over https:. Default false. */
  insecure?: boolean;
  /** How long a token may take, in milliseconds. Default 10,000. */
  timeoutMs?: number;
}

/** What a place has asked for. */
type Need = { bearer: string } | { basic: true };

/** How many tokens are kept, and of how many places it is known what they ask for. */
const MAX_TOKENS = 1000;
const MAX_PLACES = 10_000;

/**
 * Answers the challenges of registries (`WWW-Authenticate: Bearer realm=…`, and `Basic`). A token is kept until shortly before it expires,
 * and asked for once however many requests wait for it. To be shared by all targets of one registry.
 *
 * @throws OptionError that names `tokenAuth.<name>`
 */
export function tokenAuth(options: TokenAuthOptions = {}): Authenticate {
  const { basic, realms, insecure, timeoutMs, username } = resolve(options);
  const tokens = new LRUCache<string, Token>({ max: MAX_TOKENS });
  const places = new LRUCache<string, Need>({ max: MAX_PLACES });
  const asked = new Map<string, Promise<Token | undefined>>();

  function known(request: { method: string; url: URL }): HeaderPairs | undefined {
    const need = places.get(placeOf(request));
    if (need === undefined) return undefined;
    if ('basic' in need) return basic === undefined ? undefined : authorization(basic);
    const token = tokens.get(need.bearer);
    return token !== undefined && token.until > Date.now()
      ? authorization(`Bearer ${token.value}`)
      : undefined;
  }

  async function authenticate(
    challenge: Challenge,
    fetch: AuthenticateFetch,
  ): Promise<HeaderPairs | undefined> {
    const challenges = parseChallenges(fieldValues(challenge.headers, 'www-authenticate'));
    const bearer = challenges.find(({ scheme, params }) => scheme === 'bearer' && params.has('realm'));
    const refused = challenge.sent === undefined ? undefined : fieldValue(challenge.sent, 'authorization');
    if (bearer !== undefined) return answerBearer(challenge, bearer, refused, fetch);
    if (basic === undefined || refused === basic) return undefined;
    if (!challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
    places.set(placeOf(challenge), { basic: true });
    return authorization(basic);
  }

  async function answerBearer(
    challenge: Challenge,
    { params }: AuthChallenge,
    refused: string | undefined,
    fetch: AuthenticateFetch,
  ): Promise<HeaderPairs | undefined> {
    const realm = realmOf(challenge, params.get('realm') ?? '', realms, insecure);
    const service = params.get('service');
    const scope = params.get('scope') ?? '';
    if (service !== undefined) realm.searchParams.set('service', service);
    for (const each of scope.split(' ')) if (each !== '') realm.searchParams.append('scope', each);
    if (username !== undefined) realm.searchParams.set('account', username);
    const key = realm.href;
    const kept = tokens.get(key);
    if (kept !== undefined && (kept.until <= Date.now() || refused === `Bearer ${kept.value}`))
      tokens.delete(key);
    const token = tokens.get(key) ?? (await shared(key, realm, challenge.signal, fetch));
    if (token === undefined) return undefined;
    places.set(placeOf(challenge), { bearer: key });
    return authorization(`Bearer ${token.value}`);
  }

  /** One request for a token, whoever waits for it; who leaves does not take it from the others. */
  async function shared(
    key: string,
    realm: URL,
    signal: AbortSignal,
    fetch: AuthenticateFetch,
  ): Promise<Token | undefined> {
    const running =
      asked.get(key) ??
      askForToken(realm, basic, timeoutMs, fetch)
        .then((token) => {
          if (token !== undefined) tokens.set(key, token);
          return token;
        })
        .finally(() => asked.delete(key));
    asked.set(key, running);
    return unlessAborted(running, signal);
  }

  return Object.assign(authenticate, { known });
}

/**
 * Where a token is asked for.
 *
 * @throws OriginError `redirect` where credentials are not sent
 */
function realmOf(
  { method, url }: Challenge,
  text: string,
  realms: readonly string[],
  insecure: boolean,
): URL {
  const refuse = (why: string) =>
    new OriginError('redirect', `${method} ${url.host}: the realm of its challenge ${why}`);
  if (!URL.canParse(text)) throw refuse('is no URL');
  const realm = new URL(text);
  realm.hash = '';
  if (realm.protocol !== 'https:' && realm.protocol !== 'http:') throw refuse(`is at ${realm.protocol}`);
  if (realm.username !== '' || realm.password !== '') throw refuse('has user information in it');
  const same = realm.host === url.host;
  if (!same && !realms.includes(realm.host) && !realms.includes(realm.hostname)) {
    throw refuse(`is at ${realm.host}, which is not among the realms that are trusted`);
  }
  const safe = realm.protocol === 'https:' || insecure || (same && url.protocol === 'http:');
  if (!safe) throw refuse(`is at http://${realm.host}, where credentials can be read on their way`);
  return realm;
}

/**
 * What is likely to ask for the same token: reading, or another method, in one repository of a registry (`/v2/<name>/blobs/…`), or else in
 * one folder.
 */
function placeOf({ method, url }: { method: string; url: URL }): string {
  const kind = method === 'GET' || method === 'HEAD' ? 'read' : method;
  const [, repository] = /^(.*)\/(?:blobs|manifests|referrers|tags)\/[^/]+$/.exec(url.pathname) ?? [];
  return `${kind} ${url.origin}${repository ?? url.pathname.replace(/[^/]*$/, '')}`;
}

function authorization(value: string): HeaderPairs {
  return [['Authorization', value]];
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function resolve(options: TokenAuthOptions) {
  const known = { username: true, password: true, realms: true, insecure: true, timeoutMs: true } as const;
  const read = new OptionReader(options, known, 'tokenAuth');
  const { realms = [], username } = options;
  if (username === undefined && options.password !== undefined) {
    throw new OptionError('tokenAuth.password', 'tokenAuth.password needs a username');
  }
  if (read.text('username', '').includes(':')) {
    throw new OptionError('tokenAuth.username', 'tokenAuth.username must be without ":" (RFC 7617)');
  }
  if (
    !Array.isArray(realms) ||
    !realms.every((each) => typeof each === 'string' && /^[^/\s@]+$/.test(each))
  ) {
    throw new OptionError(
      'tokenAuth.realms',
      `tokenAuth.realms must be an array of hosts, got ${show(realms)}`,
    );
  }
  const pair = `${username}:${read.text('password', '')}`;
  return {
    username,
    basic: username === undefined ? undefined : `Basic ${Buffer.from(pair).toString('base64')}`,
    realms: realms.map((each) => each.toLowerCase()),
    insecure: read.flag('insecure', false),
    timeoutMs: read.milliseconds('timeoutMs', 10_000),
  };
}
