// docs/reference/registry.md

import createDebug from 'debug';
import type { Exchange } from './exchange.ts';
import type { RegistryEvent } from './hooks.ts';

const debug = createDebug('cache-filter:registry');

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
