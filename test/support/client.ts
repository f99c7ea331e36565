import { request } from 'node:http';
import { connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2';
import type { TestServer } from './servers.ts';

export interface Answer {
  status: number;
  statusMessage: string;
  headers: Record<string, string | string[] | undefined>;
  trailers: Record<string, string | undefined>;
  body: Buffer;
  /** The protocol says that this is all of it. */
  complete: boolean;
}

export interface Ask {
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  /** On HTTP/1 only. */
  body?: Uint8Array;
  /** Aborted: the client leaves, without a word. */
  signal?: AbortSignal;
}

/** One request on a connection of its own; an answer that is cut off is an answer, too. */
export function ask(server: TestServer, options: Ask = {}): Promise<Answer> {
  return server.kind === 'http2' ? askHttp2(server.port, options) : askHttp1(server.port, options);
}

function askHttp1(
  port: number,
  { path = '/', method = 'GET', headers = {}, body, signal }: Ask,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request({ port, host: '127.0.0.1', path, method, headers, agent: false });
    const cut = (): Answer => ({
      status: 0,
      statusMessage: '',
      headers: {},
      trailers: {},
      body: Buffer.alloc(0),
      complete: false,
    });
    req.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' ? resolve(cut()) : reject(error),
    );
    signal?.addEventListener('abort', () => req.destroy());
    req.on('response', (res) => {
      const chunks: Buffer[] = [];
      const answer = (): Answer => ({
        status: res.statusCode ?? 0,
        statusMessage: res.statusMessage ?? '',
        headers: res.headers,
        trailers: res.trailers,
        body: Buffer.concat(chunks),
        complete: res.complete,
      });
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', () => undefined);
      res.on('close', () => resolve(answer()));
    });
    req.end(body);
  });
}

function askHttp2(port: number, { path = '/', method = 'GET', headers = {}, signal }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', reject);
    const stream = session.request({ ':path': path, ':method': method, ...headers });
    const chunks: Buffer[] = [];
    let ended = false;
    let head: IncomingHttpHeaders & { ':status'?: number | undefined } = {};
    let trailers: IncomingHttpHeaders = {};
    signal?.addEventListener('abort', () => stream.close(constants.NGHTTP2_CANCEL));
    stream.on('error', () => undefined);
    stream.on('response', (given) => {
      head = given;
    });
    stream.on('trailers', (given) => {
      trailers = given;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      ended = true;
    });
    stream.on('close', () => {
      session.close();
      resolve({
        status: head[':status'] ?? 0,
        statusMessage: '',
        headers: head,
        trailers: trailers as Answer['trailers'],
        body: Buffer.concat(chunks),
        complete: ended && stream.rstCode === 0 && !stream.aborted,
      });
    });
    stream.end();
  });
}
