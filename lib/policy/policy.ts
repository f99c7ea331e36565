// docs/reference/hooks.md

import type { EntryInfo } from '../cache/cache.ts';
import { HookError, RefusedError } from '../errors.ts';
import { conflicts, type Digest, parseDigest } from '../http/digest.ts';
import type { AnyRequest } from '../http/message.ts';
import type { Reason } from '../reasons.ts';
import { type Steps, wait } from '../steps.ts';
import { ask, extended, type HookContext, type Hooks, type ResponseContext } from './hooks.ts';

/** What is to happen with a request that could be answered from the cache. */
export type Verdict =
  | { do: 'serve'; version?: string }
  /** The application answers. `drop`: after the entry has gone. */
  | { do: 'pass'; reason: Reason; drop?: boolean; version?: string }
  /** The client gets the error's status. `drop`: after the entry has gone. */
  | { do: 'refuse'; reason: Reason; error: RefusedError; drop?: boolean };

/** What is known of what could be served: all of an entry, or of a fill that still runs what its head says. */
export interface Stored {
  size?: number | undefined;
  digests: readonly Digest[];
  entry?: EntryInfo;
}

/** Whether `bypass` asks to step aside. Throws what it threw, or a HookError where it answers neither yes nor no. */
export function* wantsAround(
  bypass: NonNullable<Hooks['bypass']>,
  context: HookContext<AnyRequest>,
  hookTimeoutMs: number,
): Steps<boolean> {
  const answer = yield* wait(ask('bypass', bypass, context, hookTimeoutMs));
  if (typeof answer === 'boolean') return answer;
  throw new HookError('bypass', `bypass answered ${String(answer)}; it may say true or false`);
}

type Gate = Pick<Hooks, 'metadata' | 'authorize' | 'hookTimeoutMs'>;

/**
 * The gate before every answer that the application does not give itself: metadata, then authorisation, each with the caller's request.
 * Throws what a hook threw, or a HookError for an answer that means nothing.
 */
export function* judge(
  { metadata, authorize, hookTimeoutMs }: Gate,
  context: HookContext<AnyRequest>,
  stored: Stored,
): Steps<Verdict> {
  let resource: unknown;
  if (metadata !== undefined) {
    resource = yield* wait(ask('metadata', metadata, context, hookTimeoutMs));
    const verdict = judgeResource(resource, stored);
    if (verdict !== undefined) return verdict;
  }
  const version = versionOf(resource);
  const serve: Verdict = { do: 'serve', ...(version === undefined ? {} : { version }) };
  if (authorize === undefined || authorize === 'anyone') return serve;
  const { entry } = stored;
  const authorizing = extended(context, { resource, ...(entry === undefined ? {} : { entry }) });
  const outcome = yield* wait(ask('authorize', authorize, authorizing, hookTimeoutMs));
  return judgeOutcome(outcome) ?? serve;
}

/**
 * The version that a response to come will have, by `metadata`; undefined where it says none. Throws what the hook threw. The rest of
 * its answer is of no concern: on a miss the application decides.
 */
export async function currentVersion(
  { metadata, hookTimeoutMs }: Pick<Hooks, 'metadata' | 'hookTimeoutMs'>,
  context: HookContext<AnyRequest>,
): Promise<string | undefined> {
  if (metadata === undefined) return undefined;
  return versionOf(await ask('metadata', metadata, context, hookTimeoutMs));
}

/**
 * What `shouldStore` and `digest` say of a response: what its body must hash to, or that it is not to be kept. Rejects with what they
 * threw, or with a HookError for an answer that means nothing.
 */
export async function wanted(
  { shouldStore, digest, hookTimeoutMs }: Pick<Hooks, 'shouldStore' | 'digest' | 'hookTimeoutMs'>,
  context: ResponseContext<AnyRequest>,
): Promise<{ digest?: Digest } | undefined> {
  if (shouldStore !== undefined) {
    const answer = await ask('shouldStore', shouldStore, context, hookTimeoutMs);
    if (answer === false) return undefined;
    if (answer !== true)
      throw new HookError('shouldStore', `shouldStore answered ${String(answer)}; it may say true or false`);
  }
  if (digest === undefined) return {};
  const answer = await ask('digest', digest, context, hookTimeoutMs);
  return answer === undefined || answer === null ? {} : { digest: expectedDigest('digest', answer) };
}

function judgeResource(resource: unknown, stored: Stored): Verdict | undefined {
  if (resource === undefined || resource === null) {
    return { do: 'refuse', reason: 'not-found', error: new RefusedError(404, 'not found') };
  }
  const status = typeof resource === 'string' ? resource : property(resource, 'status');
  if (status === 'deleted') {
    return { do: 'refuse', reason: 'deleted', error: new RefusedError(404, 'deleted'), drop: true };
  }
  if (status === 'deactivated') return { do: 'pass', reason: 'deactivated' };
  if (typeof resource === 'string') {
    throw new HookError(
      'metadata',
      `metadata answered '${resource}'; the words it may say are 'deleted' and 'deactivated'`,
    );
  }
  // `false`, say, from a hook that answers whether there is such a resource: not what it was asked for.
  if (typeof resource !== 'object') {
    throw new HookError(
      'metadata',
      `metadata answered ${String(resource)}; it may say what it knows of the resource, as an object, or undefined`,
    );
  }
  const size = property(resource, 'size');
  if (size !== undefined && size !== null && typeof size !== 'number') {
    throw new HookError(
      'metadata',
      `metadata answered the size ${String(size)}; it must be a number of bytes`,
    );
  }
  const version = versionOf(resource);
  const differs =
    (typeof size === 'number' && stored.size !== undefined && size !== stored.size) ||
    conflicts(expectedDigests(property(resource, 'digests')), stored.digests) !== undefined ||
    // An entry that was stored before the resource had versions is of none of them.
    (version !== undefined && stored.entry !== undefined && stored.entry.version !== version);
  if (!differs) return undefined;
  return { do: 'pass', reason: 'mismatch', drop: true, ...(version === undefined ? {} : { version }) };
}

function versionOf(resource: unknown): string | undefined {
  const version = property(resource, 'version');
  if (version === undefined || version === null) return undefined;
  if (typeof version === 'string' || typeof version === 'number' || typeof version === 'bigint')
    return String(version);
  if (version instanceof Date) return version.toISOString();
  throw new HookError(
    'metadata',
    `metadata answered the version ${String(version)}; it must be a string, a number or a Date`,
  );
}

function property(resource: unknown, name: string): unknown {
  return typeof resource === 'object' && resource !== null
    ? (resource as Record<string, unknown>)[name]
    : undefined;
}

function expectedDigests(value: unknown): Digest[] {
  if (value === undefined || value === null) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map((item) => expectedDigest('metadata', item));
}

function expectedDigest(hook: 'metadata' | 'digest', value: unknown): Digest {
  const digest = typeof value === 'string' ? parseDigest(value) : undefined;
  if (digest !== undefined) return digest;
  throw new HookError(
    hook,
    `${hook} answered the digest ${String(value)}; write 'sha256:<hex>' or 'sha256-<base64>'`,
  );
}

/** What it says other than to serve. */
function judgeOutcome(outcome: unknown): Verdict | undefined {
  switch (outcome) {
    case true:
    case 'serve':
      return undefined;
    case false:
      return { do: 'refuse', reason: 'denied', error: new RefusedError(403, 'forbidden') };
    case 'bypass':
      return { do: 'pass', reason: 'denied' };
    case 'purge':
      return { do: 'pass', reason: 'purge', drop: true };
  }
  const status = property(outcome, 'status');
  if (typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599) {
    return { do: 'refuse', reason: 'denied', error: new RefusedError(status, `refused with ${status}`) };
  }
  throw new HookError(
    'authorize',
    `authorize answered ${String(outcome)}; it may say true, false, 'serve', 'bypass', 'purge' or { status: 400 to 599 }`,
  );
}
