// A mirror of an npm registry: packages are fetched once, checked, and kept. UPSTREAM is the registry, PORT (default 4873, 0: any free one).
//   UPSTREAM=$(npm config get registry) node --import tsx examples/npm-mirror.ts
//   npm install --registry http://127.0.0.1:4873 express
//   curl -s -D - -o /dev/null http://127.0.0.1:4873/ms/-/ms-2.1.3.tgz     Cache-Status: cache-filter; fwd=uri-miss; stored, then hit

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cacheFilter, npm } from '../lib/index.ts';

const { PORT = '4873', UPSTREAM = '', CACHE_DIRECTORY = './.cache/npm' } = process.env;

const server = createServer();
server.listen(Number(PORT), '127.0.0.1', () => {
  const publicUrl = process.env['PUBLIC_URL'] ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const filter = cacheFilter({
    directory: CACHE_DIRECTORY,
    maxBytes: 50 * 2 ** 30,
    ...npm({ upstream: UPSTREAM, publicUrl }),
  });
  server.on('request', (req, res) => {
    filter(req, res, (error) => {
      const { status = error === undefined ? 404 : 500 } = Object(error) as { status?: number };
      if (res.headersSent) res.destroy();
      else res.writeHead(status).end(`${status}\n`);
    });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      server.close();
      server.closeAllConnections();
      await filter.close();
    });
  }
  console.log(`${publicUrl}/`);
});
