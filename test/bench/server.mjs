/**
 * One server of the comparison, in a process of its own: `fork('server.mjs', [JSON.stringify(config)])`. Says its port, then
 * answers what it is asked by messages: `usage`, `purge`. It ends when its parent is gone.
 *
 * Plain JavaScript, so that no loader stands between the servers and Node: what tsx makes of a closure costs more than some of the
 * differences that are measured.
 *
 * @typedef {{ url: string, path: string, size: number, streamed: boolean, bytesPerSecond?: number, breaksAt?: number }} Material
 * @typedef {{ kind: string, root: string, directory: string, module: string, material: Material[], objects?: number, origin?: string }} Config
 */
import { createReadStream, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** @type {Config} */
const config = JSON.parse(process.argv[2] ?? '{}');

/** Times that the application itself has answered. */
let calls = 0;
/** Bytes of bodies that an origin has written. */
let sent = 0;
/** When it had last written all of an answer, in milliseconds since the epoch. */
let lastEnd = 0;
/** @type {import('../../lib/index.ts').CacheFilter | undefined} */
let filter;

/** An application has a heap. With next to none V8 collects it at every few MiB that pass through buffers. */
const heap = Array.from({ length: config.objects ?? 0 }, (_, i) => ({ i, name: `object ${i}`, of: [i, {}] }));

const PIECE = 2 ** 20;
/** Of what is written at a pace: small, so that it comes evenly. */
const PACED_PIECE = 64 * 1024;
const files = new Map(
  config.material.map(({ url, path, size, streamed, bytesPerSecond }) => [
    url,
    { size, path, bytesPerSecond, bytes: streamed ? undefined : readFileSync(path) },
  ]),
);

/** The application: the shortest way that Node has to send these bytes. */
function application(req, res) {
  calls++;
  const query = req.url.indexOf('?');
  const file = files.get(query === -1 ? req.url : req.url.slice(0, query));
  if (file === undefined) {
    res.writeHead(404).end();
    return;
  }
  const head = {
    'Content-Type': 'application/octet-stream',
    'Content-Length': file.size,
    'Cache-Control': 'max-age=86400',
  };
  if (config.kind === 'apicache') {
    // It does not see, and so does not repeat, what writeHead is given.
    for (const [name, value] of Object.entries(head)) res.setHeader(name, value);
  } else {
    res.writeHead(200, head);
  }
  if (file.bytes !== undefined) {
    res.end(file.bytes);
    return;
  }
  res.once('finish', () => {
    lastEnd = performance.timeOrigin + performance.now();
  });
  if (file.bytesPerSecond !== undefined) void writePaced(res, file);
  else pipeline(createReadStream(file.path, { highWaterMark: PIECE }), res, () => undefined);
}

/** A server of files that knows ranges, as origins do. */
function origin(req, res) {
  calls++;
  const file = config.material.find(({ url }) => url === req.url.split('?', 1)[0]);
  if (file === undefined) {
    res.writeHead(404).end();
    return;
  }
  const { size, path, bytesPerSecond, breaksAt } = file;
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = to === undefined || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  res.writeHead(from === undefined ? 200 : 206, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': end + 1 - start,
    'Cache-Control': 'max-age=86400',
    ETag: '"1"',
    ...(from === undefined ? {} : { 'Content-Range': `bytes ${start}-${end}/${size}` }),
  });
  res.once('close', () => {
    lastEnd = performance.timeOrigin + performance.now();
  });
  const isBroken = breaksAt !== undefined && from === undefined;
  const part = { path, start, end: isBroken ? breaksAt - 1 : end, bytesPerSecond };
  if (bytesPerSecond !== undefined) void writePaced(res, part);
  else {
    const stream = createReadStream(path, { start, end: part.end, highWaterMark: PIECE });
    stream.on('data', (piece) => {
      sent += piece.length;
    });
    // What was written is on its way: only then is it broken off.
    if (isBroken) stream.once('end', () => res.write('', () => res.socket?.end()));
    stream.pipe(res, { end: !isBroken });
    res.once('close', () => stream.destroy());
  }
}

async function writePaced(res, { path, bytesPerSecond, start, end }) {
  let over = false;
  let wake = () => undefined;
  res.on('drain', () => wake());
  res.on('close', () => {
    over = true;
    wake();
  });
  const begun = performance.now();
  let written = 0;
  for await (const piece of createReadStream(path, { start, end, highWaterMark: PACED_PIECE })) {
    const early = begun + (written / bytesPerSecond) * 1000 - performance.now();
    if (early >= 1) await sleep(early);
    if (over) return;
    written += piece.length;
    sent += piece.length;
    if (!res.write(piece))
      await new Promise((resolve) => {
        wake = resolve;
      });
  }
  res.end();
}

async function cacheFilter(options = {}) {
  const { cacheFilter } = await import(config.module);
  filter = cacheFilter({
    directory: config.directory,
    maxBytes: 12 * 2 ** 30,
    routes: [{ path: '/files/:name', freshness: 'immutable' }],
    ...options,
  });
  return filter;
}

async function filtered(options) {
  const filter = await cacheFilter(options);
  return (req, res) => {
    filter(req, res, (error) => {
      if (error === undefined) application(req, res);
      else res.writeHead(500).end();
    });
  };
}

/** @param {(app: import('express').Express, express: typeof import('express')) => unknown} fill */
async function inExpress(fill) {
  const { default: express } = await import('express');
  const app = express();
  await fill(app, express);
  return app;
}

/** @type {Record<string, () => Promise<import('node:http').RequestListener> | import('node:http').RequestListener>} */
const KINDS = {
  http: () => application,
  'filter-http': () => filtered(),
  'bypass-http': () => filtered({ bypass: () => true }),
  origin: () => origin,
  pull: () => filtered({ origin: config.origin }),
  express: () => inExpress((app) => app.use(application)),
  static: () => inExpress((app, express) => app.use(express.static(config.root))),
  apicache: () =>
    inExpress(async (app) => {
      const { default: apicache } = await import('apicache');
      app.use(apicache.middleware('1 day'));
      app.use(application);
    }),
  'filter-express': () =>
    inExpress(async (app) => {
      app.use(await cacheFilter());
      app.use(application);
    }),
};

const ANSWERS = {
  usage: () => ({
    cpu: process.cpuUsage(),
    calls,
    sent,
    objects: heap.length,
    lastEnd,
    rss: process.memoryUsage.rss(),
  }),
  /** Everything that is kept, once nothing is being written. */
  purge: async () => {
    await filter?.idle();
    await filter?.purge({ all: true });
  },
};

process.on('message', async ({ id, ask }) => {
  process.send?.({ id, answer: (await ANSWERS[ask]()) ?? null });
});
// Not killed: a profile that was asked for is written on the way out.
process.on('disconnect', () => process.exit());

const server = createServer(await KINDS[config.kind]());
server.listen(0, '127.0.0.1', () => process.send?.({ ready: { port: server.address().port } }));
