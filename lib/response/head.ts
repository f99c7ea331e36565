import type { ServerResponse } from 'node:http';
import type { Body, ByteRange, HeaderPairs, ResponseHead } from '../http/body.ts';
import { mergeList } from '../http/headers.ts';
import { type AnyResponse, isHttp2 } from '../http/message.ts';
import { contentRange, type multipartByteranges } from '../http/ranges.ts';
import type { Plan } from './plan.ts';

/** What a head is made of. */
interface HeadParts {
  head: ResponseHead;
  /** Fields of this answer only, set last; `unverified`: it is a part of a body that is still being written. */
  headers?: ((unverified: boolean) => HeaderPairs) | undefined;
  /** Fields that a whole answer, or the range of a verified body, may carry in addition, where the head has none of that name. */
  supplement?: HeaderPairs | undefined;
  unverified?: boolean;
  body: Body;
  parts: ReturnType<typeof multipartByteranges> | undefined;
}

/** Sends the head of an answer. */
export function writeHead(res: AnyResponse, plan: Plan, given: HeadParts): void {
  const { head, body, parts, supplement = [], unverified = false } = given;
  const replayed = head.headers.filter(([name]) => belongs(name.toLowerCase(), plan.status));
  for (const name of head.removed ?? []) res.removeHeader(name);
  for (const [name, values] of grouped(replayed)) setField(res, name, values, head.merged ?? []);
  if (unverified) weaken(res);
  else if (plan.status < 400)
    for (const [name, value] of supplement) if (!res.hasHeader(name)) res.setHeader(name, value);
  if (
    body.size !== undefined &&
    head.status === 200 &&
    plan.status !== 304 &&
    !res.hasHeader('accept-ranges')
  )
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
  for (const [name, value] of given.headers?.(unverified) ?? []) res.setHeader(name, value);

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

/** The values of each field, by its name as it was first written. */
export function grouped(headers: HeaderPairs): Map<string, string[]> {
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
