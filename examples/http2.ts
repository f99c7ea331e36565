// The filter on HTTP/2, with the compatibility API of node:http2. PORT (default 3000, 0: any free one).
//   curl --http2-prior-knowledge -s -D - -o /dev/null http://127.0.0.1:3000/layers/base     cache-status: cache-filter; fwd=uri-miss; stored
//   curl --http2-prior-knowledge -s -D - -o /dev/null http://127.0.0.1:3000/layers/base     cache-status: cache-filter; hit
//
// This is HTTP/2 without TLS, which curl speaks and browsers don't. For browsers write
// createSecureServer({ key, cert }, listener); all else stays the same.

import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheFilter } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/http2' } = process.env;

const layers = new Map([['base', Buffer.alloc(4 * 2 ** 20, 'base ')]]);

/** Answers by `res`, never by `res.stream`: what goes past `res` is not seen by the filter, and not stored. */
async function answer(req: Http2ServerRequest, res: Http2ServerResponse): Promise<void> {
  const layer = layers.get(req.url.replace('/layers/', ''));
  if (layer === undefined) {
    res.writeHead(404).end('try /layers/base\n');
    return;
  }
  await sleep(500); // far away
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': layer.length });
  if (req.method === 'HEAD') res.end();
  else res.end(layer);
}

function answerError(error: unknown, res: Http2ServerResponse): void {
  const { status = 500, headers = {} } = error as { status?: number; headers?: Record<string, string> };
  // Cut off rather than ended: a part must not look like the whole.
  if (res.headersSent) res.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else res.writeHead(status, headers).end(`${status}\n`);
}

const filter = cacheFilter<Http2ServerRequest>({
  directory: CACHE_DIRECTORY,
  maxBytes: 2 ** 30,
  routes: [{ path: '/layers/:name', freshness: 'immutable' }],
});

const server = createServer((req, res) => {
  filter(req, res, (error) => {
    if (error !== undefined) answerError(error, res);
    else answer(req, res).catch((failure: unknown) => answerError(failure, res));
  });
});

/** An HTTP/2 server waits for its sessions, and a client may keep one open for ever. */
const sessions = new Set<Http2Session>();
server.on('session', (session) => {
  sessions.add(session);
  session.once('close', () => sessions.delete(session));
});

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/layers/base`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    for (const session of sessions) session.close();
    await filter.close();
  });
}
