/** A client that can be watched, held and sent away while it reads: over HTTP/1, TLS and HTTP/2. */
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import { request as requestTls } from 'node:https';
import type { Readable } from 'node:stream';
import type { Answer } from './client.ts';
import { deferred } from './deferred.ts';

export const WIRES = ['http', 'tls', 'http2'] as const;
export type Wire = (typeof WIRES)[number];

type Headers = Record<string, string | string[] | undefined>;

export interface Asked {
  path: string;
  method?: string;
  headers?: Record<string, string>;
}

export class Reading {
  /** Settles when the head has come, or when it is clear that none will. */
  readonly head: Promise<void>;
  readonly over: Promise<Answer>;
  readonly #headCame = deferred();
  readonly #chunks: Buffer[] = [];
  #status = 0;
  #headers: Headers = {};
  #bytes = 0;
  #wake: (() => void)[] = [];
  #over = false;
  #body: Readable | undefined;
  readonly #leave: () => void;

  constructor(wire: Wire, port: number, asked: Asked) {
    const over = deferred<Answer>();
    this.over = over.promise;
    this.head = this.#headCame.promise;
    const end = (complete: boolean) => {
      this.#over = true;
      const { body } = this;
      over.resolve({
        status: this.#status,
        statusMessage: '',
        headers: this.#headers,
        trailers: {},
        body,
        complete,
      });
      this.#headCame.resolve();
      this.#progress();
    };
    this.#leave = wire === 'http2' ? this.#http2(port, asked, end) : this.#http1(wire, port, asked, end);
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Resolves when so many bytes have come, or nothing more will. */
  async until(bytes: number): Promise<void> {
    while (this.#bytes < bytes && !this.#over) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Reads no more for now. */
  pause(): void {
    this.#body?.pause();
  }

  resume(): void {
    this.#body?.resume();
  }

  /** Without a word. */
  leave(): void {
    this.#leave();
  }

  #http1(wire: 'http' | 'tls', port: number, asked: Asked, end: (complete: boolean) => void): () => void {
    const options = { port, host: '127.0.0.1', agent: false, maxHeaderSize: 4 * 2 ** 20, ...asked };
    const req = wire === 'tls' ? requestTls({ ...options, rejectUnauthorized: false }) : request(options);
    req.on('error', () => end(false));
    req.on('response', (res: IncomingMessage) => {
      this.#take(res, res.statusCode ?? 0, res.headers);
      res.on('close', () => end(res.complete));
    });
    req.end();
    return () => req.destroy();
  }

  #http2(
    port: number,
    { path, method = 'GET', headers = {} }: Asked,
    end: (complete: boolean) => void,
  ): () => void {
    const session = connectHttp2(`http://127.0.0.1:${port}`, {
      settings: { maxHeaderListSize: 4 * 2 ** 20 },
    });
    session.on('error', () => end(false));
    const stream = session.request({ ':path': path, ':method': method, ...headers }, { endStream: true });
    let ended = false;
    stream.on('error', () => undefined);
    stream.on('response', (head) => this.#take(stream, Number(head[':status']), head as Headers));
    stream.on('end', () => {
      ended = true;
    });
    stream.on('close', () => {
      end(ended && stream.rstCode === 0 && !stream.aborted);
      session.close();
    });
    return () => stream.close(constants.NGHTTP2_CANCEL);
  }

  #take(body: Readable, status: number, headers: Headers): void {
    this.#body = body;
    this.#status = status;
    this.#headers = headers;
    body.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#progress();
    });
    body.on('error', () => undefined);
    this.#headCame.resolve();
  }

  #progress(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
