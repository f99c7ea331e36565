import type { AddressInfo } from 'node:net';
import cacheFilterDefault, {
  cacheFilter,
  FileCache,
  getCacheInfo,
  glance,
  type HookContext,
  MemoryCache,
} from 'cache-filter';
import { testCache } from 'cache-filter/contracts';
import express, { type Request } from 'express';

// The default export is the same function, as a type too.
const same: typeof cacheFilter = cacheFilterDefault;
if (
  same !== cacheFilter ||
  [FileCache, MemoryCache, glance, testCache].some((it) => typeof it !== 'function')
) {
  throw new Error('an export is missing');
}

const directory = process.argv[2] ?? 'files';
const filter = cacheFilter({
  directory,
  routes: [{ path: '/files/:id', freshness: 'immutable' }],
  metadata: ({ id, req }: HookContext<Request>) => {
    const asked: [string, string] = [id, req.path];
    // @ts-expect-error the request is Express's, not anything
    req.nobody;
    return asked.length === 2 ? { size: 3, owner: 'x' } : undefined;
  },
  authorize: ({ req, resource }) => {
    // @ts-expect-error the resource is what `metadata` answers, not anything
    resource.nobody;
    // @ts-expect-error nor is the request here
    req.nobody;
    return req.get('x-user') === resource.owner;
  },
});

// @ts-expect-error an option that does not exist
() => cacheFilter({ directory, maxByte: 1 });

const app = express();
app.use((_req, res, next) => {
  res.on('finish', () => {
    if (getCacheInfo(res) === undefined) throw new Error('getCacheInfo knows nothing of the response');
  });
  next();
});
app.use(filter);
app.get('/files/:id', (_req, res) => {
  res.type('application/octet-stream').send('abc');
});

const server = app.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  void filter.close();
});
