// docs/guides/command-line.md

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { cacheFilter } from '../../cache-filter.ts';
import { logAccess } from '../access-log.ts';
import { answerError, answerText, probeAnswer } from '../answers.ts';
import { targetProblem } from '../forwarding.ts';
import type { GlanceImage } from '../glance-policy.ts';
import { type PolicyFlags, policyOf } from '../policy.ts';
import { reverseProxy } from '../proxy.ts';
import { Upstream } from '../upstream.ts';

export interface ServeOptions extends PolicyFlags {
  origin: URL;
  directory: string;
  maxBytes: number;
  /** undefined: it depends on the file system. */
  minFreeBytes?: number | undefined;
  host: string;
  /** 0: any free one. */
  port: number;
  authorizeUrl?: URL | undefined;
  originTimeoutMs: number;
  shutdownTimeoutMs: number;
  accessLog: boolean;
  /** Where the lines of the access log go. */
  log: (line: string) => void;
}

export interface Serving {
  server: Server;
  /** Where it listens. */
  url: string;
  /** How many requests are being answered. */
  running(): number;
  /**
   * Takes no more connections, and waits for what runs for at most `shutdownTimeoutMs`; what is left then is cut off.
   *
   * @returns how many answers were cut off
   */
  close(): Promise<number>;
}

/**
 * Starts the filter in front of a reverse proxy.
 *
 * @throws OptionError where the options don't go together; DirectoryError, or the error of `listen`, where they can't be met
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { origin: originUrl, authorizeUrl, originTimeoutMs, shutdownTimeoutMs } = options;
  const origin = new Upstream(originUrl, originTimeoutMs);
  const authority = authorizeUrl === undefined ? undefined : new Upstream(authorizeUrl, originTimeoutMs);
  const filter = cacheFilter<IncomingMessage, GlanceImage>({
    directory: options.directory,
    maxBytes: options.maxBytes,
    ...(options.minFreeBytes === undefined ? {} : { minFreeBytes: options.minFreeBytes }),
    // By then the drain below has already waited.
    closeTimeoutMs: 1000,
    ...policyOf(options, origin, authority),
  });
  const proxy = reverseProxy(origin);
  const running = new Set<ServerResponse>();
  let draining = false;
  let onIdle = () => {};

  const server = createServer((req, res) => {
    running.add(res);
    res.once('close', () => {
      running.delete(res);
      if (running.size === 0) onIdle();
    });
    if (draining) res.shouldKeepAlive = false;
    if (options.accessLog) logAccess(req, res, options.log);
    const probe = probeAnswer(req, draining);
    if (probe !== undefined) return answerText(res, probe.status, probe.text);
    // A client may name the whole URL (RFC 9112 3.2.2).
    req.url = (req.url ?? '/').replace(/^https?:\/\/[^/?#]*(?=\/)/i, '');
    const problem = targetProblem(req.url);
    if (problem !== undefined) return answerText(res, 400, `400 Bad Request: ${problem}`);
    const fail = (error: unknown) => answerError(req, res, error);
    try {
      filter(req, res, (error?: unknown) => (error ? fail(error) : proxy(req, res, fail)));
    } catch (error) {
      // One request must not end the others.
      fail(error);
    }
  });
  // Node's default, 5 minutes for a whole request, would end uploads. The time for the headers stays limited.
  server.requestTimeout = 0;
  try {
    await listen(server, options);
  } catch (error) {
    await filter.close();
    throw error;
  }

  return {
    server,
    url: urlOf(server),
    running: () => running.size,
    async close() {
      draining = true;
      server.close();
      const idle = new Promise<void>((resolve) => {
        onIdle = resolve;
        if (running.size === 0) resolve();
      });
      // A client that left may have left a fill behind, which is still worth finishing.
      await withinMs(
        shutdownTimeoutMs,
        idle.then(() => filter.idle()),
      );
      const cut = running.size;
      server.closeAllConnections();
      await filter.close();
      origin.close();
      authority?.close();
      return cut;
    },
  };
}

function listen(server: Server, { port, host }: ServeOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return String(address);
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

/** Waits for `work`, but not longer. */
async function withinMs(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
