/** A server in a process of its own, before an origin that is shared by several; or the clients of all of them, in one process. */
import { createHash } from 'node:crypto';
import { createServer, get, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { cacheFilter } from '../../lib/index.ts';

type Told = { directory: string; origin: number } | { ports: number[]; clients: number; path: string };

/** What each client got, in short. */
export interface Outcome {
  port: number;
  status: number;
  sha256: string;
  bytes: number;
}

const told = JSON.parse(process.argv[2] ?? '') as Told;

if ('directory' in told) {
  const { directory, origin } = told;
  const filter = cacheFilter({ directory, minFreeBytes: 0, freshness: 'immutable', logger: false });
  const server = createServer((req, res) => {
    filter(req, res, () => {
      const headers = { 'X-Pid': process.pid };
      get(
        { port: origin, host: '127.0.0.1', path: req.url, headers, agent: false },
        (from: IncomingMessage) => {
          res.writeHead(from.statusCode ?? 500, { 'Content-Length': from.headers['content-length'] ?? '' });
          from.pipe(res);
          from.on('error', () => res.destroy());
        },
      ).on('error', () => res.destroy());
    });
  });
  process.on('message', async () => process.send?.({ reasons: (await filter.stats()).reasons }));
  server.listen(0, '127.0.0.1', 2_000, () =>
    process.send?.({ port: (server.address() as AddressInfo).port }),
  );
} else {
  const { ports, clients, path } = told;
  let heads = 0;
  const outcomes = Array.from({ length: clients }, (_, i) => {
    const port = ports[i % ports.length] ?? 0;
    return new Promise<Outcome>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      const hash = createHash('sha256');
      let head: Buffer | undefined = Buffer.alloc(0);
      const outcome: Outcome = { port, status: 0, sha256: '', bytes: 0 };
      socket.on('data', (chunk: Buffer) => {
        let body = chunk;
        if (head !== undefined) {
          head = Buffer.concat([head, chunk]);
          const end = head.indexOf('\r\n\r\n');
          if (end < 0) return;
          outcome.status = Number(head.toString('latin1', 9, 12));
          body = head.subarray(end + 4);
          head = undefined;
        }
        outcome.bytes += body.length;
        hash.update(body);
      });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        outcome.sha256 = hash.digest('hex');
        resolve(outcome);
      });
      socket.on('connect', () => {
        socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
        if (++heads === clients) process.send?.({ asked: true });
      });
    });
  });
  void Promise.all(outcomes).then((all) => {
    process.send?.({ outcomes: all });
    process.disconnect();
  });
}
