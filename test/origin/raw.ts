import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { HeaderPairs } from '../../lib/http/body.ts';
import { resolveUpstream, type UpstreamOptions } from '../../lib/origin/options.ts';
import { Origin } from '../../lib/origin/origin.ts';
import type { OriginRequest, OriginTarget } from '../../lib/origin/request.ts';

/** One request as it came over the wire. */
export interface RawRequest {
  method: string;
  path: string;
  /** Names in lower case. */
  fields: Map<string, string>;
  /** Which request this is, on any connection, from 0 on; and which connection it came over. */
  index: number;
  connection: number;
}

export interface RawServer {
  url: string;
  host: string;
  requests: RawRequest[];
  sockets: Set<Socket>;
  /** Connections there have been. */
  connections: number;
  server: Server;
  target(path?: string, headers?: HeaderPairs): OriginTarget;
}

/** A server that says what a script says, byte by byte. Bodies of requests are not looked at. */
export async function rawServer(
  t: TestContext,
  answer: (socket: Socket, request: RawRequest) => unknown,
  hostname = '127.0.0.1',
): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const requests: RawRequest[] = [];
  const server = createServer((socket) => {
    const connection = raw.connections++;
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const [line = '', ...lines] = text.slice(0, end).split('\r\n');
        text = text.slice(end + 4);
        const [method = '', path = ''] = line.split(' ');
        // Only what begins like a request is one: the rest is a body.
        if (!/ HTTP\/1\.1$/.test(line)) continue;
        const fields = new Map(
          lines.map((each): [string, string] => {
            const colon = each.indexOf(':');
            return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()];
          }),
        );
        const request = { method, path, fields, index: requests.length, connection };
        requests.push(request);
        answer(socket, request);
      }
    });
  });
  server.listen(0, hostname);
  await once(server, 'listening');
  const host = `${hostname}:${(server.address() as AddressInfo).port}`;
  const raw: RawServer = {
    url: `http://${host}`,
    host,
    requests,
    sockets,
    connections: 0,
    server,
    target: (path = '/file', headers) => ({ url: new URL(`http://${host}${path}`), headers }),
  };
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return raw;
}

/** An origin that repeats without waiting, and is closed after the test. */
export function originOf(t: TestContext, options: UpstreamOptions = {}): Origin {
  const origin = new Origin(resolveUpstream({ retryDelayMs: 0, breaker: false, ...options }));
  t.after(() => origin.close());
  return origin;
}

export function get(
  targets: OriginTarget | OriginTarget[],
  more: Partial<OriginRequest> = {},
): OriginRequest {
  const signal = new AbortController().signal;
  return { method: 'GET', targets: [targets].flat(), headers: [], signal, ...more };
}

export async function bytesOf(body: Readable): Promise<Buffer> {
  return Buffer.concat((await body.toArray()) as Buffer[]);
}

/** A head with a declared length. */
export function head(length: number, ...fields: string[]): string {
  return ['HTTP/1.1 200 OK', `Content-Length: ${length}`, ...fields, '', ''].join('\r\n');
}

export function redirectTo(location: string, status = 302): string {
  return `HTTP/1.1 ${status} Elsewhere\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
}

export function statusOnly(status: number, ...fields: string[]): string {
  return [`HTTP/1.1 ${status} So`, 'Content-Length: 0', ...fields, '', ''].join('\r\n');
}

/** Resolves once `holds`, which is looked at in each turn of the loop. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
