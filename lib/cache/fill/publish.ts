import * as fs from 'node:fs/promises';
import { SupersededError } from '../../errors.ts';
import { isMissing, makeDirectory, readIfThere, syncDirectory, syncFile } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import { writeBlocks } from '../blocks-file.ts';
import { decodeNewerRecord, decodeRecord, type EntryRecord, encodeRecord } from '../record.ts';
import { removeBody } from '../removal.ts';
import { readState, writePin } from '../state.ts';
import type { ClaimFile } from './claim.ts';

/** What is published besides the body. */
export interface Publication {
  record: EntryRecord;
  /** The CRC-32 of each block of the body. */
  blocks: Uint32Array;
  /** Where the body is; default among those of fills. */
  from?: string;
}

export interface Publishing {
  modes: { file: number; directory: number };
  /** What has been published survives a loss of power. */
  durable: boolean;
}

/**
 * Makes a verified body the entry of its key: its checksums are written and the body moves first, then the claim becomes the record in
 * one rename. The pin of the one before passes to it. Resolves to the size of the record in bytes.
 * @throws SupersededError when the claim has been taken away: the key was purged while the body was written; or when a newer version
 *   has stored the key meanwhile
 */
export async function publish(
  layout: Layout,
  claim: ClaimFile,
  { record, blocks, from = layout.incompleteBody(claim.name, claim.fill) }: Publication,
  { modes, durable }: Publishing,
): Promise<number> {
  const { name, fill } = claim;
  const bytes = encodeRecord(record);
  const body = layout.body(name, fill);
  const place = { layout, name, fill, mode: modes.file };
  await claim.become(bytes);
  await makeDirectory(layout.shard(name), modes.directory);
  const there = (await readIfThere(layout.record(name))) ?? Buffer.alloc(0);
  if (decodeNewerRecord(there) !== undefined)
    throw new SupersededError('a newer version of this package has stored the key meanwhile');
  const previous = decodeRecord(there);
  const pinned = async () => previous !== undefined && (await readState(layout, name, previous.fill)).pinned;
  const wasPinned = await pinned();
  try {
    if (wasPinned) await writePin(place, true);
    await writeBlocks(layout, { name, fill, size: record.size }, blocks, { mode: modes.file, durable });
    if (durable) for (const path of [from, claim.path]) await syncFile(path);
    await fs.rename(from, body);
    // The body's name first: a record must never outlive it.
    if (durable) await syncDirectory(layout.shard(name));
    await claim.close();
    await fs.rename(claim.path, layout.record(name));
    if (durable) await syncDirectory(layout.shard(name));
  } catch (error) {
    await removeBody(layout, name, fill);
    if (isMissing(error)) throw new SupersededError('the key was purged while its body was being written');
    throw error;
  }
  if (previous !== undefined && previous.fill !== fill) {
    // Who pins looks at the record once more afterwards, and who publishes at the pin: one of the two sees the other.
    const isPinned = await pinned();
    if (isPinned !== wasPinned) await writePin(place, isPinned).catch(() => undefined);
    await removeBody(layout, name, previous.fill);
  }
  return bytes.byteLength;
}
