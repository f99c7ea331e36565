// docs/reference/registry.md

import type { IncomingMessage } from 'node:http';
import createDebug from 'debug';
import type { AnyRequest } from '../http/message.ts';
import type { Exchange } from './exchange.ts';

const debug = createDebug('cache-filter:registry');

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

export function notify({ config, req, user }: Exchange, event: Omit<RegistryEvent, 'req' | 'user'>): void {
  const { onEvent } = config;
  if (onEvent === undefined) return;
  const failed = (error: unknown): void => debug('onEvent failed: %o', error);
  try {
    void Promise.resolve(onEvent({ req, user, ...event })).catch(failed);
  } catch (error) {
    failed(error);
  }
}
