// Model weights from an origin: only the parts that are asked for are fetched, or all of it ahead of time. PORT (default 3000, 0: any free one).
//   curl -s -D - -o /dev/null -r 0-99 http://127.0.0.1:3000/models/small/weights.bin    206, fwd=uri-miss; 1 MiB of 8 was fetched
//   curl -s -X POST http://127.0.0.1:3000/warm/models/small/weights.bin                 8388608 bytes: all of it is here now
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/models/small/weights.bin            Cache-Status: cache-filter; hit
// ORIGIN names the server that has the models; without it, a small one in this process has one.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type ErrorRequestHandler } from 'express';
import { cacheFilter } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/model-files' } = process.env;

const weights = express().get('/models/small/weights.bin', (req, res) => {
  console.log(`the origin is asked for ${req.get('range') ?? 'all'}`);
  res
    .set('ETag', '"v1"')
    .type('bin')
    .send(Buffer.alloc(8 * 2 ** 20, 'weights ')); // answers ranges, too
});
const own = createServer(weights);
await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
const { ORIGIN = `http://127.0.0.1:${(own.address() as AddressInfo).port}` } = process.env;
const routes = [{ path: '/models/*path', freshness: 'immutable' as const }];
const filter = cacheFilter({ directory: CACHE_DIRECTORY, maxBytes: 50 * 2 ** 30, origin: ORIGIN, routes });
const failed: ErrorRequestHandler = (error, _req, res, _next) => void res.sendStatus(error.status ?? 500);
const app = express().use(filter);
app.post('/warm/*path', async (req, res) => {
  const { size } = await filter.prefetch({ path: req.path.slice('/warm'.length) });
  res.send(`${size} bytes\n`);
});
const server = app.use(failed).listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/models/small/weights.bin`);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    for (const each of [server, own]) each.close().closeAllConnections();
    await filter.close();
  });
}
