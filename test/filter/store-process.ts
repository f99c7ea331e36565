/** A process of its own with a server, a filter and a cache on disk, which does what its parent tells it. */
import { subscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { Invalidation } from '../../lib/cache/cache.ts';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import {
  type CacheFilter,
  type CacheFilterEvents,
  cacheFilter,
  FileCache,
  type FileCacheOptions,
} from '../../lib/index.ts';
import { systemCode } from '../cache/health.ts';
import { obeyIn, ToldProcess } from '../support/told.ts';

interface StoreFault {
  code: 'EIO';
  below: string;
  writes: boolean;
  reads: boolean;
  fired: number;
}

interface Said {
  state: string;
  code: string | undefined;
}

let server: Server;
let filter: CacheFilter;
let cache: FileCache;
const health: Said[] = [];
const lines: string[] = [];
/** Which bytes the application has under a path; 1 at first. */
const seeds = new Map<string, number>();
const gates = new Map<string, { open: () => void; opened: Promise<void> }>();
const hoard: number[] = [];
let isGreedy = false;

/** What it can be told; each answers with something that JSON can hold. */
const TASKS = {
  async open(options: FileCacheOptions, uid: number | null) {
    if (uid !== null) process.setuid?.(uid);
    subscribe('cache-filter:health', (message) => {
      const { state, error } = message as CacheFilterEvents['cache-filter:health'];
      health.push({ state, code: systemCode(error) });
    });
    const log = (line: string) => void lines.push(line);
    cache = new FileCache({ minFreeBytes: 0, ...options, logger: { warn: log, error: log } });
    filter = cacheFilter({ cache, freshness: 'immutable', routes: [{ path: '/files/*name' }] });
    server = createServer((req, res) => {
      if (isGreedy) grab();
      filter(req, res, () => answer(req, res));
    });
    // A connection that is open needs no descriptor any more.
    server.keepAliveTimeout = 120_000;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    await cache.stats();
    return (server.address() as AddressInfo).port;
  },
  async release(path: string) {
    gate(path).open();
  },
  async change(path: string, seed: number) {
    seeds.set(path, seed);
  },
  async stats() {
    return cache.stats();
  },
  async health() {
    return health;
  },
  async lines() {
    return lines;
  },
  async invalidate(what: Invalidation) {
    return cache.invalidate(what).then(
      (entries) => ({ entries }),
      (error: { code: string }) => ({ rejected: error.code, system: systemCode(error) }),
    );
  },
  /** It is not to make room. */
  async pin(path: string) {
    return cache.pin(path, true);
  },
  /** Whether the cache itself, asked directly, has it. */
  async has(path: string) {
    const entry = await cache.open({ primary: path });
    entry?.release();
    return entry !== undefined;
  },
  async fault(fault: Omit<StoreFault, 'fired'> | null) {
    const all = globalThis as { storeFault?: StoreFault };
    const fired = all.storeFault?.fired ?? 0;
    delete all.storeFault;
    if (fault !== null) all.storeFault = { ...fault, fired: 0 };
    return fired;
  },
  /** Opens files until no more can be, now and before each request; says with what that ends. */
  async exhaust() {
    isGreedy = true;
    return grab();
  },
  async relent() {
    isGreedy = false;
    for (const fd of hoard.splice(0)) closeSync(fd);
  },
  /** What this process has open below a directory. */
  async descriptors(below: string) {
    return readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`);
        return path.startsWith(below) ? [path] : [];
      } catch {
        return [];
      }
    });
  },
  async close() {
    await filter.close();
    await cache.close();
    server.closeAllConnections();
    server.close();
  },
};

function grab(): string | undefined {
  for (;;) {
    try {
      hoard.push(openSync('/dev/null', 'r'));
    } catch (error) {
      return systemCode(error);
    }
  }
}

function gate(path: string): { open: () => void; opened: Promise<void> } {
  let found = gates.get(path);
  if (found === undefined) {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    found = { open, opened };
    gates.set(path, found);
  }
  return found;
}

/** `/files/<name>/<bytes>`, and behind it `/gated` where the second half is to wait; anything else is short. */
async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const path = req.url ?? '';
  if (req.method === 'DELETE') return void res.writeHead(204).end();
  const [, , , bytes = '10', gated] = path.split('/');
  const body = bytesOf(Number(bytes), seeds.get(path) ?? 1);
  res.writeHead(200, { 'Content-Length': body.byteLength });
  const half = Math.floor(body.byteLength / 2);
  await sent(res, body.subarray(0, half));
  if (gated !== undefined) await gate(path).opened;
  await sent(res, body.subarray(half));
  res.end();
}

async function sent(res: ServerResponse, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.byteLength; at += 65_536)
    if (!res.write(bytes.subarray(at, at + 65_536))) await once(res, 'drain');
}

obeyIn(import.meta.url, TASKS);

export class StoreProcess extends ToldProcess<typeof TASKS> {
  constructor(t: TestContext, how: { shell?: string; imports?: string[] } = {}) {
    super(t, import.meta.url, how);
  }
}
