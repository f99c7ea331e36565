// A route that streams objects out of an S3-like store, and the filter before it. PORT (default 3000, 0: any free one).
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/objects/models/small.bin     Cache-Status: cache-filter; fwd=uri-miss; stored
//   curl -s -D - -o /dev/null http://127.0.0.1:3000/objects/models/small.bin     Cache-Status: cache-filter; hit; ttl=3599
//   curl -s -D - -o /dev/null -r 0-99 http://127.0.0.1:3000/objects/models/small.bin     206, from the cache
//   curl -s -D - http://127.0.0.1:3000/objects/none                              404, the store's own answer, not stored
//
// The store here is a small one in this process, so that this runs anywhere. For a real one set STORE to the address of the bucket, and
// sign the requests: `headers` below is the place for it. With an S3 client library, pipe its body and copy the same headers.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import express from 'express';
import fetch, { Headers } from 'node-fetch';
import { cacheFilter } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/s3-proxy' } = process.env;

/** In place of S3. */
const objects = new Map([['models/small.bin', Buffer.alloc(2 ** 20, 'weights ')]]);
const store = createServer((req, res) => {
  const object = objects.get(decodeURIComponent(req.url ?? '').slice('/bucket/'.length));
  if (object === undefined) return void res.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>');
  const etag = `"${createHash('md5').update(object).digest('hex')}"`;
  if (req.headers['if-none-match'] === etag) return void res.writeHead(304, { ETag: etag }).end();
  res.writeHead(200, {
    ETag: etag,
    'Content-Type': 'application/octet-stream',
    'Content-Length': object.length,
  });
  return void res.end(req.method === 'HEAD' ? undefined : object);
});
await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
const { STORE = `http://127.0.0.1:${(store.address() as AddressInfo).port}/bucket` } = process.env;

/** What the store needs to know of the client's request. While the filter fills, it holds back `Range`, and cuts the part itself. */
const ASKED = ['range', 'if-range', 'if-none-match', 'if-modified-since'];
/** What the client needs to know of the object. Content-Length proves that the body is whole; without it nothing is stored. */
const TOLD = ['Content-Type', 'Content-Length', 'Content-Range', 'Content-Encoding', 'ETag', 'Last-Modified'];

const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 50 * 2 ** 30,
  routes: [{ path: '/objects/*key', freshness: { ttlMs: 3_600_000 } }],
});

const app = express();
app.use(filter);
app.get('/objects/*key', async (req, res) => {
  // A URL takes these for steps upwards, out of the bucket.
  if (req.params.key.some((part) => part === '.' || part === '..')) return void res.sendStatus(400);
  const key = req.params.key.map(encodeURIComponent).join('/');
  const headers = new Headers();
  for (const name of ASKED) {
    const value = req.get(name);
    if (value !== undefined) headers.set(name, value);
  }
  // The bytes as they are: unpacked ones would not fit Content-Length and ETag.
  const answer = await fetch(`${STORE}/${key}`, { method: req.method, headers, compress: false });
  res.status(answer.status);
  for (const name of TOLD) {
    const value = answer.headers.get(name);
    if (value !== null) res.setHeader(name, value);
  }
  if (answer.body === null) return void res.end();
  // When the store breaks off, `res` is destroyed: the client sees it, and nothing is stored.
  await pipeline(answer.body, res).catch((error: Error) => console.error(`${key}: ${error.message}`));
});

const server = app.listen(Number(PORT), '127.0.0.1', (error?: Error) => {
  if (error !== undefined) throw error;
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/objects/models/small.bin`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
    store.close();
    store.closeAllConnections();
  });
}
