import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Body, ByteRange, HeaderPairs, ResponseHead } from '../http/body.ts';
import { evaluate, ifRangeHolds, validatorsOf } from '../http/conditional.ts';
import { fieldValue, mergeList } from '../http/headers.ts';
import { type AnyResponse, isHttp2 } from '../http/message.ts';
import { contentRange, multipartByteranges, parseRange } from '../http/ranges.ts';
import { ClientGone, Flow, failVisibly } from './flow.ts';

/** What the client asked, as it came. */
export interface Asked {
  method: string;
  headers: IncomingHttpHeaders;
}

export interface SendOptions {
  /** In place of the body's own head: for the leader, what its handler said, the parts that are never stored included. */
  head?: ResponseHead;
  /** Fields of this answer only, set last; `partial`: it is a part of the body. */
  headers?: (partial: boolean) => HeaderPairs;
  /** Fields that a whole answer, or the range of a verified body, may carry in addition, where the head has none of that name. */
  supplement?: HeaderPairs;
  /** The body is still being written: a range of it is marked so that it can't be combined with others. */
  provisional?: boolean;
  /** Ends the answer: quietly with ClientGone as its reason, else so that the client sees it. */
  signal?: AbortSignal;
  /** Called when the body has ended. */
  trailers?: () => HeaderPairs;
}

/** What became of an answer. */
export interface Sent {
  status: number;
  /** Bytes of the body handed to the connection, framing of parts included. */
  bytes: number;
  /** The client was given all of it. */
  complete: boolean;
  /** What stopped the body, where that was not the client. */
  error?: Error;
}

type Plan =
  | { status: 200; ranges?: undefined }
  | { status: 206; ranges: ByteRange[] }
  | { status: 304 | 412 | 416; ranges?: undefined };

/**
 * The one way from a body to a client: 200, 206, 304, 412, 416 and HEAD (RFC 9110, 13.2.2 and 14.2). Never rejects. Where the body
 * can't be had to its end the answer fails so that the client sees it; it is never ended cleanly.
 */
export async function send(
  asked: Asked,
  res: AnyResponse,
  body: Body,
  options: SendOptions = {},
): Promise<Sent> {
  const head = options.head ?? body.head;
  const plan = decide(asked, head, body.size, options.supplement);
  const sent: Sent = { status: plan.status === 200 ? head.status : plan.status, bytes: 0, complete: false };
  const flow = new Flow(res, options.signal);
  try {
    if (plan.status === 200 && asked.method !== 'HEAD' && body.size === 0) {
      // Its head alone would be a complete answer: verified first.
      for await (const _ of body.read()) break;
    }
    flow.check();
    // Somebody else has begun to answer, middleware with a deadline say: what comes of that is theirs.
    if (res.headersSent) throw new ClientGone();
    const parts =
      plan.status === 206 && plan.ranges.length > 1 ? multipart(plan.ranges, body, head) : undefined;
    writeHead(res, plan, { ...options, head, body, parts });
    if (plan.status < 300 && asked.method !== 'HEAD') {
      for (const { preamble, range } of parts?.parts ?? []) {
        await flow.write(preamble);
        await flow.pump(body, range);
      }
      if (parts === undefined) await flow.pump(body, plan.ranges?.[0]);
      else await flow.write(parts.closing);
      const trailers = options.trailers?.() ?? [];
      if (trailers.length > 0)
        res.addTrailers(Object.fromEntries(grouped(trailers)) as Record<string, string & string[]>);
    }
    await flow.finish();
    sent.complete = true;
  } catch (error) {
    if (!(error instanceof ClientGone)) {
      sent.error = error as Error;
      failVisibly(res);
    }
  } finally {
    flow.release();
    body.release();
  }
  sent.bytes = flow.bytes;
  return sent;
}

/** Preconditions first, then the range (RFC 9110, 13.2.2). */
function decide(
  asked: Asked,
  head: ResponseHead,
  size: number | undefined,
  supplement: HeaderPairs = [],
): Plan {
  if (head.status !== 200) return { status: 200 };
  const validators = { ...validatorsOf(supplement), ...validatorsOf(head.headers) };
  const outcome = evaluate(asked.method, asked.headers, validators);
  if (outcome !== 'proceed') return { status: outcome === 'failed' ? 412 : 304 };
  if (asked.method !== 'GET' || size === undefined || !ifRangeHolds(asked.headers, validators))
    return { status: 200 };
  const request = parseRange(asked.headers.range, size);
  if (request.kind === 'unsatisfiable') return { status: 416 };
  return request.kind === 'ranges' ? { status: 206, ranges: request.ranges } : { status: 200 };
}

type Multipart = ReturnType<typeof multipartByteranges>;

function multipart(ranges: ByteRange[], body: Body, head: ResponseHead): Multipart {
  return multipartByteranges(
    ranges,
    body.size ?? 0,
    fieldValue(head.headers, 'content-type'),
    randomBytes(16).toString('hex'),
  );
}

interface HeadParts extends SendOptions {
  head: ResponseHead;
  body: Body;
  parts: Multipart | undefined;
}

function writeHead(res: AnyResponse, plan: Plan, given: HeadParts): void {
  const { head, body, parts, supplement = [], provisional = false } = given;
  const replayed = head.headers.filter(([name]) => belongs(name.toLowerCase(), plan.status));
  for (const name of head.removed ?? []) res.removeHeader(name);
  for (const [name, values] of grouped(replayed)) setField(res, name, values, head.merged ?? []);
  if (plan.status === 206 && provisional) weaken(res);
  else if (plan.status < 400)
    for (const [name, value] of supplement) if (!res.hasHeader(name)) res.setHeader(name, value);
  if (body.size !== undefined && plan.status !== 304 && !res.hasHeader('accept-ranges'))
    res.setHeader('Accept-Ranges', 'bytes');

  if (parts !== undefined) {
    res.setHeader('Content-Type', parts.contentType);
    res.setHeader('Content-Length', parts.length);
  } else if (plan.status === 206) {
    const [range] = plan.ranges as [ByteRange];
    res.setHeader('Content-Range', contentRange(range, body.size ?? 0));
    res.setHeader('Content-Length', range.end - range.start);
  } else if (plan.status === 200) {
    if (body.size !== undefined) res.setHeader('Content-Length', body.size);
  } else if (plan.status !== 304) {
    if (plan.status === 416) res.setHeader('Content-Range', contentRange(undefined, body.size ?? 0));
    res.setHeader('Content-Length', 0);
  }
  // Node refuses to announce what it can't send: trailers need chunks.
  if (res.hasHeader('content-length') || (res as ServerResponse).useChunkedEncodingByDefault === false)
    res.removeHeader('trailer');
  for (const [name, value] of given.headers?.(plan.status === 206) ?? []) res.setHeader(name, value);

  const status = plan.status === 200 ? head.status : plan.status;
  if (plan.status === 200 && head.statusMessage !== undefined && !isHttp2(res)) {
    (res as ServerResponse).writeHead(status, head.statusMessage);
  } else {
    (res as ServerResponse).writeHead(status);
  }
}

/** Which stored fields an answer of this status carries. */
function belongs(name: string, status: number): boolean {
  if (status === 200) return true;
  // Said of the content that is sent; the field for the whole is Repr-Digest (RFC 9530).
  if (status === 206) return name !== 'content-digest' && name !== 'content-md5';
  if (status === 304) return !(name.startsWith('content-') && name !== 'content-location');
  return name === 'date' || name === 'vary';
}

function grouped(headers: HeaderPairs): Map<string, string[]> {
  const fields = new Map<string, { name: string; values: string[] }>();
  for (const [name, value] of headers) {
    const field = fields.get(name.toLowerCase());
    if (field === undefined) fields.set(name.toLowerCase(), { name, values: [value] });
    else field.values.push(value);
  }
  return new Map([...fields.values()].map(({ name, values }) => [name, values]));
}

function setField(res: AnyResponse, name: string, values: string[], merged: readonly string[]): void {
  const key = name.toLowerCase();
  const existing = merged.includes(key) ? res.getHeader(name) : undefined;
  if (existing === undefined) {
    res.setHeader(name, values.length === 1 ? (values[0] as string) : values);
  } else if (key === 'vary') {
    res.setHeader(name, mergeList(String(existing), values.join(', ')));
  } else {
    res.setHeader(name, [...(Array.isArray(existing) ? existing : [String(existing)]), ...values]);
  }
}

/** Parts of a body that is not verified yet: a weak validator forbids to put them together with others (RFC 9110, 15.3.7.3). */
function weaken(res: AnyResponse): void {
  const etag = res.getHeader('etag');
  if (typeof etag === 'string' && !etag.startsWith('W/')) res.setHeader('ETag', `W/${etag}`);
}
