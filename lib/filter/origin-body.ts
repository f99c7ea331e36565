import { PassThrough, pipeline, Readable } from 'node:stream';
import type { Body, ByteRange, ResponseHead } from '../http/body.ts';
import type { OriginAnswer } from '../origin/places.ts';
import type { OriginResponse } from '../origin/request.ts';
import { headOf } from './pull.ts';

/** What an origin answers, to be sent as it comes. It can be read once. */
export class OriginBody implements Body {
  readonly head: ResponseHead;
  readonly size?: number;
  readonly #body: Readable;

  constructor(response: OriginResponse) {
    const { length, ...head } = headOf(response);
    this.#body = response.body;
    // What fails before anybody reads is found out by reading.
    this.#body.on('error', () => undefined);
    this.head = {
      ...head,
      headers: head.headers.filter(([name]) => name.toLowerCase() !== 'content-length'),
    };
    // Of a 204 or 304 it is not what follows (RFC 9110, 8.6).
    if (length !== undefined && head.status !== 204 && head.status !== 304) this.size = length;
  }

  read(range?: ByteRange): Readable {
    if (range === undefined) return this.#body;
    const out = new PassThrough({ highWaterMark: 0 });
    pipeline(Readable.from(cut(this.#body, range)), out, () => undefined);
    return out;
  }

  release(): void {
    this.#body.destroy();
  }
}

/** The bytes of a range of what comes from the first byte on. */
async function* cut(body: AsyncIterable<Buffer>, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  let at = 0;
  for await (const chunk of body) {
    const from = Math.max(0, start - at);
    const to = Math.min(chunk.length, end - at);
    at += chunk.length;
    if (from < to) yield chunk.subarray(from, to);
    if (at >= end) return;
  }
}

/** An answer that nobody was asked for. */
export function bodyOf({ status, headers = {}, body = '' }: OriginAnswer): Body {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  return {
    head: { status, headers: Object.entries(headers) },
    size: bytes.byteLength,
    bytes,
    read: ({ start, end } = { start: 0, end: bytes.byteLength }) =>
      Readable.from([bytes.subarray(start, end)]),
    release: () => undefined,
  };
}
