// The filter without a disk: for tests, and for small applications with small files. PORT (default 3000, 0: any free one).
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/icons/sun     Cache-Status: cache-filter; fwd=uri-miss; stored
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/icons/sun     Cache-Status: cache-filter; hit
//   curl -s http://127.0.0.1:3000/stats                           {"entries":1,...}
// Each request is logged with what the filter did. A miss and the hit after it need no pause between them: an entry is there before the
// last byte of its first answer leaves. All of it is gone with the process.

import type { AddressInfo } from 'node:net';
import express from 'express';
import { cacheFilter, getCacheInfo, MemoryCache } from '../lib/index.ts';

const { PORT = '3000' } = process.env;

const cache = new MemoryCache({ maxBytes: 8 * 2 ** 20, maxEntryBytes: 2 ** 20 });
const filter = cacheFilter({ cache, routes: [{ path: '/icons/:name', freshness: 'immutable' }] });

const app = express();
app.use((req, res, next) => {
  res.once('finish', () => {
    const { status, reason } = getCacheInfo(res) ?? { status: 'no route' };
    console.log(req.method, req.originalUrl, res.statusCode, status, reason ?? '');
  });
  next();
});
app.use(filter);
app.get('/icons/:name', (req, res) => {
  if (req.params.name === 'sun')
    res.type('svg').send('<svg viewBox="0 0 9 9"><circle r="4"/></svg>'.repeat(1000));
  else res.status(404).send('try /icons/sun\n');
});
app.get('/stats', async (_req, res) => {
  await filter.idle(); // no fill runs any more: the numbers stand still
  res.json(await filter.stats());
});

const server = app.listen(Number(PORT), '127.0.0.1', (error?: Error) => {
  if (error !== undefined) throw error;
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/icons/sun`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
    await cache.close(); // the filter closes only a cache of its own
  });
}
