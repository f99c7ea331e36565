import type { Key, PartialBody, PartsBeginning, PartsStore } from '../../cache/cache.ts';
import type { ByteRange } from '../../http/body.ts';
import { settled, show } from './steps.ts';

export async function openParts(store: PartsStore, key: Key, begin: PartsBeginning): Promise<PartialBody> {
  const body = await settled(store.open(key, begin), 'open');
  if (body === undefined || 'declined' in body)
    throw new Error(`expected parts of ${show(key)}, got ${body?.declined ?? 'nothing'}`);
  return body;
}

/** Writes what is missing of a range, or of the whole. */
export async function fetchParts(body: PartialBody, bytes: Buffer, range?: ByteRange): Promise<void> {
  for (const { start, end } of body.missing(range)) {
    const writer = body.begin({ start, end });
    for (let at = start; at < end; at += 100_000)
      await settled(writer.write(bytes.subarray(at, Math.min(at + 100_000, end))), 'write');
    writer.end();
  }
}
