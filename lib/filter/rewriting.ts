// docs/guides/origin.md

import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip } from 'node:zlib';
import { HookError, IntegrityError, OriginError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import { conflicts, declaredDigests, digestsOf } from '../http/digest.ts';
import { fieldValue } from '../http/headers.ts';
import type { OriginResponse } from '../origin/request.ts';
import { ask, extended, type OriginFetch } from '../policy/hooks.ts';
import { headOf } from './asking.ts';
import type { Errand } from './errand.ts';
import { collect } from './small-fetch.ts';

/** Of a document that is rewritten, in bytes: it is in memory as a whole. */
const MAX_REWRITE_BYTES: number = 64 * 2 ** 20;

/** Said of the bytes that the origin sent. */
const OF_THE_ORIGINAL: ReadonlySet<string> = new Set([
  'content-length',
  'content-digest',
  'repr-digest',
  'digest',
  'content-md5',
  'accept-ranges',
  'content-encoding',
]);

/**
 * The response with what `rewrite` of its route makes of its body; the same where there is nothing to rewrite.
 * @throws OriginError, IntegrityError or HookError (as a rejection); the body is done with then
 */
export async function rewritten(
  errand: Errand,
  response: OriginResponse,
  { fetch, hookTimeoutMs }: { fetch: OriginFetch; hookTimeoutMs: number },
): Promise<OriginResponse> {
  const { rewrite } = errand.match.route;
  if (rewrite === undefined || response.status !== 200) return response;
  const { status, headers, length } = headOf(response);
  // What it would be rewritten to is not known without it.
  if (errand.asked.method === 'HEAD') return { ...response, headers: headersOf(headers) };
  const tooMuch = () =>
    new OriginError(
      'broken',
      `the document has more than ${MAX_REWRITE_BYTES} bytes, which is too much to be rewritten`,
    );
  if (length !== undefined && length > MAX_REWRITE_BYTES) {
    response.body.destroy();
    throw tooMuch();
  }
  const original = await collect(response.body as AsyncIterable<Buffer>, MAX_REWRITE_BYTES);
  if (original === undefined) throw tooMuch();
  const declared = declaredDigests(headers);
  if (
    conflicts(
      declared,
      digestsOf(
        original,
        declared.map(({ algorithm }) => algorithm),
      ),
    ) !== undefined
  )
    throw new IntegrityError('the document is not what its digest declares');
  const context = extended(errand.context, { head: { status, headers }, fetch });
  const plain = await decoded(original, fieldValue(headers, 'content-encoding'));
  const made = await ask('rewrite', (given: typeof context) => rewrite(given, plain), context, hookTimeoutMs);
  if (made === undefined || made === null) return left(response, original);
  if (!(made instanceof Uint8Array))
    throw new HookError(
      'rewrite',
      `rewrite answered ${String(made).slice(0, 80)}; it may say bytes, or undefined`,
    );
  return {
    ...response,
    headers: headersOf(headers, made.byteLength),
    body: Readable.from([Buffer.from(made)]),
  };
}

const DECODERS = new Map([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['br', promisify(brotliDecompress)],
]);

/** As it came. Where its framing has shown that this is all, its length is known now. */
function left(response: OriginResponse, original: Buffer): OriginResponse {
  const body = Readable.from([original]);
  if (response.delimited === 'close') return { ...response, body };
  const others = response.headers.filter(([name]) => name.toLowerCase() !== 'content-length');
  return {
    ...response,
    headers: [...others, ['Content-Length', String(original.byteLength)]],
    delimited: 'length',
    body,
  };
}

/** The origin was asked for plain bytes. Some send others. */
async function decoded(bytes: Buffer, encoding: string | undefined): Promise<Buffer> {
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return bytes;
  const decode = DECODERS.get(encoding.toLowerCase());
  if (decode === undefined)
    throw new OriginError('broken', `a document that is to be rewritten came as ${encoding}`);
  return decode(bytes, { maxOutputLength: MAX_REWRITE_BYTES }).catch((cause: unknown) => {
    throw new OriginError('broken', 'a document that is to be rewritten can not be decoded', { cause });
  });
}

/** Equal bytes of the origin are equal bytes of ours, but they are not those that its strong validator is for. */
function headersOf(headers: HeaderPairs, length?: number): HeaderPairs {
  return [
    ...headers
      .filter(([name]) => !OF_THE_ORIGINAL.has(name.toLowerCase()))
      .map(([name, value]) =>
        name.toLowerCase() === 'etag' && !value.startsWith('W/')
          ? ([name, `W/${value}`] as const)
          : ([name, value] as const),
      ),
    ...(length === undefined ? [] : [['Content-Length', String(length)] as const]),
  ];
}
