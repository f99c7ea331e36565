/** A client that knows what the origin has, and checks every byte that it is given. */
import { Agent, request } from 'node:http';
import { bytesAt, sizeOf } from './body.ts';
import type { Book } from './book.ts';

export interface Got {
  /** 0: there was no answer. */
  status: number;
  /** Of Cache-Status. */
  said: string;
  version: number;
  bytes: number;
  /** As far as the protocol says. */
  complete: boolean;
}

export interface Wish {
  method?: 'GET' | 'HEAD' | 'DELETE';
  headers?: Record<string, string>;
  /** Leaves after so many bytes. */
  leaveAt?: number;
}

const NOTHING: Got = { status: 0, said: '', version: Number.NaN, bytes: 0, complete: false };

/** Asks one server. What it finds wrong it writes into the book. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  readonly #book: Book;
  readonly #port: () => number;

  constructor(book: Book, port: () => number) {
    this.#book = book;
    this.#port = port;
  }

  get(
    path: string,
    { method = 'GET', headers = {}, leaveAt = Number.POSITIVE_INFINITY }: Wish = {},
  ): Promise<Got> {
    const asking = this.#book.begin(path);
    // What an origin sends beyond its end would be taken for the answer to the next request of the connection.
    const agent = 'X-Fault' in headers ? false : this.#agent;
    return new Promise((resolve) => {
      const options = { port: this.#port(), host: '127.0.0.1', path, method, headers, agent };
      const req = request(options, (res) => {
        const version = Number(res.headers['x-version']);
        const said = String(res.headers['cache-status']);
        const got: Got = { status: res.statusCode ?? 0, said, version, bytes: 0, complete: false };
        if (method !== 'DELETE' && Number.isSafeInteger(version)) this.#book.saw(asking, version);
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => {
          got.bytes += chunk.length;
          chunks.push(chunk);
          if (got.bytes >= leaveAt) req.destroy();
        });
        res.on('error', () => undefined);
        res.on('close', () => {
          // Whoever left may have had more to read.
          got.complete = res.complete && got.bytes < leaveAt;
          // What the origin itself ended wrongly, and nobody was to keep, comes as it would come without a cache.
          const isOrigins = 'X-Fault' in headers && !/; (hit|stored|collapsed)/.test(said);
          if (method === 'GET' && !(isOrigins && got.complete))
            this.#check(path, got, Buffer.concat(chunks), res.headers['content-range']);
          if (method === 'GET' && got.complete && isFound(got)) this.#book.found(asking);
          resolve(got);
        });
      });
      // The server has ended a kept connection just when it was chosen again: as good as never asked (RFC 9112, 9.3.1).
      let answered = false;
      req.once('response', () => {
        answered = true;
      });
      req.on('error', () =>
        resolve(req.reusedSocket && !answered ? this.get(path, { method, headers, leaveAt }) : NOTHING),
      );
      req.end();
    });
  }

  async purge(path: string): Promise<void> {
    const purge = this.#book.purge(path);
    const { status, complete } = await this.get(path, { method: 'DELETE' });
    if (status === 204 && complete) purge.acknowledged();
    purge.over();
  }

  close(): void {
    this.#agent.destroy();
  }

  #check(
    path: string,
    { status, version, complete, said }: Got,
    body: Buffer,
    contentRange: string | undefined,
  ): void {
    if (status === 404) return;
    const size = sizeOf(path);
    let [start, end] = [0, size];
    if (status === 206) {
      const [, first, last, whole] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange ?? '') ?? [];
      [start, end] = [Number(first), Number(last) + 1];
      if (Number(whole) !== size) this.#book.fault(`${path}: ${contentRange} of ${size} bytes`);
    } else if (status !== 200) {
      this.#book.fault(`${path}: answered with ${status}`);
      return;
    }
    const expected = bytesAt(path, version, start, end);
    // What an origin sends beyond its end may come through, as long as it does not look complete.
    const begun = body.subarray(0, expected.length);
    const isRight = begun.equals(expected.subarray(0, begun.length));
    const wrong = isRight ? -1 : begun.findIndex((byte, at) => byte !== expected[at]);
    const what = `${path} version ${version} (${said})`;
    if (wrong >= 0) this.#book.fault(`WRONG BYTES: ${what}: from ${start + wrong} on, of ${start} to ${end}`);
    else if (complete && body.length !== expected.length) {
      this.#book.fault(`WRONG LENGTH: ${what}: ${body.length} of ${expected.length} bytes look complete`);
    }
  }
}

/** Whether an answer that has come to its end proves that there is an entry. */
function isFound({ status, said }: Got): boolean {
  const isHit = said.includes('; hit');
  if (status === 206) return isHit;
  return status === 200 && (isHit || said.includes('; stored') || said.includes('; collapsed'));
}
