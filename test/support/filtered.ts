import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { type CacheFilter, type CacheFilterOptions, cacheFilter, MemoryCache } from '../../lib/index.ts';
import { type Answer, type Ask, ask } from './client.ts';
import { deferred } from './deferred.ts';
import { type Handler, type Kind, serve, type TestServer } from './servers.ts';

export interface Filtered {
  filter: CacheFilter;
  server: TestServer;
  /** How often the application was asked. */
  calls(): number;
  get(path?: string, headers?: Record<string, string>, more?: Ask): Promise<Answer>;
}

export const BODY: Buffer = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz');

/** A filter before an application, in a server of its own; all of it ends with the test. */
export async function filtered(
  t: TestContext,
  options: Partial<CacheFilterOptions> = {},
  app: (req: IncomingMessage, res: ServerResponse) => unknown = respond,
  kind: Kind = 'http',
): Promise<Filtered> {
  let calls = 0;
  const where =
    options.directory === undefined && options.cache === undefined ? { cache: new MemoryCache() } : {};
  const filter = cacheFilter({ freshness: 'immutable', ...where, ...options } as CacheFilterOptions);
  const server = await serve(kind, [
    filter as Handler,
    (req, res) => {
      calls++;
      return app(req, res);
    },
  ]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  return {
    filter,
    server,
    calls: () => calls,
    get: (path = '/', headers = {}, more = {}) => ask(server, { path, headers, ...more }),
  };
}

export function respond(req: IncomingMessage, res: ServerResponse): void {
  if (req.method === 'DELETE') {
    res.writeHead(204).end();
    return;
  }
  res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': BODY.length });
  res.end(req.method === 'HEAD' ? undefined : BODY);
}

/** What the filter said that it did. */
export function said({ headers }: Answer): string {
  return String(headers['cache-status']).replace('cache-filter; ', '');
}

/** Something that one side waits for and the other brings about. */
export function barrier<T = void>(): { reached: Promise<T>; reach: (value: T) => void } {
  const { promise, resolve } = deferred<T>();
  return { reached: promise, reach: resolve };
}
