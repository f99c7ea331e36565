import type { Agent as HttpAgent } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { OptionReader, show } from '../checks.ts';
import { OptionError } from '../errors.ts';

/** How an origin is asked. Times are in milliseconds, `0` being no limit. */
export interface UpstreamOptions {
  /** How long a connection may take, looking up the name and shaking hands for TLS included. Default 10,000. */
  connectTimeoutMs?: number;
  /** How long the head of the answer may take, from the last byte of the request sent. Default 60,000. */
  headTimeoutMs?: number;
  /** How long a body may go without a byte while somebody reads it. Default 60,000. */
  stallTimeoutMs?: number;
  /** How often a GET or HEAD without an answer is repeated at one place before the next one is asked. Default 2. */
  retries?: number;
  /** Up to how long the first repetition waits; each further one up to twice as long. Default 250. */
  retryDelayMs?: number;
  /** How often in a row a body that broke off is gone on with, without a byte in between. Default 5. */
  resumes?: number;
  /** How many requests run at a time. Default 64. */
  maxRequests?: number;
  /** How many wait for one of those to end. Default 1,024. */
  maxQueued?: number;
  /** How long each of them waits. Default 30,000. */
  queueTimeoutMs?: number;
  /** How many redirects in a row are followed; 0: they are handed on as they are. Default 5. */
  maxRedirects?: number;
  /** After how many failures in a row a host is left alone, and for how long; or false. Default `{ failures: 5, openMs: 10_000 }`. */
  breaker?: BreakerOptions | false;
  /** Connections of your own making, through a proxy or with certificates of your own. They are yours to close. */
  agents?: { http?: HttpAgent; https?: HttpsAgent };
}

export interface BreakerOptions {
  /** Default 5. */
  failures?: number;
  /** Default 10,000. */
  openMs?: number;
}

export type ResolvedUpstream = Readonly<
  Required<Omit<UpstreamOptions, 'breaker'>> & { breaker: Readonly<Required<BreakerOptions>> | false }
>;

/** @throws OptionError that names `upstream.<name>` */
export function resolveUpstream(options: UpstreamOptions = {}): ResolvedUpstream {
  const read = new OptionReader(
    options,
    {
      connectTimeoutMs: true,
      headTimeoutMs: true,
      stallTimeoutMs: true,
      retries: true,
      retryDelayMs: true,
      resumes: true,
      maxRequests: true,
      maxQueued: true,
      queueTimeoutMs: true,
      maxRedirects: true,
      breaker: true,
      agents: true,
    },
    'upstream',
  );
  return Object.freeze({
    connectTimeoutMs: read.milliseconds('connectTimeoutMs', 10_000),
    headTimeoutMs: read.milliseconds('headTimeoutMs', 60_000),
    stallTimeoutMs: read.milliseconds('stallTimeoutMs', 60_000),
    retries: read.whole('retries', 2),
    retryDelayMs: read.milliseconds('retryDelayMs', 250),
    resumes: read.whole('resumes', 5),
    maxRequests: read.count('maxRequests', 64),
    maxQueued: read.whole('maxQueued', 1024),
    queueTimeoutMs: read.milliseconds('queueTimeoutMs', 30_000),
    maxRedirects: read.whole('maxRedirects', 5),
    breaker: breakerOf(options.breaker),
    agents: agentsOf(options.agents),
  });
}

function breakerOf(options: BreakerOptions | false | undefined): ResolvedUpstream['breaker'] {
  if (options === false) return false;
  const read = new OptionReader(options ?? {}, { failures: true, openMs: true }, 'upstream.breaker');
  return Object.freeze({ failures: read.count('failures', 5), openMs: read.milliseconds('openMs', 10_000) });
}

function agentsOf(agents: UpstreamOptions['agents'] = {}): ResolvedUpstream['agents'] {
  new OptionReader(agents, { http: true, https: true }, 'upstream.agents');
  for (const [name, agent] of Object.entries(agents)) {
    if (agent === undefined || typeof (agent as { addRequest?: unknown })?.addRequest === 'function')
      continue;
    const option = `upstream.agents.${name}`;
    throw new OptionError(option, `${option} must be an Agent of node:${name}, got ${show(agent)}`);
  }
  return Object.freeze({ ...agents });
}
