import * as fs from 'node:fs/promises';
import { SupersededError } from '../../errors.ts';
import { isMissing, makeDirectory, readIfThere, unlink } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import { decodeNewerRecord, decodeRecord, type EntryRecord, encodeRecord } from '../record.ts';
import type { ClaimFile } from './claim.ts';

/**
 * Makes a verified body the entry of its key: the body moves first, then the claim becomes the record in one rename. Resolves to the
 * size of the record in bytes.
 * @throws SupersededError when the claim has been taken away: the key was purged while the body was written; or when a newer version
 *   has stored the key meanwhile
 */
export async function publish(
  layout: Layout,
  claim: ClaimFile,
  record: EntryRecord,
  directoryMode: number,
): Promise<number> {
  const { name, fill } = claim;
  const bytes = encodeRecord(record);
  const body = layout.body(name, fill);
  await claim.become(bytes);
  await makeDirectory(layout.shard(name), directoryMode);
  const there = (await readIfThere(layout.record(name))) ?? Buffer.alloc(0);
  if (decodeNewerRecord(there) !== undefined)
    throw new SupersededError('a newer version of this package has stored the key meanwhile');
  const previous = decodeRecord(there);
  try {
    await fs.rename(layout.incompleteBody(name, fill), body);
    await fs.rename(claim.path, layout.record(name));
  } catch (error) {
    await unlink(body);
    if (isMissing(error)) throw new SupersededError('the key was purged while its body was being written');
    throw error;
  }
  if (previous !== undefined && previous.fill !== fill) await unlink(layout.body(name, previous.fill));
  return bytes.byteLength;
}
