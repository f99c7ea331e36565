// docs/reference/hooks.md

import type { IncomingMessage } from 'node:http';
import type { EntryInfo } from '../cache/cache.ts';
import { HookError, RefusedError } from '../errors.ts';
import { conflicts, type Digest, parseDigest } from '../http/digest.ts';
import type { AnyRequest } from '../http/message.ts';
import type { Reason } from '../reasons.ts';

/** What every hook is called with. */
export interface HookContext<Req extends AnyRequest = IncomingMessage> {
  req: Req;
  /** The resource's id, decoded; for a route without one, the path. */
  id: string;
  /** The primary key that the entry is stored under. */
  key: string;
  /** Name of the route that matched. */
  route: string;
  /** Parameters of the route's path, decoded. */
  params: Readonly<Record<string, string>>;
  /** The digest that the path names, where it does. */
  digest?: Digest;
  /** Aborted when the client leaves. */
  signal: AbortSignal;
}

export type AuthorizeContext<Req extends AnyRequest = IncomingMessage, R = unknown> = HookContext<Req> & {
  /** What `metadata` answered. */
  resource: R;
  /** The stored entry; absent while it is still being fetched. */
  entry?: EntryInfo;
};

/**
 * What `metadata` may answer. `undefined`: 404 for this caller, and the entry stays. `'deleted'`: 404, and the entry is purged.
 * `'deactivated'`: the application answers, and the entry stays. An object is handed to `authorize`; of its members the filter
 * looks at `status` (the two words above mean the same there), `size` in bytes and `digests` (`'sha256:<hex>'`): where they
 * disagree with the entry, it is dropped and the request goes on as a miss.
 */
export type MetadataOutcome<R> = R | undefined | 'deleted' | 'deactivated';

/** `true` and `'serve'`: serve. `false`: 403. `'bypass'`: the application answers. `'purge'`: drop the entry, then the application answers. */
export type AuthorizeOutcome = boolean | 'serve' | 'bypass' | 'purge' | { status: number };

export interface Hooks {
  bypass: ((context: HookContext<AnyRequest>) => unknown) | undefined;
  metadata: ((context: HookContext<AnyRequest>) => unknown) | undefined;
  authorize: 'anyone' | ((context: AuthorizeContext<AnyRequest, unknown>) => unknown) | undefined;
}

/** What is to happen with a request that could be answered from the cache. */
export type Verdict =
  | { do: 'serve' }
  /** The application answers. `drop`: after the entry has gone. */
  | { do: 'pass'; reason: Reason; drop?: boolean }
  /** The client gets the error's status. `drop`: after the entry has gone. */
  | { do: 'refuse'; reason: Reason; error: RefusedError; drop?: boolean };

/** Whether `bypass` asks to step aside. Rejects with what it threw, or with a HookError where it answers neither yes nor no. */
export async function wantsAround(
  { bypass }: Pick<Hooks, 'bypass'>,
  context: HookContext<AnyRequest>,
): Promise<boolean> {
  const answer = bypass === undefined ? false : await bypass(context);
  if (typeof answer === 'boolean') return answer;
  throw new HookError('bypass', `bypass answered ${String(answer)}; it may say true or false`);
}

/**
 * The gate before every answer that the application does not give itself: metadata, then authorisation, each with the caller's request.
 * Rejects with what a hook threw, or with a HookError for an answer that means nothing.
 */
export async function judge(
  hooks: Omit<Hooks, 'bypass'>,
  context: HookContext<AnyRequest>,
  stored: { size?: number | undefined; digests: readonly Digest[]; entry?: EntryInfo },
): Promise<Verdict> {
  let resource: unknown;
  if (hooks.metadata !== undefined) {
    resource = await hooks.metadata(context);
    const verdict = judgeResource(resource, stored);
    if (verdict !== undefined) return verdict;
  }
  if (hooks.authorize === undefined || hooks.authorize === 'anyone') return { do: 'serve' };
  const { entry } = stored;
  const outcome = await hooks.authorize({ ...context, resource, ...(entry === undefined ? {} : { entry }) });
  return judgeOutcome(outcome);
}

function judgeResource(
  resource: unknown,
  stored: { size?: number | undefined; digests: readonly Digest[] },
): Verdict | undefined {
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
  if (typeof size === 'number' && stored.size !== undefined && size !== stored.size) {
    return { do: 'pass', reason: 'mismatch', drop: true };
  }
  if (conflicts(expectedDigests(property(resource, 'digests')), stored.digests) !== undefined) {
    return { do: 'pass', reason: 'mismatch', drop: true };
  }
  return undefined;
}

function property(resource: unknown, name: string): unknown {
  return typeof resource === 'object' && resource !== null
    ? (resource as Record<string, unknown>)[name]
    : undefined;
}

function expectedDigests(value: unknown): Digest[] {
  if (value === undefined || value === null) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map((item) => {
    const digest = typeof item === 'string' ? parseDigest(item) : undefined;
    if (digest === undefined) {
      throw new HookError(
        'metadata',
        `metadata answered the digest ${String(item)}; write 'sha256:<hex>' or 'sha256-<base64>'`,
      );
    }
    return digest;
  });
}

function judgeOutcome(outcome: unknown): Verdict {
  switch (outcome) {
    case true:
    case 'serve':
      return { do: 'serve' };
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
