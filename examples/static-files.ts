// The filter before express.static, for files that lie on a slow disk. PORT (default 3000, 0: any free one); FILES: the folder.
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/quickstart.md     Cache-Status: cache-filter; fwd=uri-miss; stored
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/quickstart.md     Cache-Status: cache-filter; hit; ttl=599
//
// When it pays: the folder is a network mount (NFS, SMB, an object store behind FUSE), a disk that many read at once, or an archive that
// wakes up slowly, and the cache's directory is on a fast local disk. Each file is then read once, however many ask for it at the same time.
//
// When it does not: the folder is on a local disk. The operating system keeps what is read often in memory already, and express.static
// reads it from there. The filter would write each file a second time, hash it, and take twice the room, for nothing.
//
// And what it costs in any case: a file that is changed, or deleted, in the folder goes on being served as it was until it is no longer
// fresh (here ten minutes) or `filter.purge({ url: '/quickstart.md' })` is called.

import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { cacheFilter } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/static-files' } = process.env;
const { FILES = fileURLToPath(new URL('../docs', import.meta.url)) } = process.env;

const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 10 * 2 ** 30,
  minEntryBytes: 512, // small files are not worth a file of their own
});

const app = express();
app.use(filter);
app.use((_req, _res, next) => void setTimeout(next, 300)); // in place of a slow disk; leave it out
app.use(express.static(FILES, { maxAge: '10m' })); // Cache-Control: browsers and the filter go by it

const server = app.listen(Number(PORT), '127.0.0.1', (error?: Error) => {
  if (error !== undefined) throw error;
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/quickstart.md`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
