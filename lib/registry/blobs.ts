import { Readable } from 'node:stream';
import createDebug from 'debug';
import type { Body, ByteRange, HeaderPairs, ResponseHead } from '../http/body.ts';
import { type Asked, decide } from '../response/plan.ts';
import { send } from '../response/send.ts';
import type { ObjectStream } from '../storage/backends/backend.ts';
import { Refusal } from './answers.ts';
import { permit } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { notify } from './notify.ts';
import { reply } from './reply.ts';

const debug = createDebug('cache-filter:registry');

interface BlobPoint {
  repository: string;
  digest: string;
}

/** What is named by its digest never changes. */
export const FOR_EVER = 'max-age=31536000, immutable';

/**
 * A browser runs nothing of what somebody has pushed, whatever media type that was given: the origin may be that of an application, with its
 * sessions.
 */
export const INERT: HeaderPairs = [
  ['X-Content-Type-Options', 'nosniff'],
  ['Content-Security-Policy', "default-src 'none'; sandbox"],
];

/** GET and HEAD (end point 2). */
export async function pullBlob(exchange: Exchange, { repository, digest }: BlobPoint): Promise<void> {
  const { config, namespace, req, res } = exchange;
  await permit(exchange, { action: 'pull', repository, digest });
  const size = await config.storage.linkedBlobSize(namespace, repository, digest);
  if (size === undefined) throw blobUnknown();
  const head: ResponseHead = {
    status: 200,
    headers: [
      ['Content-Type', 'application/octet-stream'],
      ['Docker-Content-Digest', digest],
      ['ETag', `"${digest}"`],
      ['Cache-Control', FOR_EVER],
      ...INERT,
    ],
  };
  const asked = { method: req.method ?? 'GET', headers: { ...req.headers } };
  if (isInverted(req.headers.range)) asked.headers.range = `bytes=${size}-`;
  const body = new BlobBody(exchange, digest, head, size);
  await body.open(asked);
  const sent = await send(asked, res, body, { timeoutMs: config.sendTimeoutMs });
  if (sent.error !== undefined) debug('%s of %s broke off: %o', digest, repository, sent.error);
  if (sent.complete && sent.bytes > 0)
    notify(exchange, { action: 'pull', what: 'blob', repository, digest, bytes: sent.bytes });
}

/** DELETE (end point 10): of this repository only. */
export async function deleteBlob(exchange: Exchange, { repository, digest }: BlobPoint): Promise<void> {
  await permit(exchange, { action: 'delete', repository, digest });
  if (!(await exchange.config.storage.unlinkBlob(exchange.namespace, repository, digest)))
    throw blobUnknown();
  notify(exchange, { action: 'delete', what: 'blob', repository, digest });
  reply(exchange, 202);
}

function blobUnknown(): Refusal {
  return new Refusal(404, 'BLOB_UNKNOWN', 'the repository has no such blob');
}

/** A range that ends before it begins may be ignored or refused (RFC 9110, 14.2); the specification's own tests want 416. */
function isInverted(range: string | undefined): boolean {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  return first !== undefined && last !== undefined && BigInt(last) < BigInt(first);
}

/** A blob on its way to a client. What is sent first is opened before its head promises it. */
class BlobBody implements Body {
  readonly head: ResponseHead;
  readonly size: number;
  readonly #exchange: Exchange;
  readonly #digest: string;
  #opened: { stream: ObjectStream; range: ByteRange | undefined } | undefined;

  constructor(exchange: Exchange, digest: string, head: ResponseHead, size: number) {
    this.#exchange = exchange;
    this.#digest = digest;
    this.head = head;
    this.size = size;
  }

  async open(asked: Asked): Promise<void> {
    const plan = decide(asked, this.head, this.size);
    if (asked.method === 'HEAD' || plan.status >= 300 || this.size === 0) return;
    const range = plan.ranges?.[0];
    this.#opened = { stream: await this.#stream(range), range };
  }

  read(range?: ByteRange): Readable {
    if (this.size === 0) return Readable.from([]);
    return Readable.from(this.#take(range)?.bytes ?? this.#bytes(range));
  }

  async pour(range: ByteRange | undefined, take: (piece: Uint8Array) => Promise<void>): Promise<void> {
    if (this.size === 0) return;
    const { bytes, pour } = this.#take(range) ?? (await this.#stream(range));
    if (pour !== undefined) await pour(take);
    else for await (const piece of bytes) await take(piece);
  }

  release(): void {
    const unread = this.#opened?.stream.bytes[Symbol.asyncIterator]();
    this.#opened = undefined;
    Promise.resolve(unread?.return?.()).catch(() => undefined);
  }

  /** What was opened ahead, where it is this. */
  #take(range: ByteRange | undefined): ObjectStream | undefined {
    const opened = this.#opened;
    if (opened?.range?.start !== range?.start || opened?.range?.end !== range?.end) return undefined;
    this.#opened = undefined;
    return opened?.stream;
  }

  async *#bytes(range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
    yield* (await this.#stream(range)).bytes;
  }

  async #stream(range: ByteRange | undefined): Promise<ObjectStream> {
    const { config, namespace } = this.#exchange;
    const stream = await config.storage.streamBlob(namespace, this.#digest, range);
    if (stream === undefined) throw blobUnknown();
    return stream;
  }
}
