// An origin, and a filter in front of it, each on a port of 127.0.0.1 that it is given: ORIGIN_PORT FILTER_PORT DIRECTORY FILE LOG.
// Each request of the origin is a line in LOG: its method, its path, and its range.
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { cacheFilter } from '../../dist/index.js';

const [originPort, port, directory, file, log] = process.argv.slice(2);
const bytes = readFileSync(file);

createServer((req, res) => {
  appendFileSync(log, `${req.method} ${req.url} ${req.headers.range ?? '-'}\n`);
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = last ? Math.min(Number(last) + 1, bytes.length) : bytes.length;
  res.writeHead(first === undefined ? 200 : 206, {
    ETag: '"one"',
    'Content-Length': end - start,
    ...(first === undefined ? {} : { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` }),
  });
  res.end(req.method === 'HEAD' ? undefined : bytes.subarray(start, end));
}).listen(Number(originPort), '127.0.0.1');

const filter = cacheFilter({
  directory,
  minFreeBytes: 0,
  freshness: 'immutable',
  origin: `http://127.0.0.1:${originPort}`,
});
const server = createServer((req, res) => {
  filter(req, res, (error) => {
    res.statusCode = error?.status ?? 404;
    res.end();
  });
}).listen(Number(port), '127.0.0.1');

process.on('SIGTERM', async () => {
  server.close();
  server.closeAllConnections();
  await filter.close();
  process.exit(0);
});
