// docs/guides/registry-command.md

import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether only this host reaches what listens there. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** The header by which a proxy says that a request comes from elsewhere; undefined where there is none. */
export function forwardedBy({ headers }: IncomingMessage): string | undefined {
  return Object.keys(headers).find(
    (name) =>
      name === 'forwarded' || name === 'x-real-ip' || name === 'via' || name.startsWith('x-forwarded-'),
  );
}

/**
 * The header by which a request says that it is meant for, or sent by a page of, another host; undefined where there is none. A browser on this host
 * sends such requests for any page that makes it, be it by a name that leads here (DNS rebinding).
 */
export function strangeBy({ headers }: IncomingMessage): 'host' | 'origin' | undefined {
  if (!isLoopback(nameOf(`http://${headers.host ?? ''}`))) return 'host';
  return headers.origin === undefined || isLoopback(nameOf(headers.origin)) ? undefined : 'origin';
}

function nameOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
}
