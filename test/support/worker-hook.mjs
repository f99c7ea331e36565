/**
 * On Node 20, tsx reaches only the main thread: this gives worker threads the same loader, so that a worker
 * written in TypeScript starts from the source.
 */
import * as nodeModule from 'node:module';
import { isMainThread } from 'node:worker_threads';

if (!isMainThread && nodeModule.registerHooks === undefined) {
  const { register } = await import('tsx/esm/api');
  register();
}
