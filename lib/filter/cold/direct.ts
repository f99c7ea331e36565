import { Readable } from 'node:stream';
import { IncompleteError } from '../../errors.ts';
import type { ByteRange, ResponseHead } from '../../http/body.ts';
import type { OriginResponse } from '../../origin/request.ts';
import { isOfSame, partOf } from './generation.ts';
import { discard, type MakeRequest, type Source } from './part-fetch.ts';

/** Of which file bytes are wanted. */
interface OfFile {
  parts: { head: ResponseHead; size: number };
  validator: string;
  options: { source: Source };
}

/** A range from the origin, kept nowhere. It fails where the origin has another file by now. */
export function directly(
  file: OfFile,
  request: MakeRequest,
  range: ByteRange,
  first?: OriginResponse,
): Readable {
  return Readable.from(bytes(file, request, range, first), { objectMode: false });
}

async function* bytes(
  { parts, validator, options }: OfFile,
  request: MakeRequest,
  range: ByteRange,
  first: OriginResponse | undefined,
): AsyncGenerator<Uint8Array> {
  const response = first ?? (await options.source.fetch(request(range, validator)));
  const part = partOf(response);
  const isRight =
    part !== undefined && isOfSame(part, parts.head, parts.size) && part.range.start <= range.start;
  if (!isRight) {
    discard(response);
    throw new IncompleteError(
      `the origin answered ${response.status} to a request for the bytes from ${range.start} on`,
    );
  }
  let position = part.range.start;
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      const wanted = chunk.subarray(Math.max(0, range.start - position), Math.max(0, range.end - position));
      position += chunk.byteLength;
      if (wanted.byteLength > 0) yield wanted;
      if (position >= range.end) return;
    }
  } finally {
    response.body.destroy();
  }
}
