import { OriginError } from '../errors.ts';
import type { Origin } from '../origin/origin.ts';
import { isAnswer } from '../origin/places.ts';
import type { OriginFetch, OriginFetched } from '../policy/hooks.ts';
import type { Errand } from './errand.ts';
import type { Supplier } from './supplier.ts';

/** Of what a hook fetches, in bytes. */
const MAX_BYTES: number = 16 * 2 ** 20;

/**
 * Lets hooks ask the origin for something small: what a body must hash to, say.
 * @param signal ends it: not the client's, where others may wait for the same
 */
export function fetching(
  origin: Origin,
  supplier: Supplier,
  errand: Errand,
  signal: AbortSignal,
): OriginFetch {
  return async (path, { headers = {}, maxBytes = MAX_BYTES } = {}) => {
    const supply = await supplier.find({ ...about(errand), target: path });
    if (supply === undefined) return { status: 404, headers: {}, body: Buffer.alloc(0) };
    if (isAnswer(supply)) {
      const { status, headers: fields = {}, body = '' } = supply;
      return { status, headers: lowered(Object.entries(fields)), body: Buffer.from(body as string) };
    }
    const response = await origin.fetch({
      method: 'GET',
      targets: supply.targets,
      headers: Object.entries(headers),
      signal,
    });
    const body = await collect(response.body as AsyncIterable<Buffer>, maxBytes);
    if (body !== undefined) return { status: response.status, headers: lowered(response.headers), body };
    throw new OriginError('broken', `${path} has more than ${maxBytes} bytes (maxBytes)`);
  };
}

/** All of a body; undefined, and the rest is left, where it has more than so many bytes. Rejects with what it fails with. */
export async function collect(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    // Leaving the loop destroys the stream, and with it the connection.
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** An errand is an object with getters, of which a copy would have none. */
function about({
  req,
  match,
  key,
  tag,
  asked,
  credentials,
  version,
  context,
  info,
}: Errand): Omit<Errand, 'target'> {
  return { req, match, key, tag, asked, credentials, version, context, info };
}

function lowered(headers: Iterable<readonly [string, string]>): OriginFetched['headers'] {
  const fields: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    fields[key] = fields[key] === undefined ? value : `${fields[key]}, ${value}`;
  }
  return fields;
}
