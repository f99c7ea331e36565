// docs/reference/hooks.md

import type { IncomingMessage } from 'node:http';
import type { EntryInfo } from '../cache/cache.ts';
import { HookError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import type { Digest } from '../http/digest.ts';
import type { AnyRequest } from '../http/message.ts';
import { isPromise } from '../steps.ts';

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

/** What a function given as `origin` is called with. */
export type OriginContext<Req extends AnyRequest = IncomingMessage> = HookContext<Req> & {
  method: string;
  /** Path and query below the mount point, as they were asked for. */
  path: string;
  /** What the origin would be told of the request; names in lower case. */
  headers: Readonly<Record<string, string>>;
};

/** What `authorize` is called with. */
export type AuthorizeContext<Req extends AnyRequest = IncomingMessage, R = unknown> = HookContext<Req> & {
  /** What `metadata` answered. */
  resource: R;
  /** The stored entry; absent while it is still being fetched. */
  entry?: EntryInfo;
};

/** What a hook has fetched: all of it, raw. Names of headers in lower case. */
export interface OriginFetched {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: Buffer;
}

/**
 * Asks the origin for something small, as the filter would: path and query below the mount point. Rejects with OriginError where there is
 * no answer, or one of more than `maxBytes` (default 16 MiB).
 */
export type OriginFetch = (
  path: string,
  options?: { headers?: Readonly<Record<string, string>>; maxBytes?: number },
) => Promise<OriginFetched>;

/** What `shouldStore` and `digest` are called with: the response's head is known, its body is not. */
export type ResponseContext<Req extends AnyRequest = IncomingMessage> = HookContext<Req> & {
  head: {
    status: number;
    /** What the handler has set. */
    headers: HeaderPairs;
    /** Bytes of the body, where they are declared. */
    length?: number;
  };
  /** With an origin. */
  fetch?: OriginFetch;
};

/** What `rewrite` of a route is called with. */
export type RewriteContext<Req extends AnyRequest = IncomingMessage> = HookContext<Req> & {
  head: { status: number; headers: HeaderPairs };
  fetch: OriginFetch;
};

/** What `onServed` is told of an answer that the filter gave. */
export type ServedContext<Req extends AnyRequest = IncomingMessage> = HookContext<Req> & {
  /** From a stored entry; from a fill that this request began; from one that another began; from the origin, and not kept. */
  source: 'hit' | 'fill' | 'collapsed' | 'origin';
  status: number;
  /** Bytes of the body that were handed to the connection. */
  bytes: number;
  /** Bytes of the whole body, where they are known. */
  size?: number;
  /** The client was given all that it asked for. */
  complete: boolean;
};

/** What `clientAbort` is called with, when the last client of a fill has left. The request is the one that the handler answers. */
export type AbandonedContext<Req extends AnyRequest = IncomingMessage> = HookContext<Req> & {
  /** Of the body that the handler has written so far. */
  bytes: number;
  /** Its declared length, where it has one. */
  size?: number;
};

/**
 * What `metadata` may answer. `undefined`: 404 for this caller, and the entry stays. `'deleted'`: 404, and the entry is purged.
 * `'deactivated'`: the application answers, and the entry stays. An object is handed to `authorize`; of its members the filter
 * looks at `status` (the two words above mean the same there), `size` in bytes, `digests` (`'sha256:<hex>'`) and `version` (a string,
 * a number or a Date): where they disagree with the entry, it is dropped and the request goes on as a miss.
 */
export type MetadataOutcome<R> = R | undefined | 'deleted' | 'deactivated';

/** `true` and `'serve'`: serve. `false`: 403. `'bypass'`: the application answers. `'purge'`: drop the entry, then the application answers. */
export type AuthorizeOutcome = boolean | 'serve' | 'bypass' | 'purge' | { status: number };

type Hook<Context> = ((context: Context) => unknown) | undefined;

/** The application's part of the policy. What they answer is checked where it is used. */
export interface Hooks {
  bypass: Hook<HookContext<AnyRequest>>;
  metadata: Hook<HookContext<AnyRequest>>;
  authorize: 'anyone' | Hook<AuthorizeContext<AnyRequest, unknown>>;
  shouldStore: Hook<ResponseContext<AnyRequest>>;
  digest: Hook<ResponseContext<AnyRequest>>;
  onServed: Hook<ServedContext<AnyRequest>>;
  /** How long one may take, in milliseconds. */
  hookTimeoutMs: number;
}

/** The context with more in it. Its signal is still made only for who asks for it. */
export function extended<More extends object>(
  context: HookContext<AnyRequest>,
  more: More,
): HookContext<AnyRequest> & More {
  const { req, id, key, route, params, digest } = context;
  const same = {
    req,
    id,
    key,
    route,
    params,
    get signal() {
      return context.signal;
    },
    ...(digest === undefined ? {} : { digest }),
  };
  return Object.assign(same, more);
}

/**
 * What a hook answers, as soon as it does. Throws, or rejects, with what the hook threw.
 * @throws HookError (as a rejection) where it takes too long
 */
export function ask<Context>(
  name: Exclude<keyof Hooks, 'hookTimeoutMs'> | 'clientAbort' | 'origin' | 'rewrite',
  hook: (context: Context) => unknown,
  context: Context,
  timeoutMs: number,
): unknown {
  const answer = hook(context);
  if (!isPromise(answer)) return answer;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        reject(
          new HookError(name, `${name} did not answer within ${timeoutMs} ms (hookTimeoutMs)`, {
            status: 503,
          }),
        ),
      timeoutMs,
    );
    const settled =
      <T>(settle: (value: T) => void) =>
      (value: T): void => {
        clearTimeout(timer);
        settle(value);
      };
    answer.then(settled(resolve), settled(reject));
  });
}
