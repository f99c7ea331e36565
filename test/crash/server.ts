/** The process that a campaign ends again and again: a server of `node:http` with the filter before an origin. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheFilter } from '../../lib/index.ts';
import { obey } from '../support/told.ts';
import { bytesAt, saysLength, sizeOf } from './body.ts';
import type { ServerOptions, Tasks } from './process.ts';

const PIECE = 64 * 1024;

/** How long a clean stop waits for what runs, in milliseconds. */
const CLOSE_MS = 5_000;

const options = JSON.parse(process.argv[2] ?? '') as ServerOptions;
const filter = cacheFilter({
  minFreeBytes: 0,
  closeTimeoutMs: CLOSE_MS,
  cacheStatus: { key: true },
  routes: [
    { path: '/keep/:id', freshness: 'immutable' },
    { path: '/still/:id', freshness: 'immutable' },
    { path: '/brief/:id', freshness: { ttlMs: 200 } },
  ],
  ...options,
});

const delay = monitorEventLoopDelay();
delay.enable();

const server = createServer((req, res) => {
  filter(req, res, (error) => {
    if (error === undefined) void origin(req, res).catch(() => res.destroy());
    else res.destroy(error as Error);
  });
});

/** Answers with the version that the request asks for: whoever asks knows which there are. */
async function origin(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { method, url: path = '' } = req;
  if (method === 'DELETE') {
    res.writeHead(204).end();
    return;
  }
  const version = Number(req.headers['x-next']);
  if (!Number.isSafeInteger(version)) {
    res.writeHead(404, { 'Cache-Control': 'no-store' }).end();
    return;
  }
  const size = sizeOf(path);
  res.setHeader('X-Version', version);
  // Without it, nothing tells a process that goes on for another one that these are other bytes.
  res.setHeader('ETag', `"${version}"`);
  if (saysLength(path)) res.setHeader('Content-Length', size);
  else {
    const digest = createHash('sha256')
      .update(bytesAt(path, version, 0, size))
      .digest('base64');
    res.setHeader('Repr-Digest', `sha-256=:${digest}:`);
  }
  if (method === 'HEAD') {
    res.end();
    return;
  }
  const fault = req.headers['x-fault'];
  for (let at = 0; at < size; at += PIECE) {
    if (at >= size / 2 && fault !== undefined) {
      if (fault === 'stall') await sleep(50);
      else if (fault === 'throw') throw new Error('deliberate');
      else if (fault === 'short') return void res.end();
      else if (fault === 'cut') return void res.destroy();
    }
    const piece = bytesAt(path, version, at, Math.min(at + PIECE, size));
    if (!res.write(piece) && !res.destroyed) await drained(res);
    if (res.destroyed) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (fault === 'long') res.write('and more');
  res.end();
}

/** Without the filter in between, a client that leaves is all that comes. */
async function drained(res: ServerResponse): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([once(res, 'drain', { signal }), once(res, 'close', { signal })]).finally(() =>
    over.abort(),
  );
}

const tasks: { [T in keyof Tasks]: (...args: Parameters<Tasks[T]>) => Promise<ReturnType<Tasks[T]>> } = {
  stats: () => filter.cache.stats(),
  idle: () => filter.idle(),
  pin: (path, on) => filter.cache.pin(path, on),
  isPinned: async (path) => (await filter.cache.info({ primary: path }))?.pinned === true,
  queue: (path) => filter.cache.queue.add({ primary: path }).catch(() => false),
  clean: async () => void (await filter.cache.clean({ stalledMs: 0 })),
  prune: async (toBytes) => void (await filter.cache.prune({ toBytes })),
  clear: async () => {
    await filter.purge({ all: true });
    // Files that are kept open are looked at twice a second.
    await sleep(1_500);
  },
  sample: async () => {
    // What is garbage is nobody's leak.
    globalThis.gc?.();
    const { rss, heapUsed } = process.memoryUsage();
    const all = [server, process].flatMap((each) =>
      each.eventNames().map((name) => each.listenerCount(name)),
    );
    const delayMs = delay.max / 1e6;
    delay.reset();
    return {
      rssBytes: rss,
      heapBytes: heapUsed,
      descriptors: existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0,
      listeners: all.reduce((sum, count) => sum + count, 0),
      resources: process
        .getActiveResourcesInfo()
        .filter((name) => !/^(FS|CloseReq|TickObject|Immediate)/.test(name)).length,
      delayMs,
    };
  },
  points: async () =>
    (globalThis as unknown as Record<symbol, Record<string, number>>)[
      Symbol.for('cache-filter.crash-points')
    ] ?? {},
};

obey(tasks);

// A clean stop: whatever is open afterwards keeps the process alive, and is noticed by that.
process.once('SIGTERM', async () => {
  server.close();
  await filter.close();
  server.closeAllConnections();
  process.removeAllListeners('disconnect');
  process.disconnect();
});

await filter.cache.stats();
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
