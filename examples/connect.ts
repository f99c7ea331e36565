// The filter in Connect, before a handler that serves a folder. PORT (default 3000, 0: any free one).
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/files/quickstart.md     Cache-Status: cache-filter; fwd=uri-miss; stored
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/files/quickstart.md     Cache-Status: cache-filter; hit; ttl=59
//   curl -s -D - -r 0-99 http://127.0.0.1:3000/files/quickstart.md          206, the first hundred bytes, from the cache

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import connect, { type NextHandleFunction } from 'connect';
import { cacheFilter } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/connect' } = process.env;

/** Serves the files of one folder, as serve-static does, and knows nothing of the cache. */
function serveFolder(folder: string): NextHandleFunction {
  return async (req, res, next) => {
    // A plain name, so that no path leads out of the folder.
    const [, name] = /^\/(\w[\w.-]*)$/.exec(req.url ?? '') ?? [];
    if (name === undefined || (req.method !== 'GET' && req.method !== 'HEAD')) return next();
    try {
      const path = join(folder, name);
      const file = await stat(path);
      if (!file.isFile()) return next();
      res.setHeader('Content-Type', 'application/octet-stream');
      res.setHeader('Content-Length', file.size);
      res.setHeader('Last-Modified', file.mtime.toUTCString());
      if (req.method === 'HEAD') res.end();
      else await pipeline(createReadStream(path), res);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') next();
      else next(error);
    }
  };
}

const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 2 ** 30,
  routes: [{ path: '/files/:name', freshness: { ttlMs: 60_000 } }],
});

const app = connect();
app.use(filter);
app.use('/files', serveFolder(fileURLToPath(new URL('../docs', import.meta.url))));

const server = createServer(app);
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/files/quickstart.md`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
