// The filter before a bare node:http handler, without a framework. PORT (default 3000, 0: any free one).
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/reports/2026     Cache-Status: cache-filter; fwd=uri-miss; stored
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/reports/2026     Cache-Status: cache-filter; hit; ttl=59
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/               no Cache-Status: no route of the filter

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheFilter } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/http' } = process.env;

/** Knows nothing of the cache. What it says of its freshness is what the filter goes by. */
async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const [, year] = /^\/reports\/(\d{4})$/.exec(req.url ?? '') ?? [];
  if (year === undefined) {
    res.writeHead(404).end('try /reports/2026\n');
    return;
  }
  await sleep(500); // a long computation
  const report = `The report of ${year}.\n`.repeat(10_000);
  res.writeHead(200, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(report), // proves that the body is whole; without it nothing is stored
    'Cache-Control': 'public, max-age=60',
  });
  res.end(req.method === 'HEAD' ? undefined : report);
}

/** In place of a framework's: what a hook threw, or the refusal of `metadata` or `authorize`. */
function answerError(error: unknown, res: ServerResponse): void {
  const { status = 500, headers = {} } = error as { status?: number; headers?: Record<string, string> };
  if (res.headersSent) res.destroy();
  else res.writeHead(status, headers).end(`${status}\n`);
}

const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 2 ** 30,
  routes: [{ path: '/reports/:year' }],
});

const server = createServer((req, res) => {
  filter(req, res, (error) => {
    if (error !== undefined) answerError(error, res);
    else answer(req, res).catch((failure: unknown) => answerError(failure, res));
  });
});

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/reports/2026`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
