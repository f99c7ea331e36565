// docs/reference/registry.md

import type { IncomingMessage } from 'node:http';
import type { AnyRequest } from '../http/message.ts';

/** `ping` is `GET /v2/`, with which clients find out whether they need credentials; it and `catalog` are about no repository. */
export type Action = 'ping' | 'pull' | 'push' | 'delete' | 'catalog';

/** What `authorize` is asked about. The names are well-formed. */
export interface AuthorizeContext<Req extends AnyRequest = IncomingMessage, User = unknown> {
  req: Req;
  /** What `authenticate` said, or `req.user`; undefined: nobody in particular. */
  user: User | undefined;
  action: Action;
  /** `''` for `ping` and `catalog`. */
  repository: string;
  /** Of the blob or manifest that is asked for by it. */
  digest?: string;
  /** The tag that is asked for. */
  reference?: string;
  /** The blob is to be mounted from this repository; whether it may be pulled from there is asked as well. */
  from?: string;
}

/**
 * `true`: go on. `false`: 401 with a challenge where nobody in particular asks, else 403. `'challenge'`: 401 in any case. `'hide'`: 404, as if
 * there were no such repository.
 */
export type Authorization = boolean | 'challenge' | 'hide';

/** What is asked, but for who asks. */
export type Question = Omit<AuthorizeContext, 'req' | 'user'>;

export interface ChallengeContext<Req extends AnyRequest = IncomingMessage> {
  req: Req;
  action: Action;
  /** `''` for `ping` and `catalog`. */
  repository: string;
}

/** What has happened, as `onEvent` is told of it. */
export interface RegistryEvent<Req extends AnyRequest = IncomingMessage, User = unknown> {
  req: Req;
  user: User | undefined;
  action: 'push' | 'mount' | 'pull' | 'delete';
  what: 'blob' | 'manifest';
  repository: string;
  /** Absent where a tag was deleted. */
  digest?: string;
  /** By which it was pushed, pulled or deleted. */
  tag?: string;
  /** Of the blob or manifest that was pushed; of a pull, those that were sent. */
  bytes?: number;
}

/** What `quota` is asked about. */
export interface QuotaContext<Req extends AnyRequest = IncomingMessage, User = unknown> {
  req: Req;
  user: User | undefined;
  repository: string;
  /** That the blob has, or would have, with what is declared; where nothing is, with what has come so far. */
  bytes: number;
}
