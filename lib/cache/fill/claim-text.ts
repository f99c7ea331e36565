import type { ProcessId } from '../../fs/living.ts';
import type { ResponseHead } from '../../http/body.ts';
import type { FillInfo, Key } from '../cache.ts';
import { isObject, unseal } from '../seal.ts';

/** What a claim says of a fill that has begun. */
export interface Begun extends Omit<FillInfo, 'key'> {
  head: ResponseHead;
  /** Declared length in bytes. */
  size?: number;
}

/** What a claim says, to other processes and to people. In the end it becomes the record. */
export interface ClaimText {
  key: Key;
  owner: ProcessId;
  /** Milliseconds since the epoch. */
  since: number;
  /** No other claim of this key came before: others follow it. */
  leads?: boolean;
  /** Bytes on disk that the fill will take in all; absent until they are asked for. */
  reserved?: number;
  begun?: Begun;
  /** Nothing more comes. `orphaned`: somebody else may go on. */
  ended?: ClaimEnd;
}

export type ClaimEnd = 'failed' | 'orphaned';

export function encodeClaim(text: ClaimText): Buffer {
  return Buffer.from(JSON.stringify(text));
}

/** Undefined where the bytes are no claim, or one that is being written at this moment. */
export function decodeClaim(bytes: Uint8Array): ClaimText | undefined {
  try {
    const text: unknown = JSON.parse(Buffer.from(bytes).toString());
    return isObject(text) && isObject(text['key']) && isObject(text['owner'])
      ? (text as unknown as ClaimText)
      : undefined;
  } catch {
    return undefined;
  }
}

/** How a fill ended whose claim has become the note of an invalid body. */
export function endOfNote(bytes: Uint8Array): ClaimEnd | undefined {
  const why = unseal(bytes)?.['why'];
  if (!isObject(why)) return undefined;
  return why['code'] === 'ERR_CACHE_FILTER_INTEGRITY' ? 'failed' : 'orphaned';
}

/** How many bytes on disk a claim has announced; undefined where it does not say (yet), or is being written at this moment. */
export function reservedOf(bytes: Uint8Array): number | undefined {
  const { reserved } = decodeClaim(bytes) ?? {};
  return typeof reserved === 'number' && reserved >= 0 ? reserved : undefined;
}
