/** An origin that serves ranges of one file, and counts what it sends; and a plain way to ask it. */
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { rangeHeader } from '../../../lib/filter/cold/first-range.ts';
import type { MakeRequest, Source } from '../../../lib/filter/cold/part-fetch.ts';
import type { HeaderPairs } from '../../../lib/http/body.ts';
import type { OriginResponse } from '../../../lib/origin/request.ts';
import { listening } from '../../support/servers.ts';

export interface Asking {
  range: string | undefined;
  ifRange: string | undefined;
}

export class RangeOrigin {
  bytes: Buffer;
  etag = '"1"';
  /** In place of what it does otherwise; false: it does that. */
  handler: (req: IncomingMessage, res: ServerResponse) => boolean = () => false;
  /** Fields of its answers besides. */
  headers: Record<string, string> = {};
  readonly askings: Asking[] = [];
  /** Ranges of what was asked for and granted. */
  readonly granted: { start: number; end: number }[] = [];
  readonly port: number;

  private constructor(bytes: Buffer, port: () => number) {
    this.bytes = bytes;
    this.port = port();
  }

  static async start(t: Pick<TestContext, 'after'>, bytes: Buffer): Promise<RangeOrigin> {
    let origin: RangeOrigin | undefined;
    const server = await listening(
      'http',
      createServer((req, res) => origin?.answer(req, res)),
    );
    t.after(() => server.close());
    origin = new RangeOrigin(bytes, () => server.port);
    return origin;
  }

  /** How often each block was asked for. */
  blocks(blockBytes: number): number[] {
    const counts = Array.from({ length: Math.ceil(this.bytes.length / blockBytes) }, () => 0);
    for (const { start, end } of this.granted)
      for (let block = Math.floor(start / blockBytes); block * blockBytes < end; block++)
        counts[block] = (counts[block] ?? 0) + 1;
    return counts;
  }

  answer(req: IncomingMessage, res: ServerResponse): void {
    const { range } = req.headers;
    const ifRange = req.headers['if-range'];
    this.askings.push({ range, ifRange: typeof ifRange === 'string' ? ifRange : undefined });
    if (this.handler(req, res)) return;
    const { bytes, etag } = this;
    const common = { etag, 'content-type': 'application/x-test', ...this.headers };
    const [, first, last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    if (first === undefined || (ifRange !== undefined && ifRange !== etag)) {
      res.writeHead(200, { ...common, 'content-length': bytes.length }).end(bytes);
      return;
    }
    const start = Number(first);
    const end = Math.min(last === '' ? bytes.length : Number(last) + 1, bytes.length);
    if (start >= bytes.length) {
      res.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
      return;
    }
    this.granted.push({ start, end });
    res.writeHead(206, {
      ...common,
      'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
      'content-length': end - start,
    });
    res.end(bytes.subarray(start, end));
  }

  readonly request: MakeRequest = (range, ifRange) => ({
    method: 'GET',
    targets: [{ url: new URL(`http://127.0.0.1:${this.port}/file`) }],
    headers: [
      ['Range', rangeHeader(range)],
      ...(ifRange === undefined ? [] : ([['If-Range', ifRange]] as const)),
    ],
    signal: new AbortController().signal,
  });
}

/** Asks over node:http; a body that is cut off fails. */
export const plainly: Source = {
  fetch: ({ method, targets, headers, signal }) =>
    new Promise((resolve, reject) => {
      const [target] = targets;
      if (target === undefined) throw new Error('no target');
      const req = ask(target.url, { method, headers: Object.fromEntries(headers), signal, agent: false });
      req.on('error', reject);
      req.on('response', (res) => {
        const pairs: [string, string][] = [];
        for (let i = 0; i < res.rawHeaders.length; i += 2)
          pairs.push([res.rawHeaders[i] ?? '', res.rawHeaders[i + 1] ?? '']);
        const response: OriginResponse = {
          status: res.statusCode ?? 0,
          statusMessage: res.statusMessage ?? '',
          headers: pairs as HeaderPairs,
          target,
          url: target.url.href,
          delimited: 'length',
          body: res,
        };
        resolve(response);
      });
      req.end();
    }),
};
