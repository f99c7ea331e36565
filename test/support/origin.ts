/** A server behind the filter, as an origin is: it counts, and says what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface TestOrigin {
  url: string;
  port: number;
  /** Every request so far, in the order in which they came. */
  asked: Asked[];
}

export interface Asked {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  /** The answer is over, or was cut off. */
  closed: Promise<void>;
}

/** It ends with the test. */
export async function originOf(
  t: TestContext,
  answer: (req: IncomingMessage, res: ServerResponse, n: number) => unknown,
): Promise<TestOrigin> {
  const asked: Asked[] = [];
  const server = createServer((req, res) => {
    const closed = new Promise<void>((resolve) => res.once('close', resolve));
    asked.push({ method: req.method ?? '', url: req.url ?? '', headers: req.headers, closed });
    void answer(req, res, asked.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, asked };
}

/** Answers with these bytes, or the part of them that was asked for. */
export function giving(
  bytes: Buffer,
  headers: Record<string, string> = {},
): (req: IncomingMessage, res: ServerResponse) => void {
  return (req, res) => {
    const [, first = '', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? [];
    const start = Number(first);
    const end = last === '' ? bytes.length : Math.min(Number(last) + 1, bytes.length);
    const isPart = first !== '';
    res.writeHead(isPart ? 206 : 200, {
      ETag: '"one"',
      ...headers,
      'Content-Length': end - start,
      ...(isPart ? { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` } : {}),
    });
    res.end(req.method === 'HEAD' ? undefined : bytes.subarray(start, end));
  };
}
