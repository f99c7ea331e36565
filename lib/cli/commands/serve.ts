// docs/guides/command-line.md

import { createServer, type IncomingMessage } from 'node:http';
import { cacheFilter } from '../../cache-filter.ts';
import { OptionError } from '../../errors.ts';
import { targetProblem } from '../../http/target.ts';
import { logAccess } from '../access-log.ts';
import { answerError, answerText, probeAnswer } from '../answers.ts';
import type { GlanceImage } from '../glance-policy.ts';
import { type OriginFlags, ownOrigin } from '../own-origin.ts';
import { type PolicyFlags, policyOf } from '../policy.ts';
import { reverseProxy } from '../proxy.ts';
import { listen, Running, type Serving, urlOf, withinMs } from '../serving.ts';
import { Upstream } from '../upstream.ts';

export interface ServeOptions extends PolicyFlags, OriginFlags {
  directory: string;
  maxBytes: number;
  /** undefined: it depends on the file system. */
  minFreeBytes?: number | undefined;
  host: string;
  /** 0: any free one. */
  port: number;
  authorizeUrl?: URL | undefined;
  shutdownTimeoutMs: number;
  accessLog: boolean;
  /** Where the lines of the access log go. */
  log: (line: string) => void;
}

/**
 * Starts the filter, which asks the origin itself unless `tee` says otherwise, in front of a reverse proxy.
 *
 * @throws OptionError where the options don't go together; DirectoryError, or the error of `listen`, where they can't be met
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { authorizeUrl, originTimeoutMs, shutdownTimeoutMs } = options;
  const [originUrl] = options.origin;
  if (originUrl === undefined) throw new OptionError('origin', 'there is no --origin');
  const origin = new Upstream(originUrl, originTimeoutMs);
  const authority = authorizeUrl === undefined ? undefined : new Upstream(authorizeUrl, originTimeoutMs);
  const filter = cacheFilter<IncomingMessage, GlanceImage>({
    directory: options.directory,
    maxBytes: options.maxBytes,
    ...(options.minFreeBytes === undefined ? {} : { minFreeBytes: options.minFreeBytes }),
    // By then the drain below has already waited.
    closeTimeoutMs: 1000,
    ...policyOf(options, origin, authority),
    ...ownOrigin(options),
  });
  const proxy = reverseProxy(origin);
  const running = new Running();
  let draining = false;

  const server = createServer((req, res) => {
    running.add(res);
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
      // A client that left may have left a fill behind, which is still worth finishing.
      await withinMs(
        shutdownTimeoutMs,
        running.idle().then(() => filter.idle()),
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
