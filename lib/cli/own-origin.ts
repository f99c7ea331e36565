// docs/guides/command-line.md

import type { IncomingMessage } from 'node:http';
import { OptionError } from '../errors.ts';
import type { CacheFilterOptions } from '../options.ts';
import type { ColdRange, Routes } from './flags.ts';
import { requestHeaders } from './forwarding.ts';

/** How the filter asks the origin itself. */
export interface OriginFlags {
  /** In order of preference; what is not cached goes to the first. */
  origin: URL[];
  originTimeoutMs: number;
  /** What is cached is fetched as the client asks, by the reverse proxy. Always so with Glance. */
  tee?: boolean | undefined;
  connectTimeoutMs?: number | undefined;
  retries?: number | undefined;
  /** How many are followed. Default 0: they are passed on. */
  maxRedirects?: number | undefined;
  coldRange?: ColdRange | undefined;
}

type OwnOrigin = Pick<CacheFilterOptions<IncomingMessage>, 'origin' | 'upstream' | 'coldRange'>;

/** Those of the client's connection with us, of the part that it wants, or set by the filter: whatever of them is true, the filter says. */
const NOT_THE_CALLERS = /^(range|accept-encoding|cdn-loop|if-.*|content-.*)$/;

/**
 * The filter's options about the origin: it is asked with the caller's own headers. Undefined where the reverse proxy answers.
 *
 * @throws OptionError where the flags don't go together
 */
export function ownOrigin(flags: OriginFlags & { routes: Routes }): OwnOrigin | undefined {
  const { origin, originTimeoutMs, connectTimeoutMs, retries, maxRedirects = 0, coldRange, routes } = flags;
  if (flags.tee === true || routes === 'glance') {
    requireNone(flags, routes === 'glance' ? '--routes glance' : '--tee');
    return undefined;
  }
  return {
    origin: ({ req, path }) => origin.map((url) => ({ url: below(url, path), headers: headersOf(req) })),
    upstream: {
      headTimeoutMs: originTimeoutMs,
      stallTimeoutMs: originTimeoutMs,
      maxRedirects,
      ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
      ...(retries === undefined ? {} : { retries }),
    },
    ...(coldRange === undefined ? {} : { coldRange }),
  };
}

/** Only where the filter asks the origin itself do they mean anything. */
function requireNone(flags: OriginFlags, where: string): void {
  const given = {
    'a second --origin': flags.origin.length > 1 ? true : undefined,
    '--connect-timeout': flags.connectTimeoutMs,
    '--retries': flags.retries,
    '--max-redirects': flags.maxRedirects,
    '--cold-range': flags.coldRange,
  };
  const [name] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (name === undefined) return;
  throw new OptionError('origin', `${name} is not for ${where}, where each miss is a request of its client`);
}

/** By string, never by `new URL(path, base)`: '//elsewhere/x' has to stay a path. */
function below(url: URL, path: string): string {
  return url.origin + url.pathname.replace(/\/$/, '') + path;
}

/** @param req undefined where nobody asked */
function headersOf(req: IncomingMessage | undefined): Record<string, string> {
  if (req === undefined) return {};
  return Object.fromEntries(requestHeaders(req).filter(([name]) => !NOT_THE_CALLERS.test(name)));
}
