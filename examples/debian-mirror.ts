// A mirror of a Debian archive: packages are fetched once, and kept. UPSTREAM is the archive, PORT (default 3142, 0: any free one).
//   UPSTREAM=http://deb.debian.org/debian node --import tsx examples/debian-mirror.ts
//   curl -s -D - -o /dev/null http://127.0.0.1:3142/dists/stable/InRelease     Cache-Status: cache-filter; fwd=uri-miss; stored, then hit
//   and in sources.list: deb http://127.0.0.1:3142 stable main

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cacheFilter, debian } from '../lib/index.ts';

const { PORT = '3142', UPSTREAM = '', INDEXES = '', CACHE_DIRECTORY = './.cache/debian' } = process.env;

const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 50 * 2 ** 30,
  ...debian({ upstream: UPSTREAM, indexes: INDEXES.split(' ').filter((path) => path !== '') }),
});

const server = createServer((req, res) => {
  filter(req, res, (error) => {
    const { status = error === undefined ? 404 : 500 } = Object(error) as { status?: number };
    if (res.headersSent) res.destroy();
    else res.writeHead(status).end(`${status}\n`);
  });
});
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
